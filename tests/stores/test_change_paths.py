"""What becomes of log and store when the writing between them goes wrong."""

import asyncio
import threading
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import Op, PutOp, Result
from langgraph.store.memory import InMemoryStore

from langgraph_memskill.errors import ChangeLogError, UndoError
from langgraph_memskill.records import ActionType, Change, ChangeKind, Memory, MemoryAction
from langgraph_memskill.stores.applying import Cause, MemoryWriter
from langgraph_memskill.stores.change_plans import Plan
from langgraph_memskill.stores.changes import ChangeLog
from langgraph_memskill.stores.items import memory_of

NS = ("memories", "u1")
TOOL = Cause(kind="tool")


class Faulty(InMemoryStore):
    """Fails on demand, before or after the writing."""

    fails_before = fails_after = fails_to_read = False
    pause: threading.Event | None = None

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        listed = list(ops)
        is_write = any(isinstance(op, PutOp) for op in listed)
        if self.fails_to_read and not is_write:
            raise ConnectionError("reading failed")
        if is_write and self.fails_before:
            raise ConnectionError("before")
        result = super().batch(listed)
        if is_write and self.fails_after:
            raise ConnectionError("after")
        return result

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        listed = list(ops)
        if self.pause is not None and any(isinstance(op, PutOp) for op in listed):
            while not self.pause.is_set():
                await asyncio.sleep(0.001)
        return self.batch(listed)


@pytest.fixture
def store() -> Faulty:
    return Faulty()


@pytest.fixture
def writer(store: Faulty) -> MemoryWriter:
    return MemoryWriter(store, ChangeLog())


@pytest.fixture(params=["sync", "async"])
def apply(request: pytest.FixtureRequest, writer: MemoryWriter) -> Any:
    def run(*actions: MemoryAction) -> Any:
        if request.param == "sync":
            return writer.apply(NS, actions, TOOL)
        return asyncio.run(writer.aapply(NS, actions, TOOL))

    return run


def _insert(change: str, content: str) -> MemoryAction:
    return MemoryAction(type=ActionType.INSERT, content=content, change_id=change)


def _update(memory_id: str, change: str, content: str) -> MemoryAction:
    return MemoryAction(
        type=ActionType.UPDATE, memory_id=memory_id, content=content, change_id=change
    )


def _texts(store: InMemoryStore) -> dict[str, Any]:
    return {item.key: item.value["text"] for item in store.search(NS, limit=100)}


def _logged(writer: MemoryWriter) -> list[tuple[str, int, str | None]]:
    return [(c.id, c.version, c.content) for c in writer.log.entries(NS)]


def test_what_the_store_refused_is_not_logged(
    apply: Any, store: Faulty, writer: MemoryWriter
) -> None:
    apply(_insert("a", "one"))
    store.fails_before = True
    with pytest.raises(ConnectionError, match="before"):
        apply(_update("a", "b", "two"), _insert("c", "three"))
    store.fails_before = False
    assert _logged(writer) == [("a", 1, "one")]
    assert writer.log.num_pending() == 0
    apply(_update("a", "b", "two"))
    assert _logged(writer) == [("a", 1, "one"), ("b", 2, "two")]


def test_what_the_store_has_in_spite_of_an_error_is_logged(
    apply: Any, store: Faulty, writer: MemoryWriter
) -> None:
    store.fails_after = True
    with pytest.raises(ConnectionError, match="after"):
        apply(_insert("a", "one"))
    store.fails_after = False
    assert _logged(writer) == [("a", 1, "one")]
    assert apply(_insert("a", "one")).memories[0].content == "one"
    assert _texts(store) == {"a": "one"}


def test_what_cannot_be_read_back_is_redone_by_the_next_writer(
    apply: Any, store: Faulty, writer: MemoryWriter
) -> None:
    apply(_insert("a", "one"))
    original = writer.log.append

    def fail_from_here(*arguments: Any) -> None:
        original(*arguments)
        store.fails_before = store.fails_to_read = True

    writer.log.append = fail_from_here  # type: ignore[method-assign, assignment]
    with pytest.raises(ConnectionError, match="before"):
        apply(_update("a", "b", "two"))
    writer.log.append = original  # type: ignore[method-assign]
    store.fails_before = store.fails_to_read = False
    assert writer.log.num_pending() == 1
    assert _texts(store) == {"a": "one"}
    apply(_insert("c", "three"))
    assert _texts(store) == {"a": "two", "c": "three"}
    item = store.get(NS, "a")
    assert item is not None
    assert [v.content for v in memory_of(item).history] == ["one", "two"]


def test_recovery_at_opening(store: Faulty, writer: MemoryWriter) -> None:
    writer.apply(NS, [_insert("a", "one")], TOOL)
    [settled] = writer.log.entries(NS)
    at = datetime.now(UTC)
    gone = Change(
        id="b",
        memory_id="a",
        namespace=NS,
        version=2,
        kind=ChangeKind.DELETE,
        cause="forget",
        before=settled.after,
        at=at,
    )
    writer.log.append([gone])
    asyncio.run(writer.arecover())
    assert _texts(store) == {}
    back = Change(
        id="c",
        memory_id="a",
        namespace=NS,
        version=3,
        kind=ChangeKind.INSERT,
        cause="undo",
        after=settled.after,
        at=at,
        undoes="b",
    )
    writer.log.append([back])
    writer.recover()
    assert _texts(store) == {"a": "one"}
    assert store.search(("memskill", "deleted")) == []
    assert writer.log.num_pending() == 0


async def test_a_cancelled_task_still_ends_its_writing(store: Faulty, writer: MemoryWriter) -> None:
    store.pause = threading.Event()
    task = asyncio.create_task(writer.aapply(NS, [_insert("a", "one")], TOOL))
    while not writer.log.num_pending():
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    next_one = asyncio.create_task(writer.aapply(NS, [_update("a", "b", "two")], TOOL))
    await asyncio.sleep(0.02)
    assert _texts(store) == {}
    store.pause.set()
    await next_one
    assert _logged(writer) == [("a", 1, "one"), ("b", 2, "two")]
    assert _texts(store) == {"a": "two"}


def test_two_updates_of_one_memory_in_one_step(apply: Any, writer: MemoryWriter) -> None:
    apply(_insert("a", "one"), _insert("x", "same"), _insert("y", "same"))
    apply(_update("a", "b", "same"), _update("a", "c", "three"))
    assert _logged(writer)[-2:] == [("b", 2, "same"), ("c", 3, "three")]
    assert _texts(writer.store)["a"] == "three"  # type: ignore[arg-type]
    times = [change.at for change in writer.log.entries(NS, memory_id="a")]
    assert times == sorted(set(times))


def test_two_writers_with_files_take_turns(tmp_path: Path) -> None:
    store = InMemoryStore()
    writers = [MemoryWriter(store, ChangeLog(tmp_path / "changes.db")) for _ in range(3)]
    writers[0].apply(NS, [_insert("a", "0")], TOOL)

    def write(number: int) -> None:
        for n in range(10):
            if number == 2:
                step = [_update("a", f"{number}.{n}", f"{number}.{n}")]
                asyncio.run(writers[number].aapply(NS, step, TOOL))
            else:
                writers[number].apply(NS, [_update("a", f"{number}.{n}", f"{number}.{n}")], TOOL)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [version for _, version, _ in _logged(writers[0])] == list(range(1, 32))
    item = store.get(NS, "a")
    assert item is not None
    assert len(memory_of(item).history) == 31
    for writer in writers:
        writer.log.close()


def test_a_lock_that_another_keeps_is_named(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("langgraph_memskill.stores.locks._FILE_WAIT_S", 0.05)
    first, second = (ChangeLog(tmp_path / "changes.db") for _ in range(2))
    with first.locks.hold(NS):
        with pytest.raises(ChangeLogError, match="another process"), second.locks.hold(NS):
            pass
        with pytest.raises(ChangeLogError, match="another process"):
            asyncio.run(second.locks.aacquire(NS))
    with second.locks.hold(NS):
        pass


def test_an_item_that_expired_is_logged_as_such(
    store: Faulty, writer: MemoryWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Faulty, "ttl_config", {"default_ttl": 1}, raising=False)
    writer.apply(NS, [_insert("a", "one")], TOOL)
    store.delete(NS, "a")
    [noted] = writer.reconcile(NS, ["a", "never"])
    assert (noted.kind, noted.cause, noted.previous) == (ChangeKind.DELETE, "ttl", "one")
    assert asyncio.run(writer.areconcile(NS, ["a"])) == []


def _memory(memory_id: str, content: str) -> Memory:
    at = datetime(2025, 5, 5, tzinfo=UTC)
    return Memory(id=memory_id, content=content, namespace=NS, created_at=at, updated_at=at)


def test_what_is_taken_in_is_exactly_as_given_with_its_life(
    store: Faulty, writer: MemoryWriter
) -> None:
    other = MemoryWriter(InMemoryStore(), ChangeLog())
    other.apply(NS, [_insert("a", "one")], TOOL)
    other.apply(NS, [_update("a", "b", "two")], TOOL)
    item = other.store.get(NS, "a")
    assert item is not None
    given, cause = memory_of(item), Cause(kind="import", run_id="r")
    writer.carry_out(
        NS, ["a"], cause, lambda plan: plan.take_in(given, deleted=False, change_id="c")
    )
    taken = store.get(NS, "a")
    assert taken is not None
    assert memory_of(taken) == given
    assert _logged(writer) == [("a", 1, "one"), ("b", 2, "two"), ("c", 3, "two")]
    last = writer.log.entries(NS)[-1]
    assert (last.kind, last.cause, last.run_id, last.before) == (
        ChangeKind.TOUCH,
        "import",
        "r",
        None,
    )
    with pytest.raises(UndoError, match="change 'c'"):
        writer.undo(NS, writer.log.entries(change_id="b"), None)
    writer.undo(NS, [last], None)
    assert _texts(store) == {}


def test_what_has_no_history_begins_with_its_coming(store: Faulty, writer: MemoryWriter) -> None:
    given = _memory("a", "one")
    writer.carry_out(
        NS,
        ["a"],
        Cause(kind="import"),
        lambda plan: plan.take_in(given, deleted=False, change_id="c"),
    )
    item = store.get(NS, "a")
    assert item is not None
    taken = memory_of(item)
    assert replace(taken, history=()) == given
    assert [(v.content, v.change_id, v.cause) for v in taken.history] == [("one", "c", "import")]
    assert [c.kind for c in writer.log.entries(NS)] == [ChangeKind.INSERT]


def test_a_plan_that_raises_changes_nothing(store: Faulty, writer: MemoryWriter) -> None:
    def plan_changes(plan: Plan) -> None:
        plan.put("a", _memory("a", "one"), "c")
        raise UndoError("no")

    with pytest.raises(UndoError, match="no"):
        writer.carry_out(NS, ["a"], Cause(kind="doctor"), plan_changes)
    assert (writer.log.entries(NS), _texts(store)) == ([], {})
