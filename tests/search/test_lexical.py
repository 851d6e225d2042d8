import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph.store.memory import InMemoryStore

from langgraph_memskill.errors import UndoError
from langgraph_memskill.records import Memory, Source
from langgraph_memskill.search.fusion import Neighbours
from langgraph_memskill.search.lexical import LexicalIndexes
from langgraph_memskill.search.settings import SearchMode, SearchSettings
from langgraph_memskill.stored_memories import StoredMemories
from langgraph_memskill.stores.changes import ChangeLog

ANN, BOB = ("memories", "ann"), ("memories", "bob")
START = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = SearchSettings(mode=SearchMode.LEXICAL, neighbours=False)


def made(number: int, text: str, session: str = "s1", namespace: Any = ANN) -> Memory:
    at = START + timedelta(minutes=number)
    return Memory(
        id=f"m{number}",
        content=text,
        namespace=namespace,
        created_at=at,
        updated_at=at,
        sources=(Source(span_id=f"e/{number}", session=session),),
    )


@pytest.fixture(params=["file", "memory"])
def indexes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LexicalIndexes]:
    made = LexicalIndexes(tmp_path / "lexical" if request.param == "file" else None)
    yield made
    made.close()


def built(indexes: LexicalIndexes, *texts: str) -> LexicalIndexes:
    indexes.build(ANN, [made(n, text) for n, text in enumerate(texts)], 0)
    return indexes


def test_words_are_found_by_their_stems(indexes: LexicalIndexes) -> None:
    built(indexes, "Ann paints horses", "Bob sold a car", "The weather was fine")
    assert list(indexes.search(ANN, "Who painted a horse?", 5)) == ["m0"]
    assert indexes.search(ANN, "elephants", 5) == {}


def test_rare_words_weigh_more(indexes: LexicalIndexes) -> None:
    built(indexes, "tea tea tea", "tea and cake", "tea and a kayak", "milk", "water", "juice")
    assert next(iter(indexes.search(ANN, "kayak or tea", 5))) == "m2"


def test_what_most_memories_say_does_not_count(indexes: LexicalIndexes) -> None:
    built(indexes, "Ann likes tea", "Ann has a dog", "Ann reads")
    assert list(indexes.search(ANN, "Does Ann have a dog?", 5)) == ["m1"]
    assert set(indexes.search(ANN, "Ann", 5)) == {"m0", "m1", "m2"}


@pytest.mark.parametrize(
    "query",
    ["", "?!", "AND OR NEAR(", '" OR 1', "text:tea*", "ünïcödé \ud800 \0", "a" * 1_000_000],
)
def test_a_query_is_never_an_expression(indexes: LexicalIndexes, query: str) -> None:
    built(indexes, "tea", "coffee")
    indexes.search(ANN, query, 5)


def test_a_namespace_is_a_wall(indexes: LexicalIndexes) -> None:
    built(indexes, "tea", "coffee", "water")
    scores = indexes.search(ANN, "tea", 5)
    indexes.build(BOB, [made(n, "tea tea", namespace=BOB) for n in range(50)], 0)
    assert indexes.search(ANN, "tea", 5) == scores


def test_neighbours_are_those_of_the_session(indexes: LexicalIndexes) -> None:
    memories = [made(0, "a"), made(1, "b", "s2"), made(2, "c"), made(3, "d", "s2")]
    indexes.build(ANN, reversed(memories), 0)
    assert indexes.neighbours(ANN, ["m0", "m1", "m2", "m3", "none"]) == {
        "m0": Neighbours(None, "m2"),
        "m1": Neighbours(None, "m3"),
        "m2": Neighbours("m0", None),
        "m3": Neighbours("m1", None),
    }


def test_what_another_has_fed_is_not_fed_again(indexes: LexicalIndexes, encoder: Any) -> None:
    memories = StoredMemories(InMemoryStore(), encoder, ("memories", "{user_id}"), 5)
    first = memories.save("tea", user_id="ann")
    memories.save("coffee", memory_id=first.id, user_id="ann")
    old, new = memories.change_log.entries(ANN)
    indexes.build(ANN, [], 0)
    indexes.feed(ANN, [old, new], after=0)
    indexes.feed(ANN, [old], after=0)  # somebody slow
    assert indexes.fed(ANN) == new.seq
    assert indexes.texts(ANN, [first.id]) == {first.id: "coffee"}


@pytest.mark.parametrize("damage", ["deleted", "garbage", "other version", "half"])
def test_a_damaged_file_is_made_anew(
    damage: str, tmp_path: Path, encoder: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with ChangeLog(tmp_path / "changes.db") as log:
        memories = StoredMemories(InMemoryStore(), encoder, ANN, 5, change_log=log)
        for text in ("Ann has a dog", "Ann paints"):
            memories.save(text)
        assert [m.content for m in memories.recall("dogs", search=WORDS)] == ["Ann has a dog"]
        [file] = (tmp_path / "changes.db.lexical").glob("*.db")
        if damage == "deleted":
            file.unlink()
        elif damage == "other version":
            with sqlite3.connect(file) as connection:
                connection.execute("PRAGMA user_version = 99")
            connection.close()
        else:
            content = file.read_bytes()
            file.write_bytes(b"no database" * 500 if damage == "garbage" else content[:5000])
        assert [m.content for m in memories.recall("dogs", search=WORDS)] == ["Ann has a dog"]


TEXTS = st.sampled_from(["Ann has a dog", "Bob paints a horse", "tea", "a car and a dog", "rain"])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["save", "change", "forget", "undo", "search", "purge"]),
        st.integers(0, 5),
        TEXTS,
    ),
    max_size=14,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the encoder has no state
@given(steps=STEPS)
def test_after_any_changes_the_index_is_as_one_made_anew(
    encoder: Any, steps: list[tuple[str, int, str]]
) -> None:
    memories = StoredMemories(InMemoryStore(), encoder, ANN, 50)
    for what, number, text in steps:
        known = sorted(memories.memories(), key=lambda m: m.created_at)
        chosen = known[number % len(known)] if known else None
        if what == "save":
            memories.save(text)
        elif what == "search":
            memories.recall("Where is the dog?")
        elif what == "undo" and memories.changes():
            _undo(memories, number)
        elif chosen is not None and what == "change":
            memories.save(text, memory_id=chosen.id)
        elif chosen is not None and what == "forget":
            memories.forget(chosen.id)
        elif chosen is not None and what == "purge":
            memories.purge(chosen.id)
    memories.recall("dog")
    live = LexicalIndexes.beside(memories.change_log)
    fresh = LexicalIndexes()
    fresh.build(ANN, memories.memories(), 0)
    ids = [memory.id for memory in memories.memories()]
    assert live.texts(ANN, ids) == fresh.texts(ANN, ids)
    assert live.neighbours(ANN, ids) == fresh.neighbours(ANN, ids)
    for query in ("dog", "a horse", "tea or rain"):
        assert live.search(ANN, query, 50) == pytest.approx(fresh.search(ANN, query, 50))
    fresh.close()


def _undo(memories: StoredMemories, number: int) -> None:
    changes = memories.changes()
    try:
        memories.undo(changes[number % len(changes)].id)
    except UndoError:
        return


_WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from langgraph_memskill.records import Memory
from langgraph_memskill.search.lexical import LexicalIndexes

folder, number = Path(sys.argv[1]), sys.argv[2]
namespace, at = ("memories", "ann"), datetime(2026, 1, 1, tzinfo=UTC)

def made(key, text):
    return Memory(id=key, content=text, namespace=namespace, created_at=at, updated_at=at)

indexes = LexicalIndexes(folder)
indexes.build(namespace, [made(f"m{n}", f"fact {n} about topic{n % 7}") for n in range(60)], 0)
for n in range(20):
    indexes.mend(namespace, [made(f"{number}/{n}", f"kayak {number} {n}")], [])
    assert indexes.search(namespace, "kayak", 1000)
"""


def test_processes_share_the_files(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _WRITER, str(tmp_path)]
    workers = [subprocess.Popen([*command, str(number)]) for number in range(3)]
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    indexes = LexicalIndexes(tmp_path)
    assert len(indexes.search(ANN, "kayak", 1000)) == 60
    assert len(indexes.search(ANN, "topic3", 1000)) == 9
