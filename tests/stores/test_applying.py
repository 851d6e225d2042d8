import asyncio
import threading
from typing import Any

import pytest
from langgraph.store.memory import InMemoryStore

from langgraph_memskill.records import ActionType, Memory, MemoryAction, Span, Turn
from langgraph_memskill.stores.applying import Applied, Cause, MemoryWriter
from langgraph_memskill.stores.items import MemorySearch, memory_of
from langgraph_memskill.stores.tombstones import deleted_memory, get_tombstone

NS = ("memories", "u1")
SPAN = Span(
    id="e/0",
    index=0,
    text="Ann: I live in Oslo.",
    turns=(Turn(id="D1:1", speaker="Ann", text="I live in Oslo."),),
    time="1 May 2024",
)
CAUSE = Cause(kind="span", model="m", spans={SPAN.id: SPAN})


def _insert(content: str, change: str) -> MemoryAction:
    return MemoryAction(
        type=ActionType.INSERT,
        content=content,
        change_id=change,
        span_id=SPAN.id,
        skills=("insert",),
    )


def _update(memory_id: str, content: str, change: str) -> MemoryAction:
    return MemoryAction(
        type=ActionType.UPDATE,
        memory_id=memory_id,
        content=content,
        change_id=change,
        span_id=SPAN.id,
        skills=("update",),
    )


def _delete(memory_id: str, change: str) -> MemoryAction:
    return MemoryAction(type=ActionType.DELETE, memory_id=memory_id, change_id=change)


@pytest.fixture(params=["sync", "async"])
def apply(request: pytest.FixtureRequest, store: InMemoryStore) -> Any:
    writer = MemoryWriter(store)

    def run(*actions: MemoryAction) -> Applied:
        if request.param == "sync":
            return writer.apply(NS, actions, CAUSE)
        return asyncio.run(writer.aapply(NS, actions, CAUSE))

    return run


def _all(store: InMemoryStore) -> list[Memory]:
    return [memory_of(item) for item in store.search(NS, limit=1000)]


def test_an_insert_carries_its_provenance(apply: Any, store: InMemoryStore) -> None:
    applied = apply(_insert("Ann lives in Oslo.", "c1"))
    [memory] = _all(store)
    assert memory == applied.memories[0]
    assert (memory.content, memory.skills, memory.model) == ("Ann lives in Oslo.", ("insert",), "m")
    assert memory.sources[0].turn_ids == ("D1:1",)
    assert memory.sources[0].time == "1 May 2024"
    [version] = memory.history
    assert (version.change_id, version.cause, version.span_id) == ("c1", "span", "e/0")


def test_an_update_keeps_the_earlier_content(apply: Any, store: InMemoryStore) -> None:
    [first] = apply(_insert("Ann lives in Oslo.", "c1")).memories
    applied = apply(_update(first.id, "Ann lives in Rome.", "c2"))
    [memory] = _all(store)
    assert applied.actions[0].previous == "Ann lives in Oslo."
    assert [version.content for version in memory.history] == [
        "Ann lives in Oslo.",
        "Ann lives in Rome.",
    ]
    assert memory.skills == ("insert", "update")
    assert memory.created_at == first.created_at


def test_a_delete_leaves_a_tombstone_out_of_reach(apply: Any, store: InMemoryStore) -> None:
    [first] = apply(_insert("Ann lives in Oslo.", "c1")).memories
    applied = apply(_delete(first.id, "c2"))
    assert applied.actions[0].previous == "Ann lives in Oslo."
    assert _all(store) == []
    [item] = store.batch([get_tombstone(NS, first.id)])
    tombstone = deleted_memory(item)
    assert (tombstone.id, tombstone.namespace) == (first.id, NS)
    assert [v.content for v in tombstone.history] == ["Ann lives in Oslo.", ""]


def test_applying_the_same_actions_again_changes_nothing(apply: Any, store: InMemoryStore) -> None:
    [first] = apply(_insert("one", "c1")).memories
    [second] = apply(_insert("two", "c2")).memories
    step = (_update(first.id, "one!", "c3"), _delete(second.id, "c4"), _insert("three", "c5"))
    once, memories = apply(*step), _all(store)
    again = apply(*step)
    assert again == once
    assert _all(store) == memories
    assert [memory.content for memory in memories] == ["one!", "three"]


def test_what_is_gone_is_refused_and_the_rest_is_applied(apply: Any, store: InMemoryStore) -> None:
    applied = apply(_update("nowhere", "x", "c1"), _delete("nobody", "c2"), _insert("y", "c3"))
    assert [entry.action.memory_id for entry in applied.rejected] == ["nowhere", "nobody"]
    assert all("no memory has the id" in entry.reason for entry in applied.rejected)
    assert [memory.content for memory in _all(store)] == ["y"]


def test_a_memory_of_somebody_else_keeps_its_text_as_first_version(
    apply: Any, store: InMemoryStore
) -> None:
    store.put(NS, "theirs", {"text": "Ann likes tea."})
    store.put(NS, "other", {"kind": "profile", "age": 3})
    apply(_update("theirs", "Ann likes coffee.", "c1"))
    theirs, other = _all(store)
    assert [v.content for v in theirs.history] == ["Ann likes tea.", "Ann likes coffee."]
    assert other.content == '{"kind": "profile", "age": 3}'


def test_writers_of_one_namespace_take_turns(store: InMemoryStore) -> None:
    writer = MemoryWriter(store)
    [first] = writer.apply(NS, [_insert("0", "c")], CAUSE).memories

    def write(worker: int) -> None:
        for n in range(20):
            writer.apply(NS, [_update(first.id, f"{worker}.{n}", f"{worker}.{n}")], CAUSE)

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [memory] = _all(store)
    assert len(memory.history) == 81


async def test_tasks_and_a_cancelled_task_leave_no_lock_behind(store: InMemoryStore) -> None:
    writer = MemoryWriter(store)

    async def write(n: int) -> None:
        await writer.aapply(NS, [_insert(str(n), f"c{n}")], CAUSE)

    tasks = [asyncio.create_task(write(n)) for n in range(20)]
    await asyncio.sleep(0)
    tasks[7].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await write(99)
    assert len(_all(store)) >= 20


def test_search_stays_inside_of_the_namespace_and_ranks_plain_stores(encoder: Any) -> None:
    plain = InMemoryStore()
    writer = MemoryWriter(plain)
    for n, text in enumerate(["green tea", "black coffee", "a red bike"]):
        writer.apply(NS, [_insert(text, f"c{n}")], CAUSE)
    writer.apply((*NS, "deeper"), [_insert("coffee of somebody else", "x")], CAUSE)
    search = MemorySearch(plain, encoder)
    [tea, nothing] = search.search(NS, ["who drinks coffee", "  "], 2)
    assert [memory.content for memory in tea][0] == "black coffee"
    assert len(tea) == 2
    assert tea[0].score is not None
    assert tea[0].score > (tea[1].score or 0)
    assert nothing == []
    assert asyncio.run(search.asearch(NS, ["who drinks coffee", " "], 2)) == [tea, []]
