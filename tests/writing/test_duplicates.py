"""INSERTs of what is known already, from the merging itself to memories on disk."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import Op, Result, SearchOp
from langgraph.store.memory import InMemoryStore

from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.records import ActionType, Memory, MemoryAction, Span
from langgraph_memskill.settings import Settings
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.stores.items import MemorySearch, put_memory
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


def known(*contents: str) -> list[Memory]:
    return [
        Memory(
            id=f"m{n}",
            content=text,
            namespace=NAMESPACE,
            created_at=NOW + timedelta(n),
            updated_at=NOW,
        )
        for n, text in enumerate(contents)
    ]


def insert(content: str, change: str, *skills: str) -> MemoryAction:
    return MemoryAction(
        type=ActionType.INSERT, content=content, change_id=change, skills=skills, span_id=change[0]
    )


def update(memory_id: str, content: str) -> MemoryAction:
    return MemoryAction(
        type=ActionType.UPDATE, memory_id=memory_id, content=content, change_id=f"u{memory_id}"
    )


@pytest.fixture
def merger(encoder: Any, store: InMemoryStore) -> Callable[..., DuplicateMerger]:
    def make(*contents: str) -> DuplicateMerger:
        for memory in known(*contents):
            store.batch([put_memory(memory)])
        return DuplicateMerger(MemorySearch(store, encoder), encoder)

    return make


def test_an_insert_of_a_known_text_becomes_a_touch(merger: Any) -> None:
    action = insert("Ann has 2 grey cats from shelter", "a0", "insert")
    merging = merger(CATS, "Ann has 3 grey cats from the shelter.")
    [[touch]] = merging.merge(NAMESPACE, [[action]])
    assert (touch.type, touch.memory_id) == (ActionType.UPDATE, "m0")
    assert touch.content == touch.previous == CATS
    assert (touch.skills, touch.change_id, touch.span_id) == (("insert",), "a0", "a")


async def test_another_number_stays_an_insert(merger: Any) -> None:
    batch = [[insert("Ann has 2 cats", "a0"), insert("Ann has no cats", "a1")]]
    merging = merger("Ann has 3 cats", "Bob has 2 cats")
    assert merging.merge(NAMESPACE, batch) == [tuple(batch[0])]
    assert await merging.amerge(NAMESPACE, batch) == [tuple(batch[0])]


def test_the_exact_and_then_the_oldest_memory_is_touched(merger: Any) -> None:
    merging = merger("Ann has two cats", "Ann has 2 cats", "ann has 2 cats.")
    [[touch]] = merging.merge(NAMESPACE, [[insert("Ann has 2 cats", "a0")]])
    assert touch.memory_id == "m1"


def test_two_inserts_of_one_thing_are_one_with_the_skills_of_both(merger: Any) -> None:
    batch = [
        [
            insert("Ann likes tea", "a0", "one"),
            insert("Bob left", "a1"),
            insert("ann likes tea.", "a2", "two"),
        ],
        [insert("Ann likes tea", "b0", "three")],
    ]
    first, second = merger().merge(NAMESPACE, batch)
    assert [(a.content, a.skills) for a in first] == [
        ("Ann likes tea", ("one", "two", "three")),
        ("Bob left", ()),
    ]
    assert second == ()


def test_each_span_touches_once(merger: Any) -> None:
    said = "Ann likes tea"
    batch = [[insert(said, "a0", "one"), insert(said, "a1", "two")], [insert(said, "b0", "three")]]
    [[first], [second]] = merger(said).merge(NAMESPACE, batch)
    assert (first.memory_id, first.skills, first.span_id) == ("m0", ("one", "two"), "a")
    assert (second.memory_id, second.skills, second.span_id) == ("m0", ("three",), "b")


def test_a_memory_that_the_batch_changes_does_not_say_it_any_more(merger: Any) -> None:
    merging = merger("Ann lives in Paris", "Bob is ill")
    gone = MemoryAction(type=ActionType.DELETE, memory_id="m1", change_id="d")
    new, old, again = (
        update("m0", "Ann lives in Rome"),
        insert("Ann lives in Paris", "a0"),
        insert("Bob is ill", "a1"),
    )
    assert merging.merge(NAMESPACE, [[new, gone, old, again]]) == [(new, gone, old, again)]


def test_an_insert_of_what_an_update_writes_is_dropped(merger: Any) -> None:
    new = update("m0", "Ann lives in Rome")
    [[left]] = merger("Ann lives in Paris").merge(
        NAMESPACE, [[new, insert("ann lives in Rome.", "a0", "insert")]]
    )
    assert (left.memory_id, left.content, left.skills) == ("m0", "Ann lives in Rome", ("insert",))


def test_a_step_that_is_repeated_finds_its_own_memory_and_stays_an_insert(merger: Any) -> None:
    action = insert("Ann likes tea", "m0")
    assert merger("Ann likes tea").merge(NAMESPACE, [[action]]) == [(action,)]


def test_nothing_is_searched_without_inserts(encoder: Any) -> None:
    store = CountingStore(index={"dims": encoder.dim, "embed": encoder, "fields": ["text"]})
    merging = DuplicateMerger(MemorySearch(store, encoder), encoder)
    new = update("m0", "x")
    assert merging.merge(NAMESPACE, [[new], []]) == [(new,), ()]
    assert not hasattr(store, "searches")
    merging.merge(NAMESPACE, [[insert("a", "a0"), insert("b", "a1")], [insert("c", "b0")]])
    assert store.__dict__["searches"] == [3]


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
    assert [m.content for m in memory.memories(user_id="u")] == [CATS, "Bob left"]


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
