"""INSERTs of what is known already, from the merging itself to memories on disk."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import Op, Result, SearchOp
from langgraph.store.memory import InMemoryStore

from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.records import ActionType, Memory, MemoryAction, Source, Span, Turn
from langgraph_memskill.settings import Settings
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.stores.applying import Cause, MemoryWriter
from langgraph_memskill.stores.items import memory_of, put_memory
from langgraph_memskill.writing.duplicates import DuplicateMerger

Make = Callable[..., MemSkillMemory]
NAMESPACE = ("memories", "u")
CATS = "Ann has 2 grey cats from the shelter."
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class CountingStore(InMemoryStore):
    """Counts the batches that search."""

    __slots__ = ("__dict__",)

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        ops = list(ops)
        searches = sum(isinstance(op, SearchOp) for op in ops)
        self.__dict__.setdefault("searches", []).extend([searches] if searches else [])
        return super().batch(ops)


SPANS = {
    "a": Span(id="a", index=0, text="", turns=(Turn(id="1", speaker="Ann", text="I have a dog"),)),
    "b": Span(id="b", index=1, text="", turns=(Turn(id="2", speaker="Bob", text="I have a dog"),)),
}


def known(number: int, content: str) -> Memory:
    return Memory(
        id=f"m{number}",
        content=content,
        namespace=NAMESPACE,
        created_at=NOW + timedelta(number),
        updated_at=NOW,
    )


def insert(content: str, change: str, *skills: str) -> MemoryAction:
    return MemoryAction(
        type=ActionType.INSERT, content=content, change_id=change, skills=skills, span_id=change[0]
    )


def update(memory_id: str, content: str) -> MemoryAction:
    return MemoryAction(
        type=ActionType.UPDATE, memory_id=memory_id, content=content, change_id=f"u{memory_id}"
    )


@pytest.fixture
def merge(encoder: Any, store: InMemoryStore) -> Any:
    """Merges actions in view of memories with the given contents."""

    def run(memories: Sequence[str | Memory], *actions: MemoryAction) -> list[MemoryAction]:
        for number, memory in enumerate(memories):
            made = known(number, memory) if isinstance(memory, str) else memory
            store.batch([put_memory(made)])
        return DuplicateMerger.of(store, encoder).merge(NAMESPACE, actions, SPANS)

    return run


def test_an_insert_of_a_known_text_becomes_a_touch(merge: Any) -> None:
    action = insert("Ann has 2 grey cats from shelter", "a0", "insert")
    [touch] = merge([CATS, "Ann has 3 grey cats from the shelter."], action)
    assert (touch.type, touch.memory_id) == (ActionType.UPDATE, "m0")
    assert touch.content == touch.previous == CATS
    assert (touch.skills, touch.change_id, touch.span_id) == (("insert",), "a0", "a")


def test_another_number_stays_an_insert(merge: Any) -> None:
    actions = [insert("Ann has 2 cats", "a0"), insert("Ann has no cats", "a1")]
    assert merge(["Ann has 3 cats", "Bob has 2 cats"], *actions) == actions


async def test_the_async_twin_does_the_same(encoder: Any, store: InMemoryStore) -> None:
    store.batch([put_memory(known(0, CATS))])
    merger = DuplicateMerger.of(store, encoder)
    actions = [insert(CATS, "a0"), insert("Bob left", "a1")]
    merged = await merger.amerge(NAMESPACE, actions, SPANS)
    assert merged == merger.merge(NAMESPACE, actions, SPANS)
    assert [a.memory_id for a in merged] == ["m0", None]


def test_the_exact_and_then_the_oldest_memory_is_touched(merge: Any) -> None:
    memories = ["Ann has two cats", "Ann has 2 cats", "ann has 2 cats."]
    [touch] = merge(memories, insert("Ann has 2 cats", "a0"))
    assert touch.memory_id == "m1"


def test_two_inserts_of_one_reply_are_one_with_the_skills_of_both(merge: Any) -> None:
    merged = merge(
        [],
        insert("Ann likes tea", "a0", "one"),
        insert("Bob left", "a1"),
        insert("ann likes tea.", "a2", "two"),
    )
    assert [(a.content, a.skills) for a in merged] == [
        ("Ann likes tea", ("one", "two")),
        ("Bob left", ()),
    ]


def test_the_same_of_another_span_of_the_batch_is_a_touch_of_the_first(merge: Any) -> None:
    first = insert("Ann likes tea", "a0", "one")
    kept, touch = merge([], first, insert("ann likes tea.", "b0", "three"))
    assert kept == first
    assert (touch.type, touch.memory_id, touch.span_id) == (ActionType.UPDATE, "a0", "b")
    assert (touch.content, touch.skills) == ("Ann likes tea", ("three",))


def test_each_span_touches_once(merge: Any) -> None:
    said = "Ann likes tea"
    first, second = merge(
        [said], insert(said, "a0", "one"), insert(said, "a1", "two"), insert(said, "b0", "three")
    )
    assert (first.memory_id, first.skills, first.span_id) == ("m0", ("one", "two"), "a")
    assert (second.memory_id, second.skills, second.span_id) == ("m0", ("three",), "b")


def test_a_memory_that_the_batch_changes_does_not_say_it_any_more(merge: Any) -> None:
    gone = MemoryAction(type=ActionType.DELETE, memory_id="m1", change_id="d")
    actions = [
        update("m0", "Ann lives in Rome"),
        gone,
        insert("Ann lives in Paris", "a0"),
        insert("Bob is ill", "a1"),
    ]
    assert merge(["Ann lives in Paris", "Bob is ill"], *actions) == actions


def test_an_insert_of_what_an_update_writes_is_credited_to_it(merge: Any) -> None:
    new = replace(update("m0", "Ann lives in Rome"), span_id="a")
    [left] = merge(["Ann lives in Paris"], new, insert("ann lives in Rome.", "a0", "insert"))
    assert (left.memory_id, left.content, left.skills) == ("m0", "Ann lives in Rome", ("insert",))


def test_a_step_that_is_repeated_finds_its_own_memory_and_stays_an_insert(merge: Any) -> None:
    action = insert("Ann likes tea", "m0")
    assert merge(["Ann likes tea"], action) == [action]


def test_what_two_people_say_of_themselves_are_two_facts(merge: Any) -> None:
    said = "I have a dog"
    memory = replace(known(0, said), sources=(Source(span_id="x", speakers=("Ann",)),))
    of_ann, of_bob = insert(said, "a0"), insert(said, "b0")
    [touch, stays] = merge([memory], of_ann, of_bob)
    assert touch.memory_id == "m0"
    assert stays == of_bob


def test_nothing_is_searched_without_inserts(encoder: Any) -> None:
    store = CountingStore(index={"dims": encoder.dim, "embed": encoder, "fields": ["text"]})
    merger = DuplicateMerger.of(store, encoder)
    new = update("m0", "x")
    assert merger.merge(NAMESPACE, [new], {}) == [new]
    assert not hasattr(store, "searches")
    merger.merge(NAMESPACE, [insert("a", "a0"), insert("b", "a1"), insert("c", "b0")], {})
    assert store.__dict__["searches"] == [3]


def test_a_writer_finds_what_was_written_just_before(encoder: Any, store: InMemoryStore) -> None:
    """Threads that have all read an empty memory insert the same: one insert, touches after it."""
    writer, merger = MemoryWriter(store), DuplicateMerger.of(store, encoder)
    cause = Cause(kind="span", spans={})

    def write(number: int) -> None:
        action = MemoryAction(
            type=ActionType.INSERT, content=CATS, change_id=f"c{number}", skills=(f"s{number}",)
        )
        writer.apply(NAMESPACE, [action], cause, merger=merger)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(16)))
    [memory] = [memory_of(item) for item in store.search(NAMESPACE, limit=100)]
    assert sorted(memory.skills) == sorted(f"s{n}" for n in range(16))
    kinds = [str(change.kind) for change in writer.log.entries(NAMESPACE)]
    assert kinds == ["insert"] + ["touch"] * 15


@pytest.mark.parametrize("later", ["", "Ann has 4 grey cats"])
def test_a_touch_that_is_repeated_is_recognised(
    encoder: Any, store: InMemoryStore, later: str
) -> None:
    """Also if the memory says something else by now."""
    writer, merger = MemoryWriter(store), DuplicateMerger.of(store, encoder)
    cause = Cause(kind="span", spans=SPANS)
    step = [insert(CATS, "a0")]
    writer.apply(NAMESPACE, [insert(CATS, "m0")], cause, merger=merger)
    writer.apply(NAMESPACE, step, cause, merger=merger)
    if later:
        writer.apply(NAMESPACE, [update("m0", later)], cause)
    before = writer.log.entries(NAMESPACE)
    again = writer.apply(NAMESPACE, step, cause, merger=merger)
    assert writer.log.entries(NAMESPACE) == before
    assert [a.memory_id for a in again.actions] == ["m0"]
    assert again.rejected == ()


def _twice(memory: MemSkillMemory) -> Memory:
    for n in range(30):  # more than the twenty that a span is shown
        memory.save(f"note {n} tea tea tea", user_id="u")
    first = memory.remember(f"remember {CATS}", user_id="u")
    second = memory.remember("remember Ann has 2 grey cats from shelter", user_id="u")
    assert [a.type for a in first.actions] == [ActionType.INSERT]
    assert [a.type for a in second.actions] == [ActionType.UPDATE]
    third = memory.remember("remember Ann has 3 grey cats from the shelter.", user_id="u")
    assert [a.type for a in third.actions] == [ActionType.INSERT]
    [touched] = [m for m in memory.memories(user_id="u") if m.content == CATS]
    assert len(memory.memories(user_id="u")) == 32
    assert len(touched.sources) == 2
    assert [version.content for version in touched.history] == [CATS]
    assert touched.updated_at > touched.created_at
    return touched


def test_a_repeated_fact_is_one_memory_with_two_sources(make_memory: Make) -> None:
    _twice(make_memory())


def test_on_a_store_without_an_index(make_memory: Make) -> None:
    _twice(make_memory(store=InMemoryStore()))


def test_on_disk_with_chroma(encoder: Any, model: Any, tmp_path: Path) -> None:
    with MemSkillMemory.open(tmp_path / "memory", model, encoder=encoder) as memory:
        for _ in range(2):
            memory.remember("remember Ann has 2 cats", user_id="u")
        [only] = memory.memories(user_id="u")
        assert len(only.sources) == 2
        kinds = [str(change.kind) for change in memory.changes(user_id="u")]
        assert kinds == ["insert", "touch"]


async def test_async_runs_merge_too(make_memory: Make) -> None:
    memory = make_memory(skills=SkillBank.seed())
    for _ in range(2):
        await memory.aremember("remember tea", user_id="u")
    assert len(await memory.amemories(user_id="u")) == 1


def test_spans_side_by_side_merge_with_each_other(make_memory: Make) -> None:
    memory = make_memory(settings=Settings(span_workers=2))
    spans = [
        Span(id=f"s{n}", index=n, text=f"remember {text}")
        for n, text in enumerate([CATS, "Ann has 2 grey cats from shelter", "Bob left"])
    ]
    memory.remember(spans, user_id="u")
    cats, bob = memory.memories(user_id="u")
    assert (cats.content, bob.content) == (CATS, "Bob left")
    assert len(cats.sources) == 2


def test_it_can_be_turned_off(make_memory: Make) -> None:
    memory = make_memory(settings=Settings(merge_duplicates=False))
    for _ in range(2):
        memory.remember("remember tea", user_id="u")
    assert [m.content for m in memory.memories(user_id="u")] == ["tea", "tea"]


def test_an_update_that_contradicts_loses_nothing(make_memory: Make) -> None:
    memory = make_memory()
    memory.remember("remember Ann lives in Bergen", user_id="u")
    changed = memory.remember("change Bergen to Ann lives in Oslo. Earlier: in Bergen", user_id="u")
    assert changed.actions[0].previous == "Ann lives in Bergen"
    [ann] = memory.memories(user_id="u")
    assert [version.content for version in ann.history] == [
        "Ann lives in Bergen",
        "Ann lives in Oslo. Earlier: in Bergen",
    ]
