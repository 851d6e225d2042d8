"""Clusters that a run starts itself, and those that it joins."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from langgraph_memskill.benchmarks.run_log import read_run_log
from langgraph_memskill.cli import app
from tests.benchmarks.running.worlds import data_file
from tests.integration.ray_runs import (
    GRACE_S,
    RAY_MARKS,
    differ,
    kill_marked,
    marked,
    until,
)
from tests.orders_server import OrdersServer
from tests.ports import free_port

pytest.importorskip("ray", reason="needs Ray: pip install 'langgraph-memskill[ray]'")
pytestmark = [
    *RAY_MARKS,
    pytest.mark.skipif(
        not Path("/proc/self/environ").exists(), reason="looks for processes in /proc"
    ),
]

BIN = Path(sys.executable).parent
STARTS = 4
"""Tries to start a node: Ray gives a part of it 30 s, which a busy machine may exceed."""
PER_NODE = (
    "--block",
    "--num-cpus=1",
    "--object-store-memory=100000000",
    # Whatever is free: all nodes are on one machine.
    "--min-worker-port=0",
    "--max-worker-port=0",
    "--dashboard-agent-listen-port=0",
    "--node-ip-address=127.0.0.1",
)


def memskill(*options: object, mark: str, folder: Path, **variables: str) -> subprocess.Popen[str]:
    """The command, in a session of its own."""
    return subprocess.Popen(
        [BIN / "memskill", *map(str, options)],
        cwd=folder,
        env=os.environ | {"MEMSKILL_TEST_MARK": mark} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell that starts the tests in the background has them, and this one, ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def interrupt(process: subprocess.Popen[str], reached: threading.Event) -> str:
    """Press Ctrl-C when the model is called; gives what was written to stderr."""
    until(lambda: reached.is_set() or process.poll() is not None, "no model call")
    assert process.poll() is None, process.communicate()
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=GRACE_S)
    assert process.returncode != 0
    assert not output
    return errors


class Holding:
    """A rule that lets prompts wait."""

    def __init__(self) -> None:
        self.reached, self.leave = threading.Event(), threading.Event()

    def __call__(self, prompt: str) -> int:
        self.reached.set()
        self.leave.wait(GRACE_S)
        return 200


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return data_file(tmp_path)


def test_ctrl_c_ends_a_local_cluster_with_all_its_processes(
    model_server: OrdersServer, data: Path, tmp_path: Path
) -> None:
    model_server.rule = holding = Holding()
    mark = f"MARK-{uuid.uuid4().hex}"
    options = ["--split", "all", "--rows", "none", "--model", model_server.spec]
    spread = ["--executor", "ray", "--ray-workers", "1"]
    process = memskill(
        *("bench", "locomo", "--data", data, *options, *spread),
        mark=mark,
        folder=tmp_path,
        RAY_ADDRESS="",
    )
    try:
        until(lambda: holding.reached.is_set() or process.poll() is not None, "no model call")
        assert len(marked(mark)) > 3
        interrupt(process, holding.reached)
        until(lambda: not marked(mark), "processes are left")
    finally:
        holding.leave.set()
        kill_marked(mark)
        process.wait()


@dataclass(frozen=True)
class Joinable:
    """A cluster of two nodes, with one CPU and a key for the model each."""

    address: str
    access: dict[str, str]
    marks: tuple[str, str]
    """In the environment of the processes of each node."""


def access(folder: Path) -> dict[str, str]:
    """What every process of a cluster needs to find it and to be let in."""
    return {
        "RAY_TMPDIR": str(folder),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
    }


@contextmanager
def node(*options: str, key: str, folder: Path) -> Iterator[str]:
    """`ray start` with these options; gives a mark of all processes that it starts."""
    mark = f"MARK-{uuid.uuid4().hex}"
    log = folder / f"{mark}.txt"
    variables = access(folder) | {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ADDRESS": ""}
    variables |= {"MEMSKILL_API_KEY": key, "MEMSKILL_TEST_MARK": mark}
    process = None
    try:
        for left in reversed(range(STARTS)):
            process = begun(options, log, os.environ | variables)
            if process.poll() is None:
                break
            kill_marked(mark)
            assert left, log.read_text(encoding="utf-8")
        yield mark
    finally:
        kill_marked(mark)
        if process is not None:
            process.wait()


def begun(
    options: Sequence[str], log: Path, environment: Mapping[str, str]
) -> subprocess.Popen[str]:
    """A node that has started, or ended over it."""
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [BIN / "ray", "start", *options, *PER_NODE],
            cwd=log.parent,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def has_begun() -> bool:
        return "Ray runtime started" in log.read_text(encoding="utf-8")

    until(lambda: has_begun() or process.poll() is not None, "the node does not start")
    return process


@pytest.fixture(scope="module")
def cluster() -> Iterator[Joinable]:
    """For all tests, the last of which ends a node."""
    # Not pytest's folder, whose path is too long for Ray's sockets.
    folder = Path(tempfile.mkdtemp(prefix="ray"))
    (folder / "token").write_text(uuid.uuid4().hex)
    port = free_port()
    address = f"127.0.0.1:{port}"
    head = ("--head", f"--port={port}", "--include-dashboard=false")
    client = f"--ray-client-server-port={free_port()}"
    with ExitStack() as ends:
        ends.callback(shutil.rmtree, folder, ignore_errors=True)
        first = ends.enter_context(node(*head, client, key="one", folder=folder))
        second = ends.enter_context(node(f"--address={address}", key="two", folder=folder))
        yield Joinable(address=address, access=access(folder), marks=(first, second))


def workers_of(mark: str) -> list[int]:
    """Processes of a node that work for somebody."""
    found = []
    for pid in marked(mark):
        try:
            if b"ray::Host" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
        except OSError:
            continue
    return found


@pytest.fixture
def common(data: Path, model_server: OrdersServer) -> list[object]:
    """Options of every run."""
    return ["--data", data, "--model", model_server.spec, "--json"]


def finished(process: subprocess.Popen[str]) -> Any:
    """What a command reports."""
    output, errors = process.communicate(timeout=2 * GRACE_S)
    assert process.returncode == 0, errors
    return json.loads(output)


def test_a_cluster_is_joined_shared_and_left_running(
    cluster: Joinable, model_server: OrdersServer, common: list[object], tmp_path: Path
) -> None:
    def run(*options: object, **variables: str) -> subprocess.Popen[str]:
        spread = (*common, "--executor", "ray")
        variables = {"RAY_ADDRESS": ""} | cluster.access | variables
        return memskill(*options, *spread, mark="driver", folder=tmp_path, **variables)

    bench = ("bench", "locomo", "--split=all", "--rows=none", "--cache=memories")
    # Ctrl-C in the middle, of a run that finds the cluster itself.
    model_server.rule = holding = Holding()
    process = run(*bench, "--ray-address", "auto")
    try:
        interrupt(process, holding.reached)
    finally:
        holding.leave.set()
        process.kill()
        process.wait()
    assert all(marked(mark) for mark in cluster.marks)
    until(lambda: not any(map(workers_of, cluster.marks)), "workers of the run are left")

    # More workers than the cluster has room for: those that there are do the work.
    model_server.rule = lambda prompt: 200
    model_server.keys.clear()
    finished(run(*bench, "--out=r", "--ray-address", cluster.address, "--ray-workers=5"))
    assert read_run_log(tmp_path / "r").times.executor == "ray, 5 workers"
    assert model_server.keys <= {"Bearer one", "Bearer two"}

    sizes = ("outer_epochs=1", "inner_epochs=1", "episodes=2", "hidden_dim=8")
    settings = [f"--set={size}" for size in sizes]
    report = finished(run("train", "locomo", "--out=t", *settings, RAY_ADDRESS=cluster.address))
    assert report["state"]["step"] == 1
    assert all(marked(mark) for mark in cluster.marks)


def test_the_work_of_a_node_that_goes_away_is_done_by_another_one(
    cluster: Joinable, model_server: OrdersServer, common: list[object], tmp_path: Path
) -> None:
    killed, lock = threading.Event(), threading.Lock()

    def kill_the_second_node(prompt: str) -> int:
        # The second worker may start after the first one.
        until(lambda: killed.is_set() or bool(workers_of(cluster.marks[1])), "no second worker")
        with lock:
            if not killed.is_set() and "Bearer two" in model_server.keys:
                kill_marked(cluster.marks[1])
                killed.set()
        return 200

    rows = ["--split=all", "--rows=none,rag,similarity", "--concurrency=1"]
    options = ["bench", "locomo", *common, *rows]
    here = [*options, "--out", tmp_path / "here", "--cache", tmp_path / "memories"]
    result = CliRunner().invoke(app, list(map(str, here)))
    assert result.exit_code == 0, result.output
    model_server.keys.clear()
    model_server.rule = kill_the_second_node
    there = ["--out=there", "--executor=ray", "--ray-address", cluster.address]
    variables = {"RAY_ADDRESS": ""} | cluster.access
    process = memskill(*options, *there, mark="driver", folder=tmp_path, **variables)
    finished(process)
    assert killed.is_set()
    assert model_server.keys == {"Bearer one", "Bearer two"}
    assert differ(read_run_log(tmp_path / "there"), read_run_log(tmp_path / "here")) == []
