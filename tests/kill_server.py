"""Forks processes that remember in one folder, kills them, and looks at what they left.

Run as a program, it imports everything once and opens no store itself, so that forking is safe.
"""

import importlib
import itertools
import json
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from conftest import ReadingModel, WordEncoder  # type: ignore[attr-defined]  # beside this file

from langgraph_memskill.embedding import load_encoder
from langgraph_memskill.errors import ChangeLogError
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.memory_folder import DEFAULT_PACKS, MemoryFolder
from langgraph_memskill.records import ChangeKind
from langgraph_memskill.settings import Settings
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.stores.change_rows import bare
from langgraph_memskill.stores.changes import ChangeLog
from langgraph_memskill.stores.shelf import Shelf

USER = "ann"
NUM_STEPS = 4
Say = Callable[[object], None]


def open_memory(folder: Path) -> MemSkillMemory:
    settings = Settings(top_k=5)
    return MemSkillMemory.open(folder, ReadingModel(), encoder=WordEncoder(), settings=settings)


def fork(work: Callable[[Say], None]) -> tuple[int, int]:
    """Start a child; what it says can be read from the pipe, a line each."""
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        return child, reader
    status = 3
    try:
        os.close(reader)

        def say(value: object) -> None:
            os.write(writer, json.dumps(value).encode() + b"\n")

        work(say)
        status = 0
    except Exception:  # noqa: BLE001  # the child's outermost point
        traceback.print_exc()
    finally:
        os._exit(status)


def wait_for_line(reader: int) -> bytes:
    """Wait until the child has said something; empty if it ended without a word."""
    line = b""
    while not line.endswith(b"\n") and (more := os.read(reader, 1)):
        line += more
    return line


def wait(child: int, reader: int, heard: bytes = b"") -> tuple[int, list[Any]]:
    with os.fdopen(reader, "rb") as pipe:
        said = (heard + pipe.read()).decode().splitlines(keepends=True)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, [json.loads(line) for line in said if line.endswith("\n")]


def remembering(folder: Path, name: str, times: Iterable[int] = (0,)) -> Callable[[Say], None]:
    """Insert, update, insert and delete, so many times; every acknowledged text is said."""

    def work(say: Say) -> None:
        memory = open_memory(folder)
        say("open")
        for number in times:
            one, other, gone = (f"{name}n{number}{letter}" for letter in "abc")
            for step in (
                f"remember {one}",
                f"change {one} to {other}",
                f"remember {gone}",
                f"forget {gone}",
            ):
                result = memory.remember(step, user_id=USER)
                assert not result.failed, result.failed
                for action in result.actions:  # none if the chosen skills do not allow the step
                    say(["done", action.change_id, action.memory_id, action.content])
        memory.close()

    return work


def _pending(folder: Path) -> int:
    if not (folder / "changes.db").exists():
        return 0
    try:
        with ChangeLog(folder / "changes.db", read_only=True) as log:
            return log.num_pending()
    except ChangeLogError:
        return 0  # killed before the table was made


def problems(folder: Path, acknowledged: list[Any], users: Sequence[str], say: Say) -> None:
    """Say what is wrong between store, log and acknowledgements, and how many were pending."""
    pending = _pending(folder)
    memory = open_memory(folder)
    log, found = memory.change_log, []
    if log.num_pending():
        found.append("there are pending changes after opening")
    found += log.check()
    live = {m.id: m for user in users for m in memory.memories(user_id=user)}
    dead = {m.id: m for user in users for m in memory.forgotten(user_id=user)}
    changes = [change for user in users for change in memory.changes(user_id=user)]
    last = {c.memory_id: c for c in changes}
    if {key for key, change in last.items() if change.after} != set(live):
        found.append("log and store have different memories")
    if {key for key, change in last.items() if not change.after} != set(dead):
        found.append("log and store have different deleted memories")
    for key, item in {**live, **dead}.items():
        own = [c for c in changes if c.memory_id == key and c.kind is not ChangeKind.TOUCH]
        if [v.change_id for v in item.history] != [c.id for c in own]:
            found.append(f"item and log have different histories of {key}")
        if key in live and bare(item) != last[key].after:
            found.append(f"item and log differ: {item} {last[key].after}")
    logged = Counter((c.id, c.memory_id) for c in changes)
    stored = Counter(
        (v.change_id, m.id) for m in [*live.values(), *dead.values()] for v in m.history
    )
    for _, change_id, memory_id, content in acknowledged:
        place = (change_id, memory_id)
        if logged[place] != 1 or stored[place] != 1:
            found.append(f"{content!r}: {logged[place]} times in the log, {stored[place]} stored")
    memory.close()
    say({"problems": found, "pending": pending, "changes": len(changes)})


def check(folder: Path, acknowledged: list[Any], users: Sequence[str] = (USER,)) -> dict[str, Any]:
    status, said = wait(*fork(lambda say: problems(folder, acknowledged, users, say)))
    report: dict[str, Any] = said[-1] if said else {"problems": [], "pending": 0}
    if status:
        report["problems"].append(f"checking ended with {status}")
    return report


def killed_at_random(folder: Path, rounds: int) -> dict[str, Any]:
    """Kill after a random time: counted from the start in one round, from the opening in the next.

    Opening takes most of a round, and how much of it differs from machine to machine. A process
    to be killed remembers without end, so that it is never done before it is killed.
    """
    chance = random.Random(7)
    acknowledged: list[Any] = []
    opening: list[float] = []
    working: list[float] = []
    for number in range(3):
        start = time.monotonic()
        child, reader = fork(remembering(folder, f"first{number}"))
        heard = wait_for_line(reader)
        opening.append(time.monotonic() - start)
        status, said = wait(child, reader, heard)
        working.append(time.monotonic() - start - opening[-1])
        assert status == 0, "a round without a kill failed"
        acknowledged += said[1:]
    report: Counter[str] = Counter()
    found: list[str] = []
    for number in range(rounds):
        child, reader = fork(remembering(folder, f"r{number}", itertools.count()))
        heard = b""
        if number % 3:
            heard = wait_for_line(reader)
            time.sleep(chance.uniform(0, min(working)))
        else:
            time.sleep(chance.uniform(0, min(opening)))
        os.kill(child, signal.SIGKILL)
        status, said = wait(child, reader, heard)
        new = [line for line in said if line != "open"]
        acknowledged += new
        outcome = check(folder, acknowledged)
        report["killed"] += status == -signal.SIGKILL
        report["killed while opening"] += not said
        report["killed while remembering"] += bool(said) and status == -signal.SIGKILL
        report["with pending changes"] += outcome["pending"] > 0
        report["failed by itself"] += status > 0
        found += [f"round {number}: {problem}" for problem in outcome["problems"]]
    return {**report, "problems": found, "acknowledged": len(acknowledged)}


def killed_at_each_step(folder: Path, rounds: int) -> dict[str, Any]:
    """Exit before the first and after every write to log and store, in turn."""
    acknowledged: list[Any] = []
    found: list[str] = []
    pending = number = 0
    places = []
    while True:
        status, said = wait(*fork(_exiting_at(folder, number)))
        acknowledged += [line for line in said if line[0] == "done"]
        places += [line[1] for line in said if line[0] == "exit"]
        outcome = check(folder, acknowledged)
        pending += outcome["pending"] > 0
        found += [f"step {number}: {problem}" for problem in outcome["problems"]]
        if status != 9:
            assert status == 0, "a round without a kill failed"
            return {"problems": found, "with pending changes": pending, "places": places}
        number += 1


def _exiting_at(folder: Path, number: int) -> Callable[[Say], None]:
    def work(say: Say) -> None:
        count = 0

        def pass_by(place: str) -> None:
            nonlocal count
            if count == number:
                say(["exit", place])
                os._exit(9)
            count += 1

        def wrapped(original: Any, name: str) -> Any:
            def call(*arguments: Any, **options: Any) -> Any:
                if name == "append":
                    pass_by("before append")
                result = original(*arguments, **options)
                pass_by(f"after {name}")
                return result

            return call

        for owner, name in (
            (ChangeLog, "append"),
            (ChangeLog, "settle"),
            (Shelf, "write"),
            (Shelf, "remove"),
        ):
            setattr(owner, name, wrapped(getattr(owner, name), name))
        remembering(folder, f"s{number}")(say)

    return work


def several_at_once(folder: Path, rounds: int) -> dict[str, Any]:
    """Four processes insert for one user and for users of their own, and update one memory."""
    shared = ""

    def begin(say: Say) -> None:
        with open_memory(folder) as memory:
            say(memory.save("shared 0", user_id=USER).id)

    def write(name: str) -> Callable[[Say], None]:
        def work(say: Say) -> None:
            with open_memory(folder) as memory:
                for number in range(rounds):
                    for user in (USER, name):
                        result = memory.remember(f"remember {name} {number}", user_id=user)
                        [action] = result.actions
                        say(["done", action.change_id, action.memory_id, action.content])
                    text = f"shared {name} {number}"
                    saved = memory.save(text, memory_id=shared, user_id=USER)
                    say(["done", saved.history[-1].change_id, shared, text])

        return work

    _, [shared] = wait(*fork(begin))
    names = [f"process{n}" for n in range(4)]
    children = [fork(write(name)) for name in names]
    results = [wait(*child) for child in children]
    acknowledged = [line for _, said in results for line in said]
    outcome = check(folder, acknowledged, [USER, *names])
    outcome["statuses"] = [status for status, _ in results]
    outcome["acknowledged"] = len(acknowledged)
    return outcome


def opened_at_once(folder: Path, rounds: int) -> dict[str, Any]:
    """Three processes open a folder that is not there yet, at the same moment."""
    encoder = load_encoder(WordEncoder())
    seen: Counter[str] = Counter()
    for number in range(rounds):
        paths = MemoryFolder(folder / str(number))
        start = time.monotonic() + 0.03

        def look(say: Say, paths: MemoryFolder = paths, start: float = start) -> None:
            while time.monotonic() < start:
                pass
            paths.prepare(encoder)
            say(len(paths.load_bank()))

        children = [fork(look) for _ in range(3)]
        seen.update(str(wait(*child)) for child in children)
    left = [path.name for path in folder.rglob("*.partial")]
    return {"seen": seen, "skills": len(SkillBank.seed(*DEFAULT_PACKS)), "left": left}


_MODES = (killed_at_random, killed_at_each_step, several_at_once, opened_at_once)

if __name__ == "__main__":
    importlib.import_module("chromadb.api.rust")  # once, instead of in every child
    run = {f.__name__: f for f in _MODES}
    print(json.dumps(run[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))))  # noqa: T201
