"""Threads, tasks and several objects at one memory folder: nothing lost, nothing twice."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from langgraph_memskill import MemSkillMemory
from langgraph_memskill.stores.changes import ChangeLog
from langgraph_memskill.stores.shelf import Shelf
from tests.loops import Rounds

USERS = ("shared", "ann", "bob", "eve")
EACH = 5
Open = Callable[[], MemSkillMemory]


@pytest.fixture
def open_memory(tmp_path: Path, model: Any, encoder: Any) -> Iterator[Open]:
    """Opens the same folder again and again."""
    opened: list[MemSkillMemory] = []

    def open_() -> MemSkillMemory:
        opened.append(MemSkillMemory.open(tmp_path / "m", model, encoder=encoder))
        return opened[-1]

    yield open_
    for memory in opened:
        memory.close()


def texts(worker: str) -> list[tuple[str, str]]:
    """What a worker remembers, for whom: half of it for a user that all share."""
    return [
        (user, f"{worker} tells {user} number {number}")
        for number in range(EACH)
        for user in ("shared", worker)
    ]


def assert_all_is_there(memory: MemSkillMemory, *workers: str) -> None:
    expected = Counter(one for worker in workers for one in texts(worker))
    stored = Counter((user, m.content) for user in USERS for m in memory.memories(user_id=user))
    logged = Counter(
        (user, c.after.content) for user in USERS for c in memory.changes(user_id=user)
    )  # type: ignore[union-attr]
    assert stored == expected
    assert logged == expected
    assert memory.change_log.check() == []
    assert memory.change_log.num_pending() == 0


def tell(memory: MemSkillMemory, worker: str) -> None:
    for user, text in texts(worker):
        result = memory.remember(f"remember {text}", user_id=user)
        assert not result.failed
        # What others write in between makes a memory's neighbours fit as well as itself.
        assert text in [m.content for m in memory.recall(text, user_id=user, k=EACH)]


async def atell(memory: MemSkillMemory, worker: str) -> None:
    results = await asyncio.gather(
        *(memory.aremember(f"remember {text}", user_id=user) for user, text in texts(worker))
    )
    assert [result.failed for result in results if result.failed] == []


def test_threads_at_one_memory(open_memory: Open) -> None:
    memory = open_memory()
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda worker: tell(memory, worker), USERS[1:]))
    assert_all_is_there(memory, *USERS[1:])


async def test_tasks_at_one_memory(open_memory: Open) -> None:
    memory = await asyncio.to_thread(open_memory)
    await asyncio.gather(*(atell(memory, worker) for worker in USERS[1:]))
    await asyncio.to_thread(assert_all_is_there, memory, *USERS[1:])


def test_threads_and_tasks_at_several_objects_on_one_folder(open_memory: Open) -> None:
    one, other, third = open_memory(), open_memory(), open_memory()

    async def tasks() -> None:
        await asyncio.gather(atell(one, "ann"), atell(other, "bob"))

    with ThreadPoolExecutor(1) as pool:
        thread = pool.submit(tell, third, "eve")
        asyncio.run(tasks())
        thread.result()
    assert_all_is_there(open_memory(), "ann", "bob", "eve")


async def test_loop_runs_while_tasks_remember_and_recall(
    open_memory: Open, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, rounds = await asyncio.to_thread(open_memory), Rounds()
    for owner, name in (
        (Shelf, "write"),
        (Shelf, "fetch"),
        (ChangeLog, "append"),
        (type(model), "_generate"),
    ):
        monkeypatch.setattr(owner, name, rounds.holding_up(getattr(owner, name)))

    async def work() -> None:
        await atell(memory, "ann")
        await asyncio.gather(
            *(memory.arecall(text, user_id=user) for user, text in texts("ann")),
            *(memory.ahistory(m.id) for m in await memory.amemories(user_id="ann")),
        )

    await rounds.during(work())
    assert len(rounds.held_up) > 4 * EACH
    assert set(rounds.held_up) == {True}
