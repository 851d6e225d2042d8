"""Games played, and trained on, by the workers of a local Ray cluster of two."""

import gc
import json
import os
import re
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from typer.testing import CliRunner, Result

from langgraph_memskill.alfworld.games import list_games
from langgraph_memskill.alfworld.pool import EnginePool
from langgraph_memskill.alfworld.replay import read_records, replay, write_records
from langgraph_memskill.benchmarks.alfworld.material import load_games, make_training
from langgraph_memskill.benchmarks.alfworld.remote import GameSpread
from langgraph_memskill.benchmarks.alfworld.run import AlfworldRun, Players
from langgraph_memskill.benchmarks.alfworld.settings import AlfworldSettings
from langgraph_memskill.benchmarks.run_log import RunLog, read_run_log, without_times
from langgraph_memskill.benchmarks.running.models import NamedModel
from langgraph_memskill.cli import app
from langgraph_memskill.cli.train_alfworld import GameRecipe
from langgraph_memskill.errors import ClusterError
from langgraph_memskill.models import load_model
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.trainers.alfworld_pairs import PairSettings
from langgraph_memskill.trainers.config import TrainConfig
from langgraph_memskill.trainers.game_episodes import Games, training_games
from langgraph_memskill.trainers.game_settings import GameSettings
from langgraph_memskill.trainers.loop import TrainingRun, TrainParts, TrainResult
from langgraph_memskill.trainers.ppo import PPOConfig
from langgraph_memskill.trainers.remote_rollouts import Rollouts
from langgraph_memskill.workers.cluster import ClusterSettings
from langgraph_memskill.workers.pool import WorkerPool
from langgraph_memskill.workers.specs import ModelSpec
from tests.alfworld.tiny_games import write_games
from tests.conftest import ReadingModel
from tests.integration import ray_runs
from tests.integration.ray_runs import ENCODER, RAY_MARKS, until
from tests.orders_server import OrdersServer, Rule, orders_server

pytest.importorskip("ray", reason="needs Ray: pip install 'langgraph-memskill[ray]'")
pytest.importorskip("alfworld", reason="the extra alfworld is not installed")
pytestmark = [
    *RAY_MARKS,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for engines in /proc"),
]


class Player(ReadingModel):
    """Knows where a thing is and where it goes, but not that it may have to be cleaned."""

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        prompt = str(messages[-1].text)
        task = re.search(r"TASK\nput a (?:clean )?(\w+) in shelf", prompt)
        if task is None:
            return super()._generate(messages, stop, run_manager, **kwargs)
        thing = f"{task[1]} 1"
        commands = (
            "go to desk 1",
            f"take {thing} from desk 1",
            "go to shelf 1",
            f"move {thing} to shelf 1",
        )
        given = prompt.count("\n> ")
        reply = commands[given] if given < len(commands) else "look"
        return ChatResult(generations=[ChatGeneration(message=AIMessage(reply))])


@pytest.fixture(scope="module")
def server() -> Iterator[OrdersServer]:
    with orders_server() as running:
        running.model = Player()
        yield running


@pytest.fixture(autouse=True)
def _all_works(server: OrdersServer, pool: WorkerPool) -> Iterator[None]:
    """The model answers; with a run the engines end that workers have started for it."""
    server.rule = lambda prompt: 200
    yield
    until(lambda: not any(engines_of(pid) for pid in pids(pool)), "engines are left")


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    """Two workers."""
    with WorkerPool(ClusterSettings(address="local", workers=2)) as running:
        ray_runs.pids(running)  # waits for both: they have work from the first game on
        yield running
    gc.collect()  # now, where its warnings are ignored, and not when pytest ends


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Games with a replay; one that is played cannot be loaded."""
    folder = write_games(tmp_path_factory.mktemp("games"), train=4, valid_seen=3)
    list_games(folder, "valid_seen")[1].path.write_text("{}", encoding="utf-8")
    file = folder / "train.json"
    with EnginePool() as pool:
        records = replay(list_games(folder, "train"), file, pool, workers=1)
    # An order that the reading model follows.
    told = {
        key: replace(record, trajectory=f"remember {record.objective}\n{record.trajectory}")
        for key, record in records.items()
    }
    write_records(file, told)
    return folder


def bench(
    data: Path, model: str = "extractive", pool: WorkerPool | None = None, **values: Any
) -> AlfworldRun:
    """A run in this process, or with a pool of workers."""
    settings = AlfworldSettings(**({"workers": 2, "max_steps": 6, "attempts": 1} | values))
    encoder = ENCODER.load()
    named = NamedModel(model=load_model(model, encoder=encoder), spec=model)
    training = None
    if settings.needs_training:
        training = make_training(read_records(data / "train.json"), 1024)
    spread = None
    if pool is not None:
        player = ModelSpec(spec=model) if settings.agent == "llm" else None
        spread = GameSpread(pool=pool, player=player, encoder=ENCODER)
    players = Players(executor=named, encoder=encoder)
    return AlfworldRun(load_games(data, "valid_seen"), training, players, settings, spread=spread)


def played(run: AlfworldRun, folder: Path) -> RunLog:
    return run.run(folder / "run", folder / "memories")


def pids(pool: WorkerPool) -> list[int]:
    return [worker.info.pid for worker in pool.workers if worker.info is not None]


def engines() -> dict[int, int]:
    """The engines on this machine that live, with the processes that have started them."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (place / "stat").read_text().rpartition(")")[2].split()[:2]
            is_engine = b"alfworld.engine_process" in (place / "cmdline").read_bytes()
        except OSError:
            continue
        if is_engine and state != "Z":
            found[int(place.name)] = int(parent)
    return found


def engines_of(pid: int) -> set[int]:
    return {engine for engine, parent in engines().items() if parent == pid}


class Killer:
    """A rule that kills a worker once, in the middle of a game; for one game at a time."""

    def __init__(self, pool: WorkerPool, server: OrdersServer, then: Rule) -> None:
        self._pool = pool
        self._server = server
        self._then = then
        self.killed: int | None = None
        self.engines: set[int] = set()

    def __call__(self, prompt: str) -> int:
        with self._server.lock:
            if self.killed is None and "ADMISSIBLE COMMANDS" in prompt and "\n> take" in prompt:
                # One game is played at a time, so this is its worker.
                [self.killed] = [w.info.pid for w in self._pool.workers if w.leases and w.info]
                self.engines = engines_of(self.killed)
                assert self.engines
                os.kill(self.killed, signal.SIGKILL)
        return self._then(prompt)

    def check(self) -> None:
        """The worker was replaced, and its engines have ended with it."""
        assert self.killed is not None
        assert self.killed not in pids(self._pool)
        until(lambda: not self.engines & engines().keys(), "engines of the killed worker are left")


def test_the_log_is_the_same_as_of_one_process(
    pool: WorkerPool, data: Path, tmp_path: Path
) -> None:
    rows = ("none", "similarity")
    here = played(bench(data, rows=rows, workers=1), tmp_path / "here")
    players: set[int] = set()

    def watch(_: object) -> None:
        players.update(pid for pid in pids(pool) if engines_of(pid))

    run = bench(data, rows=rows, pool=pool)
    there = run.run(tmp_path / "there" / "run", tmp_path / "there" / "memories", on_progress=watch)
    assert without_times(there) == without_times(here)
    assert (there.times.executor, here.times.executor) == ("ray, 2 workers", "local")
    assert [row.categories[-1].failed for row in there.rows] == [1, 1]
    assert players == set(pids(pool))
    assert len(players) == 2
    # What one has begun the other goes on with.
    journal = tmp_path / "there" / "run" / "items.jsonl"
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    journal.write_text("".join(lines[:4]), encoding="utf-8")
    again = played(bench(data, rows=rows, workers=1), tmp_path / "there")
    assert 0 < again.times.resumed_items <= 3
    assert without_times(again) == without_times(here)


def test_neither_a_killed_worker_nor_a_model_that_fails_changes_the_log(
    pool: WorkerPool,
    data: Path,
    server: OrdersServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails(prompt: str) -> int:
        return 400 if "put a clean" in prompt.rpartition("TASK")[2] else 200

    options: dict[str, Any] = {"agent": "llm", "rows": ("rag",), "workers": 1, "max_failures": 1.0}
    server.rule = fails
    here = played(bench(data, server.spec, **options), tmp_path / "here")
    server.rule = killer = Killer(pool, server, fails)
    there = played(bench(data, server.spec, pool, **options), tmp_path / "there")
    killer.check()
    assert "is lost" in caplog.text
    assert without_times(there) == without_times(here)
    solved, *others = there.rows[0].items
    assert solved.scores["success"].value == 1.0
    errors = [str(item.error).partition(":")[0] for item in others]
    assert errors == ["GameLoadError", "ModelCallError"]


def test_a_game_that_a_worker_lacks_ends_the_run(
    pool: WorkerPool, data: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(data, tmp_path / "games")
    run = bench(copy, rows=("none",), pool=pool)
    missing = list_games(copy, "valid_seen")[0].path
    missing.unlink()
    expected = f"{missing} is missing on {socket.gethostname()}"
    with pytest.raises(ClusterError, match=re.escape(expected)):
        played(run, tmp_path)


TRAINING = TrainConfig(
    reward="success",
    games=GameSettings(
        agent="llm",
        pairs=PairSettings(min_remembered=1, max_remembered=2, num_played=2),
        max_steps=5,
        span_tokens=200,
        attempts=1,
    ),
    outer_epochs=1,
    inner_epochs=2,
    episodes=2,
    concurrency=2,
    hidden_dim=8,
    skills_per_span=2,
    best_updates=2,
    ppo=PPOConfig(learning_rate=0.003, minibatch_size=4),
)


def trained(
    folder: Path,
    data: Path,
    server: OrdersServer,
    pool: WorkerPool | None,
    *,
    config: TrainConfig = TRAINING,
    there: Path | None = None,
    before: Callable[[], None] = lambda: None,
) -> TrainResult:
    """Two updates over the tiny games.

    Args:
        folder: Of the run.
        data: The games.
        server: Reads and plays.
        pool: Plays the episodes; None plays them here.
        config: Of the run.
        there: Where the workers look for the games, if not in `data`.
        before: Called before the first episode.
    """
    known = training_games(list_games(data, "train"), read_records(data / "train.json"))
    rollouts = None
    if pool is not None:
        kind = GameRecipe(data=there or data, settings=TRAINING.games, engines=2)
        rollouts = Rollouts(
            pool=pool, kind=kind, model=ModelSpec(spec=server.spec), encoder=ENCODER
        )
    parts = TrainParts(
        model=load_model(server.spec),
        model_name="orders",
        encoder=ENCODER.load(),
        bank=SkillBank.seed("embodied"),
        episodes=Games(known.games, TRAINING.games, EnginePool(spare=2)),
        rollouts=rollouts,
    )
    run = TrainingRun(folder, config, parts, run_id="test")
    before()
    return run.run()


def test_training_ends_with_the_same_weights_although_a_worker_is_killed(
    pool: WorkerPool, data: Path, server: OrdersServer, tmp_path: Path
) -> None:
    config = replace(TRAINING, concurrency=1)
    here = trained(tmp_path / "here", data, server, None, config=config)
    server.rule = killer = Killer(pool, server, server.rule)
    there = trained(tmp_path / "there", data, server, pool, config=config)
    killer.check()
    assert there.results.best == here.results.best
    assert there.results.last == here.results.last
    assert (there.state.episodes, there.state.failed_episodes) == (4, 0)
    assert there.state.usage == here.state.usage
    assert there.state.recent_rewards == here.state.recent_rewards
    assert any(there.state.recent_rewards)


def test_games_that_a_worker_lacks_end_the_training(
    pool: WorkerPool, data: Path, server: OrdersServer, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    with pytest.raises(ClusterError, match=re.escape(f"{elsewhere} is missing on")):
        trained(tmp_path / "one", data, server, pool, there=elsewhere)
    copy = shutil.copytree(data, tmp_path / "games")

    def lose() -> None:
        for game in list_games(copy, "train"):
            game.path.unlink()

    with pytest.raises(ClusterError, match=r"game\.tw-pddl is missing on"):
        trained(tmp_path / "two", copy, server, pool, before=lose)


@pytest.fixture
def command(
    pool: WorkerPool, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """Runs `memskill ... alfworld` with the tiny games; `--executor ray` gets the two workers."""
    monkeypatch.setattr(
        "langgraph_memskill.workers.pool.WorkerPool", lambda settings: nullcontext(pool)
    )
    monkeypatch.chdir(tmp_path)

    def invoke(kind: str, *options: object) -> Result:
        given = (kind, "alfworld", "--data", data, "--train", data / "train.json", *options)
        result = CliRunner().invoke(app, [str(part) for part in given])
        assert result.exit_code == 0, result.output
        return result

    return invoke


def test_the_command_spreads_games(command: Callable[..., Result]) -> None:
    result = command("bench", "--rows", "none,rag", "--limit", 2, "--max-steps", 4,
                     "--executor", "ray", "--ray-workers", 2, "--json")  # fmt: skip
    log = read_run_log(Path(json.loads(result.stdout)["folder"]))
    assert log.times.executor == "ray, 2 workers"
    assert [len(row.items) for row in log.rows] == [2, 2]


def test_the_command_trains_to_the_same_controller(command: Callable[..., Result]) -> None:
    settings = (
        "outer_epochs=1", "inner_epochs=1", "episodes=2", "hidden_dim=8", "concurrency=2",
        "games.pairs.min_remembered=1", "games.pairs.max_remembered=2", "games.pairs.num_played=1",
        "games.max_steps=4", "games.span_tokens=200",
    )  # fmt: skip
    quick = [f"--set={setting}" for setting in settings]
    here = command("train", "--out", "here", *quick, "--json")
    there = command("train", "--out", "there", *quick, "--executor", "ray", "--json")
    versions = [json.loads(run.stdout)["controller_version"] for run in (here, there)]
    assert versions[0] == versions[1]
