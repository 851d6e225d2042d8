"""A benchmark and a training run spread over a local Ray cluster of two workers."""

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from langgraph_memskill.benchmarks.registry import get_task
from langgraph_memskill.benchmarks.run_log import RunLog, read_run_log, without_times
from langgraph_memskill.benchmarks.running.material import load_data
from langgraph_memskill.benchmarks.running.models import NamedModel
from langgraph_memskill.benchmarks.running.remote import Spread
from langgraph_memskill.benchmarks.running.run import BenchmarkRun, Models
from langgraph_memskill.benchmarks.running.settings import RunSettings
from langgraph_memskill.cli import app
from langgraph_memskill.cli.train_locomo import ConversationRecipe, make_scorer
from langgraph_memskill.controller.files import save_controller
from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.errors import BenchmarkError, ClusterError, ConfigError
from langgraph_memskill.models import load_model
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.traces.episodes import read_recorded
from langgraph_memskill.traces.reader import TraceReader
from langgraph_memskill.trainers.config import TrainConfig
from langgraph_memskill.trainers.conversation_episodes import Conversations
from langgraph_memskill.trainers.loop import TrainingRun, TrainParts, TrainResult
from langgraph_memskill.trainers.ppo import PPOConfig
from langgraph_memskill.trainers.remote_rollouts import Rollouts
from langgraph_memskill.workers.cluster import ClusterSettings
from langgraph_memskill.workers.pool import WorkerPool
from langgraph_memskill.workers.specs import EncoderSpec, ModelSpec
from tests.benchmarks.running.worlds import data_file
from tests.orders_server import OrdersServer, orders_server
from tests.trainers.training_process import make_traces

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'langgraph-memskill[ray]'")
pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    # Ray's own, about the processes that it leaves to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

KEY = "sk-only-in-the-environment"
ENCODER = EncoderSpec(by_length=True)
ROWS = ("none", "rag", "random", "similarity", "controller")
GRACE_S = 300
"""For what takes seconds on a quiet machine."""


@pytest.fixture(scope="module")
def server() -> Iterator[OrdersServer]:
    with orders_server() as running:
        yield running


@pytest.fixture(autouse=True)
def _all_works(server: OrdersServer) -> None:
    server.rule = lambda prompt: 200


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMSKILL_API_KEY", KEY)
        with WorkerPool(ClusterSettings(address="local", workers=2)) as running:
            yield running
    gc.collect()  # now, where its warnings are ignored, and not when pytest ends


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_file(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("controller")
    save_controller(
        folder,
        SkillPolicy(state_dim=768, skill_dim=384, hidden_dim=16, seed=3),
        encoder_name=ENCODER.load().name,
    )
    return folder


@pytest.fixture(scope="module")
def bench(server: OrdersServer, data: Path, controller: Path) -> Callable[..., BenchmarkRun]:
    """Makes runs, in this process or with a pool of workers."""

    def make(workers: WorkerPool | None = None, **options: Any) -> BenchmarkRun:
        settings = RunSettings(
            **({"rows": ROWS, "split": "all", "controller": controller, "attempts": 2} | options)
        )
        task, spec = get_task("locomo"), ModelSpec(spec=server.spec)
        # A fresh one, because a client belongs to the event loop that it was first used in.
        named = NamedModel(model=load_model(server.spec), spec=server.spec)
        models = Models(executor=named, reader=named, judge=None, encoder=ENCODER.load())
        spread = None
        if workers is not None:
            spread = Spread(
                pool=workers,
                task="locomo",
                executor=spec,
                reader=spec,
                judge=None,
                encoder=ENCODER,
            )
        return BenchmarkRun(task, load_data(task, data, settings), models, settings, spread=spread)

    return make


@pytest.fixture(scope="module")
def local_log(bench: Callable[..., BenchmarkRun], tmp_path_factory: Any) -> RunLog:
    return played(bench(), tmp_path_factory.mktemp("local"))


def played(run: BenchmarkRun, folder: Path) -> RunLog:
    return run.run(folder / "run", folder / "memories")


def differences(one: Any, other: Any, place: str = "") -> list[str]:
    """Where two JSON documents differ."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [d for name in one for d in differences(one[name], other[name], f"{place}.{name}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [d for number, pair in pairs for d in differences(*pair, f"{place}[{number}]")]
    return [] if one == other else [f"{place}: {one!r} is not {other!r}"]


def differ(one: RunLog, other: RunLog) -> list[str]:
    """Where two logs differ, times apart."""
    return differences(without_times(one), without_times(other))


def pids(pool: WorkerPool) -> list[int]:
    return [worker.info.pid for worker in pool.workers if worker.info is not None]


def test_the_log_is_the_same_as_of_one_process(
    pool: WorkerPool, bench: Callable[..., BenchmarkRun], local_log: RunLog, tmp_path: Path
) -> None:
    log = played(bench(pool), tmp_path)
    assert differ(log, local_log) == []
    assert (log.times.executor, local_log.times.executor) == ("ray, 2 workers", "local")
    assert len(set(pids(pool))) == 2
    assert os.getpid() not in pids(pool)
    again = played(bench(pool), tmp_path)
    assert again.times.resumed_items == 8 * len(ROWS)
    assert differ(again, local_log) == []


def test_keys_come_from_the_environment_and_stay_out_of_rays_logs(
    pool: WorkerPool, bench: Callable[..., BenchmarkRun], server: OrdersServer, tmp_path: Path
) -> None:
    server.keys.clear()
    played(bench(pool, rows=("none",)), tmp_path)
    assert server.keys == {f"Bearer {KEY}"}
    session = Path(ray.nodes()[0]["ObjectStoreSocketName"]).parents[1]
    logs = [path for path in (session / "logs").rglob("*") if path.is_file()]
    assert any(path.name.startswith("worker-") for path in logs)
    assert not any(KEY.encode() in path.read_bytes() for path in logs)


def test_killed_workers_are_replaced_and_change_no_result(
    pool: WorkerPool,
    bench: Callable[..., BenchmarkRun],
    local_log: RunLog,
    server: OrdersServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    killed: list[int] = []
    # In the middle of a build, and in the middle of the questions.
    left = ["remember Ann saw Lima", "Who saw Kyoto?"]

    def kill_once(prompt: str) -> int:
        with server.lock:
            found = next((text for text in left if text in prompt), None)
            if found is not None:
                left.remove(found)
                killed.append(pids(pool)[0])
                os.kill(killed[-1], signal.SIGKILL)
        return 200

    server.rule = kill_once
    log = played(bench(pool), tmp_path)
    assert len(set(killed)) == 2
    assert differ(log, local_log) == []
    assert "is lost" in caplog.text
    assert not set(pids(pool)) & set(killed)


def test_a_model_that_fails_is_recorded_as_in_one_process(
    pool: WorkerPool, bench: Callable[..., BenchmarkRun], server: OrdersServer, tmp_path: Path
) -> None:
    server.rule = lambda prompt: 400 if "Kyoto" in prompt else 200
    options = {"rows": ("rag", "similarity"), "max_failures": 1.0}
    there = played(bench(pool, **options), tmp_path / "there")
    here = played(bench(**options), tmp_path / "here")
    assert differ(there, here) == []
    errors = {item.error for row in there.rows for item in row.items if item.error is not None}
    assert len(errors) == 1
    assert "Error code: 400 - the endpoint is down" in errors.pop()
    assert [build.failed_spans for build in there.rows[1].builds] == [1, 1]


def test_too_many_failures_end_the_run(
    pool: WorkerPool, bench: Callable[..., BenchmarkRun], server: OrdersServer, tmp_path: Path
) -> None:
    server.rule = lambda prompt: 400
    run = bench(pool, rows=("rag",), max_failures=0.0)
    with pytest.raises(BenchmarkError, match="1 of 8 questions of the row 'rag' have failed"):
        played(run, tmp_path)


def test_a_worker_that_cannot_make_the_model_ends_the_run_with_the_reason(
    pool: WorkerPool, bench: Callable[..., BenchmarkRun], tmp_path: Path
) -> None:
    run = bench(pool, rows=("none",))
    spec = ModelSpec(spec="nobody:knows")
    run._spread = Spread(
        pool=pool, task="locomo", executor=spec, reader=spec, judge=None, encoder=ENCODER
    )
    with pytest.raises(ConfigError, match="model='nobody:knows' is unknown"):
        played(run, tmp_path)


TRAINING = TrainConfig(
    outer_epochs=1,
    inner_epochs=2,
    episodes=3,
    hidden_dim=16,
    skills_per_span=2,
    window_sessions=1,
    best_updates=2,
    ppo=PPOConfig(learning_rate=0.003, minibatch_size=4),
)


def trained(
    folder: Path, server: OrdersServer, pool: WorkerPool | None, config: TrainConfig = TRAINING
) -> TrainResult:
    """Two updates over two small conversations."""
    encoder = EncoderSpec(by_length=True)
    rollouts = None
    if pool is not None:
        kind = ConversationRecipe(reward="f1", judge=None)
        rollouts = Rollouts(
            pool=pool, kind=kind, model=ModelSpec(spec=server.spec), encoder=encoder
        )
    parts = TrainParts(
        model=load_model(server.spec),
        model_name="orders",
        encoder=encoder.load(),
        bank=SkillBank.seed(),
        episodes=Conversations(traces=make_traces(), scorer=make_scorer("f1")),
        rollouts=rollouts,
    )
    return TrainingRun(folder, config, parts, run_id="test").run()


def steps_of(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """What was recorded of every episode, times apart."""
    return {
        episode.id: [
            (step.chosen, step.log_prob, step.process_reward, step.bank_version, episode.reward)
            for step in episode.steps
        ]
        for episode in read_recorded(TraceReader(folder / "traces"))
    }


def test_training_ends_with_the_same_weights_although_a_worker_is_killed(
    pool: WorkerPool, server: OrdersServer, tmp_path: Path
) -> None:
    here = trained(tmp_path / "here", server, None)
    killed: list[int] = []

    def kill_once(prompt: str) -> int:
        with server.lock:
            if not killed and "What is known" in prompt:
                killed.append(pids(pool)[0])
                os.kill(killed[0], signal.SIGKILL)
        return 200

    server.rule = kill_once
    there = trained(tmp_path / "there", server, pool)
    assert len(killed) == 1
    assert there.results.best.version == here.results.best.version
    assert there.results.last.version == here.results.last.version
    assert there.state.episodes == here.state.episodes == 6
    assert there.state.usage == here.state.usage
    assert steps_of(tmp_path / "there") == steps_of(tmp_path / "here")


def test_episodes_whose_questions_fail_are_counted_as_in_one_process(
    pool: WorkerPool, server: OrdersServer, tmp_path: Path
) -> None:
    # All questions about Ann, so her episodes have no score.
    server.rule = lambda prompt: 400 if "What is known: ann" in prompt else 200
    one_update = replace(TRAINING, inner_epochs=1, max_failed_share=0.9)
    here = trained(tmp_path / "here", server, None, one_update)
    there = trained(tmp_path / "there", server, pool, one_update)
    assert there.state.failed_episodes == here.state.failed_episodes > 0
    assert there.results.last.version == here.results.last.version
    assert steps_of(tmp_path / "there") == steps_of(tmp_path / "here")


def test_workers_that_cannot_make_the_model_end_the_training(
    pool: WorkerPool, server: OrdersServer, tmp_path: Path
) -> None:
    kind, encoder = ConversationRecipe(reward="f1", judge=None), EncoderSpec(by_length=True)
    parts = TrainParts(
        model=load_model(server.spec),
        model_name="orders",
        encoder=encoder.load(),
        bank=SkillBank.seed(),
        episodes=Conversations(traces=make_traces(), scorer=make_scorer("f1")),
        rollouts=Rollouts(
            pool=pool, kind=kind, model=ModelSpec(spec="nobody:knows"), encoder=encoder
        ),
    )
    with pytest.raises(ClusterError, match="a worker cannot play: model='nobody:knows' is unknown"):
        TrainingRun(tmp_path, TRAINING, parts, run_id="test").run()


def test_the_command_spreads_a_run(
    pool: WorkerPool,
    server: OrdersServer,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted: list[ClusterSettings] = []

    def lend(settings: ClusterSettings) -> Any:
        wanted.append(settings)
        return nullcontext(pool)

    monkeypatch.setattr("langgraph_memskill.workers.pool.WorkerPool", lend)
    options = ["--split", "all", "--rows", "none,rag", "--limit", "2", "--model", server.spec]
    places = ["--out", str(tmp_path / "run"), "--cache", str(tmp_path / "memories"), "--json"]
    spread = ["--executor", "ray", "--ray-address", "auto", "--ray-workers", "2"]
    command = ["bench", "locomo", "--data", str(data), *options, *places, *spread]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["folder"] == str(tmp_path / "run")
    assert wanted == [ClusterSettings(address="auto", workers=2)]
    assert read_run_log(tmp_path / "run").times.executor == "ray, 2 workers"


def marked(mark: str) -> list[int]:
    """Processes with this in their environment."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (place / "environ").read_bytes():
                found.append(int(place.name))
        except OSError:
            continue
    return found


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + GRACE_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
def test_ctrl_c_ends_a_local_cluster_with_all_its_processes(
    server: OrdersServer, data: Path, tmp_path: Path
) -> None:
    reached, leave = threading.Event(), threading.Event()

    def wait(prompt: str) -> int:
        reached.set()
        leave.wait(GRACE_S)
        return 200

    server.rule = wait
    mark = f"MARK-{uuid.uuid4().hex}"
    command = [Path(sys.executable).parent / "memskill", "bench", "locomo", "--data", data]
    options = ["--split", "all", "--rows", "none", "--model", server.spec]
    process = subprocess.Popen(
        [*command, *options, "--executor", "ray", "--ray-workers", "1"],
        cwd=tmp_path,
        env=os.environ | {"MEMSKILL_TEST_MARK": mark, "RAY_ADDRESS": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell that starts the tests in the background has them, and this one, ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        until(lambda: reached.is_set() or process.poll() is not None, "no model call")
        assert process.poll() is None, process.communicate()
        assert len(marked(mark)) > 3
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=GRACE_S)
        assert process.returncode != 0
        assert not output
        until(lambda: not marked(mark), "processes are left")
    finally:
        leave.set()
        for pid in marked(mark):
            os.kill(pid, signal.SIGKILL)
        process.wait()
