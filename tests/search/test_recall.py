import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore

from langgraph_memskill.errors import ConfigError, ModelCallError
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.memory_folder import store_index
from langgraph_memskill.records import Memory
from langgraph_memskill.search import SearchMode, SearchSettings
from langgraph_memskill.search.lexical import LexicalIndexes, Look
from langgraph_memskill.settings import Settings
from langgraph_memskill.stored_memories import StoredMemories
from langgraph_memskill.stores.chroma import ChromaStore

TEMPLATE = ("memories", "{user_id}")
LEXICAL = SearchSettings(mode=SearchMode.LEXICAL, neighbours=False)
DENSE = SearchSettings(mode=SearchMode.DENSE, neighbours=False)
Recall = Callable[..., list[Memory]]


@pytest.fixture(params=["sync", "async"])
def recall(request: pytest.FixtureRequest) -> Recall:
    def run(memories: StoredMemories, query: str, **options: Any) -> list[Memory]:
        options = {"user_id": "ann"} | options
        if request.param == "sync":
            return memories.recall(query, **options)
        return asyncio.run(memories.arecall(query, **options))

    return run


@pytest.fixture(params=["chroma", "in memory", "without an index"])
def store(request: pytest.FixtureRequest, encoder: Any) -> BaseStore:
    if request.param == "chroma":
        return ChromaStore(index=store_index(encoder))
    if request.param == "in memory":
        return InMemoryStore(index=store_index(encoder))
    return InMemoryStore()


@pytest.fixture
def memories(store: BaseStore, encoder: Any) -> StoredMemories:
    return StoredMemories(store, encoder, TEMPLATE, 5)


def texts(found: list[Memory]) -> list[str]:
    return [memory.content for memory in found]


def test_the_default_fuses_meaning_and_words(memories: StoredMemories, recall: Recall) -> None:
    for text in ("Ann paints horses", "Bob sold a car", "It rained"):
        memories.save(text, user_id="ann")
    memories.save("Eve paints horses", user_id="eve")
    found = recall(memories, "Who is painting a horse?")
    assert found[0].content == "Ann paints horses"
    assert len(found) == 3
    assert all(memory.score is not None for memory in found)


def test_words_alone_find_only_what_shares_some(memories: StoredMemories, recall: Recall) -> None:
    for text in ("Ann paints horses", "Bob sold a car"):
        memories.save(text, user_id="ann")
    found = recall(memories, "painted horse", search=LEXICAL)
    assert texts(found) == ["Ann paints horses"]
    assert found[0].score is None


def test_the_answer_to_a_question_stands_beside_it(encoder: Any, recall: Recall) -> None:
    memories = StoredMemories(InMemoryStore(), encoder, TEMPLATE, 5)
    for text in ("It rained", "Where was the regatta", "Down in Porto", "No more news", "A car"):
        memories.save(text, user_id="ann")
    plain = SearchSettings(mode=SearchMode.LEXICAL, neighbours=False)
    beside = SearchSettings(mode=SearchMode.LEXICAL)
    assert texts(recall(memories, "regatta", search=plain)) == ["Where was the regatta"]
    assert "Down in Porto" in texts(recall(memories, "regatta", search=beside))[:3]


def test_what_is_deleted_or_changed_is_not_found(memories: StoredMemories, recall: Recall) -> None:
    first = memories.save("Ann paints horses", user_id="ann")
    second = memories.save("Bob sold a kayak", user_id="ann")
    assert texts(recall(memories, "horses", search=LEXICAL)) == ["Ann paints horses"]
    memories.forget(first.id, user_id="ann")
    memories.save("Bob sold a car", memory_id=second.id, user_id="ann")
    assert recall(memories, "horses or kayak", search=LEXICAL) == []
    assert texts(recall(memories, "car", search=LEXICAL)) == ["Bob sold a car"]


def test_what_others_wrote_past_the_log_is_found_and_lost(
    store: BaseStore, encoder: Any, recall: Recall
) -> None:
    memories = StoredMemories(store, encoder, TEMPLATE, 5)
    memories.save("Ann paints horses", user_id="ann")
    recall(memories, "horses")
    store.put(("memories", "ann"), "foreign", {"text": "Ann rows a kayak"})
    recall(memories, "kayak")  # the dense hit tells the index
    assert texts(recall(memories, "kayaks", search=LEXICAL)) == ["Ann rows a kayak"]
    store.delete(("memories", "ann"), "foreign")
    assert recall(memories, "kayaks", search=LEXICAL) == []


def test_a_memory_made_from_another_one_knows_what_was_there(
    store: BaseStore, encoder: Any, recall: Recall
) -> None:
    store.put(("memories", "ann"), "foreign", {"text": "Ann rows a kayak"})
    memories = StoredMemories(store, encoder, TEMPLATE, 5)
    assert texts(recall(memories, "kayaks", search=LEXICAL)) == ["Ann rows a kayak"]


def test_filters_work_on_any_store(memories: StoredMemories, recall: Recall) -> None:
    kept = memories.save("Ann has a dog", user_id="ann")
    other = memories.save("Ann has a dog and a cat", user_id="ann")

    def found(filter_: dict[str, Any]) -> list[str]:
        return sorted(memory.id for memory in recall(memories, "a dog", filter=filter_))

    assert found({"text": {"$in": ["Ann has a dog"]}}) == [kept.id]
    assert found({"text": {"$nin": ["Ann has a dog"]}}) == [other.id]
    both = {"$or": [{"text": kept.content}, {"text": other.content}]}
    assert found(both) == sorted([kept.id, other.id])
    assert found({"$and": [both, {"$created_at": {"$lt": "2001-01-01"}}]}) == []


def test_without_a_filter_the_words_contribute_no_more_than_the_depth(
    encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[int] = []
    look = LexicalIndexes.look

    def counted(self: LexicalIndexes, *args: Any, limit: int, **options: Any) -> Look:
        limits.append(limit)
        return look(self, *args, limit=limit, **options)

    monkeypatch.setattr(LexicalIndexes, "look", counted)
    memories = StoredMemories(InMemoryStore(), encoder, TEMPLATE, 5)
    memories.recall("the dog", user_id="ann", search=SearchSettings(depth=7))
    assert limits == [7]


def test_a_filter_reaches_below_the_first_hits(encoder: Any, recall: Recall) -> None:
    memories = StoredMemories(InMemoryStore(), encoder, TEMPLATE, 5)
    for n in range(30):
        memories.save(f"the dog number {n}", user_id="ann")
    wanted = memories.save("something about a dog at last", user_id="ann")
    few = SearchSettings(depth=1)
    found = recall(memories, "the dog", k=1, search=few, filter={"text": wanted.content})
    assert [memory.id for memory in found] == [wanted.id]


def test_since_and_until_bound_the_last_change(memories: StoredMemories, recall: Recall) -> None:
    memories.save("an old dog", user_id="ann")
    middle = datetime.now(UTC)
    memories.save("a new dog", user_id="ann")
    assert texts(recall(memories, "dog", since=middle)) == ["a new dog"]
    assert texts(recall(memories, "dog", until=middle)) == ["an old dog"]
    assert recall(memories, "dog", since=datetime.now(UTC) + timedelta(days=1)) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"filter": {"$near": 1}}, "filter="),
        ({"filter": {"text": {"$in": 3}}}, "filter="),
        ({"since": datetime(2026, 1, 1)}, "since="),
        ({"until": "yesterday"}, "until="),
        ({"as_of": datetime.now(UTC), "filter": {"a": 1}}, "as_of"),
    ],
)
def test_bad_conditions_are_refused(
    options: dict[str, Any], message: str, encoder: Any, recall: Recall
) -> None:
    memories = StoredMemories(InMemoryStore(), encoder, TEMPLATE, 5)
    with pytest.raises(ConfigError, match=message):
        recall(memories, "dog", **options)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "fuzzy"},
        {"depth": 0},
        {"depth": True},
        {"neighbours": 1},
        {"time_weight": -1.0},
        {"time_weight": float("nan")},
        {"rerank_depth": 0},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        SearchSettings(**wrong)


def test_a_mode_may_be_a_text() -> None:
    assert SearchSettings(mode="dense").mode is SearchMode.DENSE  # type: ignore[arg-type]


def test_the_answering_graph_searches_as_the_settings_say(encoder: Any, model: Any) -> None:
    with MemSkillMemory(model, encoder=encoder, settings=Settings(search=LEXICAL)) as memory:
        memory.save("Ann paints horses", user_id="ann")
        memory.save("Bob sold a car", user_id="ann")
        assert texts(list(memory.answer("horse?", user_id="ann").memories)) == ["Ann paints horses"]


def test_purging_reaches_the_index(tmp_path: Path, encoder: Any, model: Any) -> None:
    with MemSkillMemory.open(tmp_path / "m", model, encoder=encoder) as memory:
        secret = memory.save("The zanzibar code", user_id="ann")
        memory.save("Ann has a dog", user_id="ann")
        memory.recall("zanzibar", user_id="ann")
        indexes = tmp_path / "m" / "changes.db.lexical"
        assert any(b"zanzibar" in file.read_bytes() for file in indexes.glob("*.db"))
        memory.purge(secret.id, user_id="ann")
        memory.recall("a dog", user_id="ann")  # which makes the index anew
        files = [file.read_bytes() for file in indexes.rglob("*") if file.is_file()]
        assert any(b"dog" in content for content in files)
        assert not any(b"zanzibar" in content for content in files)


def test_dates_of_a_question_and_newer_memories_come_first(encoder: Any) -> None:
    from langgraph_memskill.records import Source
    from langgraph_memskill.search.times import by_time, named_periods

    def dated(key: str, time: str | None) -> Memory:
        at = datetime(2020, 1, 1, tzinfo=UTC)
        return Memory(
            id=key,
            content=key,
            namespace=("memories",),
            created_at=at,
            updated_at=at,
            sources=(Source(span_id="s", time=time),),
        )

    memories = [
        dated("undated", None),
        dated("may", "1:56 pm on 8 May, 2023"),
        dated("june", "2023-06-09"),
        dated("next year", "2024-05-01"),
    ]
    assert named_periods("What did Ann do in May 2023?") == ("2023-05",)
    assert named_periods("What did Ann do today?") == ()
    ranked = by_time("What did Ann do in May 2023?", memories)
    assert ranked == ["may", "next year", "june", "undated"]
    assert by_time("Ann?", memories)[0] == "next year"


def test_time_takes_part_in_the_order(encoder: Any, recall: Recall) -> None:
    memories = StoredMemories(InMemoryStore(), encoder, TEMPLATE, 5)
    for text in ("the dog barks", "the dog sleeps", "the dog eats"):
        memories.save(text, user_id="ann")
    timed = SearchSettings(time_weight=50.0)
    assert recall(memories, "the dog", search=timed)[0].content == "the dog eats"


class _Reversing:
    """Stands in for the model inside of a `CrossEncoder`: prefers what comes late."""

    def predict(self, pairs: list[tuple[str, str]], **options: Any) -> list[float]:
        return [float(len(text)) for _, text in pairs]


def test_a_reranker_has_the_last_word(
    encoder: Any, recall: Recall, monkeypatch: pytest.MonkeyPatch
) -> None:
    from langgraph_memskill.search import reranking

    monkeypatch.setattr(reranking, "_load", lambda name: _Reversing())
    memories = StoredMemories(InMemoryStore(), encoder, TEMPLATE, 5)
    for text in ("dog", "a dog that barks all day", "no animal"):
        memories.save(text, user_id="ann")
    settings = SearchSettings(reranker="test-longest", rerank_depth=3)
    assert recall(memories, "dog", k=1, search=settings)[0].content == "a dog that barks all day"


def test_a_missing_reranker_is_a_clear_error(encoder: Any, recall: Recall) -> None:
    memories = StoredMemories(InMemoryStore(), encoder, TEMPLATE, 5)
    memories.save("dog", user_id="ann")
    with pytest.raises(ModelCallError, match="no/such-model"):
        recall(memories, "dog", search=SearchSettings(reranker="no/such-model"))
