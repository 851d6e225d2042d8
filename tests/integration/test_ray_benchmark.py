"""Benchmark runs spread over a local Ray cluster of two workers."""

import asyncio
import json
import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from langgraph_memskill.benchmarks.run_log import RunLog, read_run_log
from langgraph_memskill.benchmarks.running.remote import Spread
from langgraph_memskill.benchmarks.running.run import BenchmarkRun
from langgraph_memskill.cli import app
from langgraph_memskill.controller.files import save_controller
from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.errors import BenchmarkError, ConfigError
from langgraph_memskill.workers.cluster import ClusterSettings
from langgraph_memskill.workers.pool import WorkerPool
from langgraph_memskill.workers.specs import ModelSpec
from tests.benchmarks.running.worlds import data_file
from tests.integration.ray_runs import (
    ENCODER,
    KEY,
    RAY_MARKS,
    ROWS,
    Killing,
    break_off,
    counted,
    differ,
    make_bench,
    pids,
    played,
)
from tests.orders_server import OrdersServer

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'langgraph-memskill[ray]'")
pytestmark = [*RAY_MARKS, pytest.mark.usefixtures("model_server")]

MakeRun = Callable[..., BenchmarkRun]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_file(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def bench(
    running_server: OrdersServer, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> MakeRun:
    """Makes runs of all rows, in this process or with a pool of workers."""
    folder = tmp_path_factory.mktemp("controller")
    policy = SkillPolicy(state_dim=768, skill_dim=384, hidden_dim=16, seed=3)
    save_controller(folder, policy, encoder_name=ENCODER.load().name)

    def make(workers: WorkerPool | None = None, **options: Any) -> BenchmarkRun:
        wanted = {"rows": ROWS, "controller": folder} | options
        return make_bench(running_server, data, workers, **wanted)

    return make


@pytest.fixture(scope="module")
def local_log(bench: MakeRun, tmp_path_factory: Any) -> RunLog:
    return played(bench(), tmp_path_factory.mktemp("local"))


def test_the_log_is_the_same_as_of_one_process(
    ray_pool: WorkerPool, bench: MakeRun, local_log: RunLog, tmp_path: Path
) -> None:
    log = played(bench(ray_pool), tmp_path)
    assert differ(log, local_log) == []
    assert (log.times.executor, local_log.times.executor) == ("ray, 2 workers", "local")
    assert len(pids(ray_pool)) == 2
    assert os.getpid() not in pids(ray_pool)
    again = played(bench(ray_pool), tmp_path)
    assert again.times.resumed_items == 8 * len(ROWS)
    assert differ(again, local_log) == []


def test_keys_come_from_the_environment_and_stay_out_of_rays_logs(
    ray_pool: WorkerPool, bench: MakeRun, model_server: OrdersServer, tmp_path: Path
) -> None:
    played(bench(ray_pool, rows=("none",)), tmp_path)
    assert model_server.keys == {f"Bearer {KEY}"}
    session = Path(ray.nodes()[0]["ObjectStoreSocketName"]).parents[1]
    logs = [path for path in (session / "logs").rglob("*") if path.is_file()]
    assert any(path.name.startswith("worker-") for path in logs)
    assert not any(KEY.encode() in path.read_bytes() for path in logs)


def test_killed_workers_are_replaced_and_change_no_result(
    ray_pool: WorkerPool,
    bench: MakeRun,
    local_log: RunLog,
    model_server: OrdersServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # In the middle of a build, and in the middle of the questions.
    killing = Killing(ray_pool, "remember Ann saw Lima", "Who saw Kyoto?")
    model_server.rule = killing
    log = played(bench(ray_pool), tmp_path)
    assert len(set(killing.killed)) == 2
    assert differ(log, local_log) == []
    assert "is lost" in caplog.text
    assert not pids(ray_pool).keys() & killing.killed


def test_a_model_that_fails_is_recorded_as_in_one_process(
    ray_pool: WorkerPool, bench: MakeRun, model_server: OrdersServer, tmp_path: Path
) -> None:
    model_server.rule = lambda prompt: 400 if "Kyoto" in prompt else 200
    options = {"rows": ("rag", "similarity"), "max_failures": 1.0}
    there = played(bench(ray_pool, **options), tmp_path / "there")
    here = played(bench(**options), tmp_path / "here")
    assert differ(there, here) == []
    errors = {item.error for row in there.rows for item in row.items if item.error is not None}
    assert len(errors) == 1
    assert "Error code: 400 - the endpoint is down" in errors.pop()
    assert [build.failed_spans for build in there.rows[1].builds] == [1, 1]


def test_of_a_run_that_was_broken_off_nothing_goes_on_or_comes_back(
    ray_pool: WorkerPool, bench: MakeRun, model_server: OrdersServer, tmp_path: Path
) -> None:
    expected = counted(model_server)
    here = played(bench(rows=("similarity",)), tmp_path / "here")
    run = bench(ray_pool, rows=("similarity",))
    first = tmp_path / "first"
    asyncio.run(break_off(lambda: run.arun(first / "run", first / "memories"), model_server))
    prompts = counted(model_server)
    there = played(bench(ray_pool, rows=("similarity",)), tmp_path / "second")
    assert differ(there, here) == []
    assert sorted(prompts) == sorted(expected)


def test_too_many_failures_end_the_run(
    ray_pool: WorkerPool, bench: MakeRun, model_server: OrdersServer, tmp_path: Path
) -> None:
    model_server.rule = lambda prompt: 400
    run = bench(ray_pool, rows=("rag",), max_failures=0.0)
    with pytest.raises(BenchmarkError, match="1 of 8 questions of the row 'rag' have failed"):
        played(run, tmp_path)


def test_a_worker_that_cannot_make_the_model_ends_the_run_with_the_reason(
    ray_pool: WorkerPool, bench: MakeRun, tmp_path: Path
) -> None:
    run = bench(ray_pool, rows=("none",))
    spec = ModelSpec(spec="nobody:knows")
    run._spread = Spread(
        pool=ray_pool, task="locomo", executor=spec, reader=spec, judge=None, encoder=ENCODER
    )
    with pytest.raises(ConfigError, match="model='nobody:knows' is unknown"):
        played(run, tmp_path)


def test_the_command_spreads_a_run(
    ray_pool: WorkerPool,
    model_server: OrdersServer,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted: list[ClusterSettings] = []

    def lend(settings: ClusterSettings) -> Any:
        wanted.append(settings)
        return nullcontext(ray_pool)

    monkeypatch.setattr("langgraph_memskill.workers.pool.WorkerPool", lend)
    options = ["--split", "all", "--rows", "none,rag", "--limit", "2", "--model", model_server.spec]
    places = ["--out", str(tmp_path / "run"), "--cache", str(tmp_path / "memories"), "--json"]
    spread = ["--executor", "ray", "--ray-address", "auto", "--ray-workers", "2"]
    command = ["bench", "locomo", "--data", str(data), *options, *places, *spread]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["folder"] == str(tmp_path / "run")
    assert wanted == [ClusterSettings(address="auto", workers=2)]
    assert read_run_log(tmp_path / "run").times.executor == "ray, 2 workers"
