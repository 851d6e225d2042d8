import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.store.memory import InMemoryStore

from langgraph_memskill.errors import ConfigError, MemoryNotFoundError, UndoError
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.records import ChangeKind, FailedSpan, Memory, Span
from langgraph_memskill.stored_memories import StoredMemories

Make = Callable[..., MemSkillMemory]
TEMPLATE = ("memories", "{user_id}")


@pytest.fixture(params=["sync", "async"])
def undo(request: pytest.FixtureRequest) -> Any:
    def run(memory: StoredMemories, key: str, user: str | None = "u1") -> Any:
        if request.param == "sync":
            return memory.undo(key, user_id=user)
        return asyncio.run(memory.aundo(key, user_id=user))

    return run


def _contents(memory: StoredMemories, user: str = "u1") -> list[str]:
    return sorted(m.content for m in memory.memories(user_id=user))


def _last_change(memory: StoredMemories, memory_id: str) -> str:
    return memory.changes(memory_id=memory_id)[-1].id


def test_undo_of_an_insert_an_update_and_a_delete(make_memory: Make, undo: Any) -> None:
    memory = make_memory()
    saved = memory.save("tea", user_id="u1")
    memory.save("coffee", memory_id=saved.id, user_id="u1")
    [back] = undo(memory, _last_change(memory, saved.id))
    assert (back.kind, back.cause, back.content) == (ChangeKind.UPDATE, "undo", "tea")
    assert _contents(memory) == ["tea"]
    memory.forget(saved.id, user_id="u1")
    undo(memory, _last_change(memory, saved.id))
    assert _contents(memory) == ["tea"]
    assert memory.forgotten(user_id="u1") == []
    assert memory.get(saved.id).created_at == saved.created_at
    other = memory.save("other", user_id="u1")
    undo(memory, _last_change(memory, other.id))
    assert _contents(memory) == ["tea"]
    assert [m.id for m in memory.forgotten(user_id="u1")] == [other.id]
    versions = memory.history(saved.id)
    assert [v.content for v in versions] == ["tea", "coffee", "tea", "", "tea"]
    assert [v.version for v in versions] == [1, 2, 3, 4, 5]
    assert memory.get(saved.id).history == versions


def test_undo_of_an_undo(make_memory: Make, undo: Any) -> None:
    memory = make_memory()
    saved = memory.save("tea", user_id="u1")
    memory.save("coffee", memory_id=saved.id, user_id="u1")
    update = _last_change(memory, saved.id)
    for expected in ("tea", "coffee", "tea"):
        key = update if expected == "tea" and len(memory.history(saved.id)) == 2 else None
        undo(memory, key or _last_change(memory, saved.id))
        assert _contents(memory) == [expected]


def test_a_later_change_is_named(make_memory: Make, undo: Any) -> None:
    memory = make_memory()
    saved = memory.save("tea", user_id="u1")
    memory.save("coffee", memory_id=saved.id, user_id="u1")
    first, second = memory.changes(memory_id=saved.id)
    with pytest.raises(UndoError, match=second.id):
        undo(memory, first.id)
    undo(memory, second.id)
    with pytest.raises(UndoError, match="undone already"):
        undo(memory, second.id)
    undo(memory, first.id)
    assert _contents(memory) == []
    with pytest.raises(UndoError, match="no change and no run"):
        undo(memory, "nothing")


def test_a_touch_can_be_undone(make_memory: Make, undo: Any) -> None:
    memory = make_memory()
    first = memory.remember("remember Ann lives in Oslo", user_id="u1")
    [known] = first.memories
    memory.remember("change Oslo to Ann lives in Oslo", user_id="u1")
    touched = memory.get(known.id)
    assert memory.changes(memory_id=known.id)[-1].kind is ChangeKind.TOUCH
    assert len(touched.sources) == 2
    assert touched.updated_at > known.updated_at
    assert len(memory.history(known.id)) == 1
    undo(memory, _last_change(memory, known.id))
    assert memory.get(known.id).sources == known.sources


def test_a_run_is_undone_as_a_whole_or_not_at_all(make_memory: Make, undo: Any) -> None:
    memory = make_memory()
    kept = memory.save("cat black", user_id="u1")
    run = memory.remember(
        "remember dog brown\nchange cat black to cat white\nremember fish red", user_id="u1"
    )
    assert _contents(memory) == ["cat white", "dog brown", "fish red"]
    memory.save("cat grey", memory_id=kept.id, user_id="u1")
    later = memory.changes(memory_id=kept.id)[-1]
    with pytest.raises(UndoError, match=later.id):
        undo(memory, run.episode_id)
    assert _contents(memory) == ["cat grey", "dog brown", "fish red"]
    undo(memory, later.id)
    taken_back = undo(memory, run.episode_id)
    assert _contents(memory) == ["cat black"]
    assert {c.undoes for c in taken_back} == {a.change_id for a in run.actions}
    [undo_run] = {c.run_id for c in taken_back}
    undo(memory, undo_run)
    assert _contents(memory) == ["cat white", "dog brown", "fish red"]


def test_what_somebody_else_wrote_is_in_the_way(
    make_memory: Make, store: InMemoryStore, undo: Any
) -> None:
    memory = make_memory()
    saved = memory.save("tea", user_id="u1")
    store.put(saved.namespace, saved.id, {"text": "theirs"})
    with pytest.raises(UndoError, match="outside"):
        undo(memory, _last_change(memory, saved.id))
    assert _contents(memory) == ["theirs"]
    undo(memory, _last_change(memory, saved.id))
    assert _contents(memory) == ["tea"]


def test_an_item_that_vanished_can_be_brought_back(
    make_memory: Make, store: InMemoryStore, undo: Any
) -> None:
    memory = make_memory()
    saved = memory.save("tea", user_id="u1")
    store.delete(saved.namespace, saved.id)
    assert [v.content for v in memory.history(saved.id)] == ["tea"]
    with pytest.raises(UndoError, match="outside"):
        undo(memory, _last_change(memory, saved.id))
    undo(memory, _last_change(memory, saved.id))
    assert _contents(memory) == ["tea"]


def test_nobody_reaches_into_another_users_memories(make_memory: Make, undo: Any) -> None:
    memory = make_memory()
    theirs = memory.save("secret", user_id="u2")
    change = _last_change(memory, theirs.id)
    with pytest.raises(UndoError, match="no change and no run"):
        undo(memory, change, "u1")
    with pytest.raises(MemoryNotFoundError):
        memory.history(theirs.id, user_id="u1")
    assert memory.changes(user_id="u1") == []
    assert memory.changes(user_id="u1", memory_id=theirs.id) == []
    assert [c.id for c in memory.changes(user_id="u2")] == [change]
    assert _contents(memory, "u2") == ["secret"]


def test_a_memory_from_before_the_log(encoder: Any, undo: Any) -> None:
    old = InMemoryStore()
    before = StoredMemories(old, encoder, TEMPLATE, 5)
    saved = before.save("tea", user_id="u1")
    before.save("coffee", memory_id=saved.id, user_id="u1")
    update = _last_change(before, saved.id)
    copy = InMemoryStore()
    for item in old.search((), limit=100):
        copy.put(item.namespace, item.key, item.value)
    memory = StoredMemories(copy, encoder, TEMPLATE, 5)  # its log knows nothing
    assert memory.changes() == []
    assert [v.content for v in memory.history(saved.id)] == ["tea", "coffee"]
    undo(memory, update)
    assert _contents(memory) == ["tea"]


def test_changes_carry_provenance_and_a_limit(make_memory: Make) -> None:
    memory = make_memory()
    result = memory.remember(
        "remember Ann lives in Oslo",
        user_id="u1",
        config={"configurable": {"thread_id": "t7"}},
    )
    [change] = memory.changes(run_id=result.episode_id)
    assert (change.thread_id, change.cause, change.version) == ("t7", "span", 1)
    assert change.span_id == f"{result.episode_id}/0"
    [version] = memory.history(change.memory_id)
    assert (version.thread_id, version.run_id) == ("t7", result.episode_id)
    memory.save("more", user_id="u1")
    assert [c.content for c in memory.changes(limit=1)] == ["more"]
    assert len(asyncio.run(memory.achanges(user_id="u1"))) == 2
    assert asyncio.run(memory.ahistory(change.memory_id)) == memory.history(change.memory_id)
    with pytest.raises(ConfigError, match="limit=0"):
        memory.changes(limit=0)


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_queued_span_keeps_its_thread(make_memory: Make, way: str) -> None:
    memory = make_memory()
    place = memory.namespace_for("u1")
    for number, thread in enumerate(("t1", "t2", None)):
        span = Span(
            id=f"{'ab'[number % 2] * 32}/{number}", index=number, text=f"remember n{number}"
        )
        memory._pending.add([FailedSpan(span=span, namespace=place, reason="x", thread_id=thread)])
    result = memory.retry_failed() if way == "sync" else asyncio.run(memory.aretry_failed())
    assert len(result.actions) == 3
    logged = [(c.content, c.thread_id, (c.run_id or "")[0]) for c in memory.changes()]
    assert logged == [("n0", "t1", "a"), ("n1", "t2", "b"), ("n2", None, "a")]


STEPS = st.lists(
    st.tuples(st.sampled_from(["save", "change", "forget", "undo"]), st.integers(0, 5)),
    max_size=14,
)


@given(STEPS)
def test_undoing_everything_newest_first_leads_back_step_by_step(steps: Any) -> None:
    class NoEncoder:
        name, dim = "none", 1

    memory = StoredMemories(InMemoryStore(), NoEncoder(), TEMPLATE, 5)  # type: ignore[arg-type]
    states = [_state(memory)]
    for step, number in steps:
        _take(memory, step, number)
        states.append(_state(memory))
    effective = [change.id for change in memory.changes()]
    by_seq = {change.id: change for change in memory.changes()}
    for change_id in reversed(effective):
        change = by_seq[change_id]
        memory.undo(change_id, user_id="u1")
        live = {m.id: m.content for m in memory.memories(user_id="u1")}
        assert live.get(change.memory_id) == change.previous
    assert _state(memory) == states[0]
    assert memory.change_log.check() == []


def _take(memory: StoredMemories, step: str, number: int) -> None:
    live: list[Memory] = sorted(memory.memories(user_id="u1"), key=lambda m: m.created_at)
    changes = memory.changes()
    if step == "save" or not live:
        memory.save(f"text {number}", user_id="u1")
    elif step == "change":
        memory.save(f"text {number}", memory_id=live[number % len(live)].id, user_id="u1")
    elif step == "forget":
        memory.forget(live[number % len(live)].id, user_id="u1")
    else:
        memory.undo(changes[-1].id, user_id="u1")


def _state(memory: StoredMemories) -> dict[str, str]:
    return {m.id: m.content for m in memory.memories(user_id="u1")}
