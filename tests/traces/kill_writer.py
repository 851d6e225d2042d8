"""Forks processes that record traces in one folder, kills them, and looks at what they left.

Run as a program, it imports everything once and touches no file itself before it forks.
"""

import itertools
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow  # before the forks, so that no child spends its life importing
import pyarrow.parquet  # noqa: F401

from langgraph_memskill.testing.traces import make_bank, make_episode, make_step
from langgraph_memskill.traces.episodes import read_recorded
from langgraph_memskill.traces.reader import TraceReader
from langgraph_memskill.traces.writer import TraceWriter

JOIN_AFTER = 3


def record(folder: Path, name: str, pipe: int, numbers: Iterable[int]) -> None:
    """Record episodes of two steps; what is on disk is said."""
    writer = TraceWriter(folder, join_after=JOIN_AFTER)
    writer.add_bank(make_bank())
    for number in numbers:
        episode = f"{name}-{number}"
        writer.add_steps([make_step(episode, 0), make_step(episode, 1)])
        writer.add_episode(make_episode(episode, reward=1.0, source="f1"))
        os.write(pipe, f"{episode}\n".encode())


def fork(work: Callable[[int], None]) -> tuple[int, int]:
    reader, pipe = os.pipe()
    child = os.fork()
    if child:
        os.close(pipe)
        return child, reader
    status = 3
    try:
        os.close(reader)
        work(pipe)
        status = 0
    finally:
        os._exit(status)


def first_line(reader: int) -> str:
    line = b""
    while not line.endswith(b"\n") and (more := os.read(reader, 1)):
        line += more
    return line.decode().strip()


def heard(child: int, reader: int) -> tuple[int, list[str]]:
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read().decode().splitlines(keepends=True)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, [line.strip() for line in said if line.endswith("\n")]


def report(folder: Path, acknowledged: list[str]) -> dict[str, object]:
    reader = TraceReader(folder)
    rows = Counter(span for batch in reader.step_batches(["span_id"]) for (span,) in rows_of(batch))
    whole = {e.id for e in read_recorded(reader) if len(e.steps) == 2 and e.reward == 1.0}
    return {
        "acknowledged": len(acknowledged),
        "lost": sorted(set(acknowledged) - whole),
        "doubled": sorted(span for span, count in rows.items() if count > 1),
        "files": len(reader.files("steps")),
        "skipped": sorted({entry.reason for entry in reader.skipped}),
    }


def rows_of(batch: pyarrow.RecordBatch) -> list[tuple[str]]:
    return list(zip(*(column.to_pylist() for column in batch.columns), strict=True))


def killed_at_random(folder: Path, rounds: int) -> dict[str, object]:
    chance = random.Random(4)
    said: list[str] = []
    killed = 0
    for number in range(rounds):
        child, reader = fork(
            lambda pipe, n=number: record(folder, f"k{n}", pipe, itertools.count())
        )
        first = first_line(reader)
        time.sleep(chance.uniform(0, 0.05))
        os.kill(child, signal.SIGKILL)
        status, lines = heard(child, reader)
        killed += status == -signal.SIGKILL
        said += [first, *lines]
    return report(folder, said) | {"killed": killed}


def killed_at_each_step(folder: Path) -> dict[str, object]:
    """Die right before and right after every file system call that changes something."""
    said: list[str] = []
    places = []
    for place in range(40):
        child, reader = fork(lambda pipe, p=place: dying(folder, p, pipe))
        status, lines = heard(child, reader)
        said += lines
        if status == 0:
            break
        places.append(status)
    return report(folder, said) | {"places": len(places), "statuses": sorted(set(places))}


def dying(folder: Path, place: int, pipe: int) -> None:
    left = place

    def dies(call: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*args: object, **options: object) -> object:
            nonlocal left
            if left == 0:
                os._exit(9)
            left -= 1
            return call(*args, **options)

        return wrapped

    os.replace = dies(os.replace)  # type: ignore[assignment]
    os.fsync = dies(os.fsync)  # type: ignore[assignment]
    Path.unlink = dies(Path.unlink)  # type: ignore[assignment, method-assign]
    record(folder, f"d{place}", pipe, range(JOIN_AFTER))


def several_at_once(folder: Path) -> dict[str, object]:
    children = [
        fork(lambda pipe, n=number: record(folder, f"s{n}", pipe, range(10))) for number in range(4)
    ]
    results = [heard(*child) for child in children]
    said = [line for _, lines in results for line in lines]
    return report(folder, said) | {"statuses": [status for status, _ in results]}


if __name__ == "__main__":
    what, where = sys.argv[1], Path(sys.argv[2])
    if what == "killed_at_random":
        found = killed_at_random(where, int(sys.argv[3]))
    elif what == "killed_at_each_step":
        found = killed_at_each_step(where)
    else:
        found = several_at_once(where)
    print(json.dumps(found))  # noqa: T201
