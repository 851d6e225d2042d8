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
    assert list(indexes.look(ANN, "Who painted a horse?", limit=5).scores) == ["m0"]
    assert indexes.look(ANN, "elephants", limit=5).scores == {}


def test_rare_words_weigh_more(indexes: LexicalIndexes) -> None:
    built(indexes, "tea tea tea", "tea and cake", "tea and a kayak", "milk", "water", "juice")
    assert next(iter(indexes.look(ANN, "kayak or tea", limit=5).scores)) == "m2"


def test_what_most_memories_say_does_not_count(indexes: LexicalIndexes) -> None:
    built(indexes, "Ann likes tea", "Ann has a dog", "Ann reads")
    assert list(indexes.look(ANN, "Does Ann have a dog?", limit=5).scores) == ["m1"]
    assert set(indexes.look(ANN, "Ann", limit=5).scores) == {"m0", "m1", "m2"}


@pytest.mark.parametrize(
    "query",
    ["", "?!", "AND OR NEAR(", '" OR 1', "text:tea*", "ünïcödé \ud800 \0", "a" * 1_000_000],
)
def test_a_query_is_never_an_expression(indexes: LexicalIndexes, query: str) -> None:
    built(indexes, "tea", "coffee")
    assert indexes.look(ANN, query, limit=5).fed == 0


def test_a_namespace_is_a_wall(indexes: LexicalIndexes) -> None:
    built(indexes, "tea", "coffee", "water")
    scores = indexes.look(ANN, "tea", limit=5).scores
    indexes.build(BOB, [made(n, "tea tea", namespace=BOB) for n in range(50)], 0)
    assert indexes.look(ANN, "tea", limit=5).scores == scores


def test_neighbours_are_those_of_the_session(indexes: LexicalIndexes) -> None:
    memories = [made(0, "a"), made(1, "b", "s2"), made(2, "c"), made(3, "d", "s2")]
    indexes.build(ANN, reversed(memories), 0)
    assert indexes.look(ANN, "", limit=0, ids=["m0", "m1", "m2", "m3", "none"]).neighbours == {
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
    assert indexes.look(ANN, "", limit=0, ids=[first.id]).texts == {first.id: "coffee"}


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


# The encoder has no state.
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
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
    for query in ("dog", "a horse", "tea or rain"):
        mine = live.look(ANN, query, limit=50, ids=ids)
        made_anew = fresh.look(ANN, query, limit=50, ids=ids)
        assert mine.scores == pytest.approx(made_anew.scores)
        assert mine.texts == made_anew.texts
        assert mine.neighbours == made_anew.neighbours
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
    assert indexes.look(namespace, "kayak", limit=1000).scores
"""


def test_processes_share_the_files(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _WRITER, str(tmp_path)]
    workers = [subprocess.Popen([*command, str(number)]) for number in range(3)]
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    indexes = LexicalIndexes(tmp_path)
    assert len(indexes.look(ANN, "kayak", limit=1000).scores) == 60
    assert len(indexes.look(ANN, "topic3", limit=1000).scores) == 9
