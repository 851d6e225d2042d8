"""A memory folder whose memories are in a real Postgres with pgvector, and its checkpointer."""

import json
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import GetOp

from langgraph_memskill.benchmarks.locomo import cut_spans, load_sample_conversation
from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.errors import (
    ConflictError,
    EmbeddingMismatchError,
    MissingDependencyError,
    StoreError,
)
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.spans import SpanMode

pytestmark = pytest.mark.server
postgres_checkpoints = pytest.importorskip(
    "langgraph.checkpoint.postgres", reason="langgraph-checkpoint-postgres is not installed"
)


Open = Callable[..., MemSkillMemory]


@pytest.fixture
def open_memory(tmp_path: Path, postgres_url: str, model: Any, encoder: Any) -> Open:
    def open_(folder: str = "memdir", **options: Any) -> MemSkillMemory:
        parts = {"store": postgres_url, "encoder": encoder} | options
        return MemSkillMemory.open(tmp_path / folder, model, **parts)

    return open_


def _dump(memory: MemSkillMemory) -> list[tuple[Any, ...]]:
    return sorted(
        (
            m.content,
            m.skills,
            tuple((s.time, s.turn_ids) for s in m.sources),
            tuple((version.content, version.cause) for version in m.history),
        )
        for m in memory.memories(user_id="ann")
    )


def test_the_sample_conversation_gives_the_same_memories_as_on_chroma(
    tmp_path: Path, postgres_server: Any, minilm: TextEncoder
) -> None:
    import psycopg

    with psycopg.connect(postgres_server.get_uri(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE acceptance")
    url = postgres_server.get_uri(database="acceptance")
    sample = load_sample_conversation()
    spans = cut_spans(sample, SpanMode.TURN_PAIR)
    seen = {}
    for name, store in (("chroma", None), ("postgres", url)):
        with MemSkillMemory.open(
            tmp_path / name, "extractive", store=store, encoder=minilm
        ) as memory:
            assert not memory.remember(spans, user_id="ann").failed
            found = {
                question.id: [m.content for m in memory.recall(question.text, user_id="ann")]
                for question in sample.questions[:8]
            }
            answers = [memory.answer(q.text, user_id="ann").text for q in sample.questions[:3]]
            seen[name] = (_dump(memory), found, answers)
    assert len(seen["chroma"][0]) >= 30
    assert seen["postgres"] == seen["chroma"]
    assert not (tmp_path / "postgres" / "chroma").exists()


def test_a_folder_remembers_where_its_memories_are_but_no_password(
    open_memory: Open, tmp_path: Path, postgres_url: str, encoder: Any
) -> None:
    secret = postgres_url.replace("postgres:@", "postgres:hunter2@")
    with open_memory(store=secret) as memory:
        memory.save("Ann likes tea.", user_id="ann")
    settings = (tmp_path / "memdir" / "memory.json").read_text(encoding="utf-8")
    assert json.loads(settings)["store"].startswith("postgresql://postgres@/")
    assert "hunter2" not in settings
    with open_memory(store=None) as memory:
        assert [m.content for m in memory.recall("tea", user_id="ann")] == ["Ann likes tea."]


def test_two_folders_share_the_memories_and_users_stay_apart(open_memory: Open) -> None:
    with open_memory("one") as one, open_memory("two") as two:
        one.remember("remember the bike is red", user_id="shared")
        assert [m.content for m in two.recall("bike", user_id="shared")] == ["the bike is red"]
        assert two.recall("bike", user_id="shared0") == []


def test_history_undo_and_forgetting_work(open_memory: Open) -> None:
    with open_memory() as memory:
        saved = memory.save("Ben has a cat.", user_id="ben")
        memory.save("Ben has two cats.", memory_id=saved.id, user_id="ben")
        memory.forget(saved.id, user_id="ben")
        last = memory.changes(user_id="ben")[-1]
        assert memory.memories(user_id="ben") == []
        memory.undo(last.id)
        [back] = memory.memories(user_id="ben")
        assert back.content == "Ben has two cats."
        assert back.history[0].content == "Ben has a cat."


async def test_the_async_methods_work(open_memory: Open) -> None:
    async with open_memory() as memory:
        await memory.aremember("remember Eve sails", user_id="eve")
        assert [m.content for m in await memory.arecall("Eve", user_id="eve")] == ["Eve sails"]


def test_another_folder_with_another_encoder_is_refused(
    open_memory: Open, other_encoder: Any
) -> None:
    open_memory("first").close()
    with pytest.raises(EmbeddingMismatchError, match="'words'"):
        open_memory("second", encoder=other_encoder)


def test_a_folder_of_another_place_is_refused(open_memory: Open, postgres_url: str) -> None:
    open_memory(store=None).close()
    with pytest.raises(StoreError, match=r"are in chroma/, not in postgresql://"):
        open_memory()


def test_a_conditional_write_that_came_too_late_changes_nothing(open_memory: Open) -> None:
    with open_memory() as memory:
        store: Any = memory.store
        store.put(("notes",), "a", {"text": "one"})
        seen = store.get(("notes",), "a").updated_at
        store.put_if(("notes",), "a", {"text": "two"}, expected=seen)
        with pytest.raises(ConflictError):
            store.put_if(("notes",), "a", {"text": "three"}, expected=seen)
        with pytest.raises(ConflictError):
            store.put_if(("notes",), "a", {"text": "three"}, expected=None)
        assert store.get(("notes",), "a").value == {"text": "two"}


def test_writers_of_many_folders_lose_nothing(open_memory: Open) -> None:
    """Each has a change log of its own; only the database keeps them from overwriting."""
    memories = [open_memory(f"folder{n}") for n in range(3)]
    shared = memories[0].save("begins", user_id="many").id
    barrier = threading.Barrier(3)

    def work(number: int) -> None:
        barrier.wait()
        for n in range(4):
            memories[number].save(f"{number} {n}", memory_id=shared, user_id="many")

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, range(3)))
    [memory] = memories[0].memories(user_id="many")
    for each in memories:
        each.close()
    assert sorted(v.content for v in memory.history) == sorted(
        ["begins", *(f"{number} {n}" for number in range(3) for n in range(4))]
    )


def test_more_writers_than_connections_do_not_wait_for_each_other_for_ever(
    open_memory: Open,
) -> None:
    with open_memory() as memory:
        with ThreadPoolExecutor(24) as pool:
            list(pool.map(lambda n: memory.save(f"fact {n}", user_id=f"user{n}"), range(48)))
        found = memory.store.batch([GetOp(("memories", f"user{n}"), "absent") for n in range(48)])
        assert found == [None] * 48
        assert all(len(memory.memories(user_id=f"user{n}")) == 1 for n in range(48))


def test_connections_that_the_server_closed_are_made_anew(
    open_memory: Open, postgres_url: str
) -> None:
    import psycopg

    with open_memory() as memory:
        memory.save("before", user_id="cut")
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        memory.save("after", user_id="cut")
        assert {m.content for m in memory.memories(user_id="cut")} == {"before", "after"}


def test_no_server_is_a_clear_error(open_memory: Open) -> None:
    with pytest.raises(StoreError, match=r"(?s)127.0.0.1:9/x.*check the URL") as caught:
        open_memory("new", store="postgresql://ann:hunter2@127.0.0.1:9/x")
    assert "hunter2" not in str(caught.value)


def test_missing_packages_are_a_clear_error(
    open_memory: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "langgraph_memskill.stores.postgres", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingDependencyError, match=r"langgraph-memskill\[postgres\]"):
        open_memory("new")


def test_an_interrupted_run_goes_on_from_the_postgres_checkpointer(
    tmp_path: Path, postgres_url: str, model: Any, encoder: Any
) -> None:
    with postgres_checkpoints.PostgresSaver.from_conn_string(postgres_url) as saver:
        saver.setup()
        place: dict[str, Any] = {"store": postgres_url, "encoder": encoder, "checkpointer": saver}
        config: Any = {"configurable": {"thread_id": "long", "user_id": "cp"}}
        with MemSkillMemory.open(tmp_path / "memdir", model, **place) as memory:
            spans = {"messages": [("user", "remember a"), ("user", "remember b")]}
            memory.graph.invoke(spans, config, interrupt_before=["store"])
            assert memory.memories(user_id="cp") == []
        with MemSkillMemory.open(tmp_path / "memdir", model, **place) as memory:
            memory.graph.invoke(None, config)
            assert [m.content for m in memory.memories(user_id="cp")] == ["a", "b"]
