"""Clusters that a run starts itself, and those that it joins."""

import os
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import pytest

from tests.benchmarks.running.worlds import data_file
from tests.integration.ray_runs import (
    GRACE_S,
    RAY_MARKS,
    kill_marked,
    marked,
    until,
)
from tests.orders_server import OrdersServer

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'langgraph-memskill[ray]'")
pytestmark = [
    *RAY_MARKS,
    pytest.mark.skipif(
        not Path("/proc/self/environ").exists(), reason="looks for processes in /proc"
    ),
]

BIN = Path(sys.executable).parent


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
