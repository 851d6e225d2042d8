"""Runs over a Ray cluster, and the same ones without: what the tests of Ray share."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from langgraph_memskill.benchmarks.registry import get_task
from langgraph_memskill.benchmarks.run_log import RunLog, without_times
from langgraph_memskill.benchmarks.running.material import load_data
from langgraph_memskill.benchmarks.running.models import NamedModel
from langgraph_memskill.benchmarks.running.remote import Spread
from langgraph_memskill.benchmarks.running.run import BenchmarkRun, Models
from langgraph_memskill.benchmarks.running.settings import RunSettings
from langgraph_memskill.models import load_model
from langgraph_memskill.workers.pool import WorkerPool
from langgraph_memskill.workers.specs import EncoderSpec, ModelSpec
from tests.orders_server import OrdersServer

RAY_MARKS = [
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


def make_bench(
    server: OrdersServer, data: Path, workers: WorkerPool | None = None, **options: Any
) -> BenchmarkRun:
    """A benchmark run, in this process or with a pool of workers."""
    settings = RunSettings(**({"split": "all", "attempts": 2} | options))
    task, spec = get_task("locomo"), ModelSpec(spec=server.spec)
    # A fresh one, because a client belongs to the event loop that it was first used in.
    named = NamedModel(model=load_model(server.spec), spec=server.spec)
    models = Models(executor=named, reader=named, judge=None, encoder=ENCODER.load())
    spread = None
    if workers is not None:
        spread = Spread(
            pool=workers, task="locomo", executor=spec, reader=spec, judge=None, encoder=ENCODER
        )
    return BenchmarkRun(task, load_data(task, data, settings), models, settings, spread=spread)


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


def pids(pool: WorkerPool) -> dict[int, int]:
    """The leases of the pool's workers by process id; waits until all of them are ready."""
    import ray

    found = {}
    for worker in tuple(pool.workers):
        with suppress(ray.exceptions.RayError):  # died before it was ready
            found[ray.get(worker.ready, timeout=GRACE_S).pid] = worker.leases
    return found


class Killing:
    """A rule that kills a worker at the first prompt with each of some texts, each time another."""

    def __init__(self, pool: WorkerPool, *texts: str) -> None:
        pids(pool)
        self.killed: list[int] = []
        self._pool = pool
        self._left = list(texts)
        self._lock = threading.Lock()

    def __call__(self, prompt: str) -> int:
        with self._lock:
            found = next((text for text in self._left if text in prompt), None)
            if found is not None:
                self._left.remove(found)
                living = {p: n for p, n in pids(self._pool).items() if p not in self.killed}
                # One that has work, so that it is missed.
                self.killed.append(max(living, key=lambda pid: living[pid]))
                os.kill(self.killed[-1], signal.SIGKILL)
        return 200


async def break_off(work: Callable[[], Coroutine[Any, Any, Any]], server: OrdersServer) -> None:
    """Cancel some work while it waits for the model, which answers afterwards."""
    reached, leave = threading.Event(), threading.Event()

    def wait(prompt: str) -> int:
        reached.set()
        leave.wait(GRACE_S)
        return 200

    server.rule = wait
    try:
        task = asyncio.create_task(work())
        assert await asyncio.to_thread(reached.wait, GRACE_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    finally:
        leave.set()


def counted(server: OrdersServer) -> list[str]:
    """The prompts that the model answers from now on."""
    prompts: list[str] = []

    def note(prompt: str) -> int:
        prompts.append(prompt)
        return 200

    server.rule = note
    return prompts


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


def kill_marked(mark: str) -> None:
    """End them at once, and wait until they are gone."""

    def is_gone() -> bool:
        for pid in marked(mark):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not marked(mark)

    until(is_gone, "processes are left")


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + GRACE_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
