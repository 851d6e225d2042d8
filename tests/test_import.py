"""Memories of other programs: LangMem's and any other store's items, mem0's exports."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.memory import InMemoryStore

from langgraph_memskill.errors import ConfigError, ConflictError, DataError, NamespaceError
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.records import Memory

Make = Callable[..., MemSkillMemory]
LANGMEM = ("memories", "u-1")


@pytest.fixture
def memory(make_memory: Make) -> MemSkillMemory:
    return make_memory()


@pytest.fixture
def langmem() -> InMemoryStore:
    """What LangMem's store manager and its tools have written, and what is near it."""
    store = InMemoryStore()
    store.put(LANGMEM, "k1", {"kind": "Memory", "content": {"content": "Ann likes tea."}})
    store.put(LANGMEM, "k2", {"content": "Ann lives in Oslo."})
    store.put(
        LANGMEM,
        "k3",
        {"kind": "Profile", "content": {"name": "Ann", "age": 33, "hobbies": ["chess", "go"]}},
    )
    store.put(LANGMEM, "k4", {"kind": "Memory", "content": {"content": "  "}})
    store.put(LANGMEM, "k5", {"subject": "Ann", "object": None, "extra": {"a": 1}})
    store.put((*LANGMEM, "deeper"), "k6", {"content": "somebody else's"})
    return store


def by_id(memory: MemSkillMemory, user: str = "ann") -> dict[str, Memory]:
    return {m.id: m for m in memory.memories(user_id=user)}


def test_langmem_items_become_memories(memory: MemSkillMemory, langmem: InMemoryStore) -> None:
    report = memory.import_store(langmem, LANGMEM, user_id="ann")
    assert report.num_added == 4
    assert {key: m.content for key, m in by_id(memory).items()} == {
        "k1": "Ann likes tea.",
        "k2": "Ann lives in Oslo.",
        "k3": "Profile: name: Ann; age: 33; hobbies: chess, go",
        "k5": 'subject: Ann; extra: {"a": 1}',
    }
    assert [(s.record, s.reason.partition(":")[0]) for s in report.skipped] == [
        ("key 'k4'", "there is no text in its value"),
        ("key 'k6'", "it is in the namespace ('memories', 'u-1', 'deeper')"),
    ]


def test_their_origin_is_kept(memory: MemSkillMemory, langmem: InMemoryStore) -> None:
    memory.import_store(langmem, LANGMEM, user_id="ann")
    item, found = langmem.get(LANGMEM, "k3"), by_id(memory)["k3"]
    assert item is not None
    assert (found.created_at, found.updated_at) == (item.created_at, item.updated_at)
    [source] = found.sources
    assert json.loads(source.details or "") == item.value
    assert source.span_id == "store/memories/u-1/k3"
    [version] = found.history
    assert (version.content, version.cause) == (found.content, "import")
    [change] = memory.changes(memory_id="k3")
    assert (change.cause, change.kind) == ("import", "insert")


def test_an_import_is_found_and_undone(memory: MemSkillMemory, langmem: InMemoryStore) -> None:
    report = memory.import_store(langmem, LANGMEM, user_id="ann")
    [best] = memory.recall("Who likes tea?", user_id="ann", k=1)
    assert best.id == "k1"
    again = memory.import_store(langmem, LANGMEM, user_id="ann")
    assert (again.num_changed, again.num_unchanged) == (0, 4)
    memory.undo(report.run_id)
    assert by_id(memory) == {}


def test_a_changed_item_is_a_conflict(memory: MemSkillMemory, langmem: InMemoryStore) -> None:
    memory.import_store(langmem, LANGMEM, user_id="ann")
    langmem.put(LANGMEM, "k2", {"content": "Ann lives in Rome."})
    [conflict] = memory.import_store(langmem, LANGMEM, user_id="ann").conflicts
    assert (conflict.memory_id, conflict.reason) == ("k2", "it has another text here")
    with pytest.raises(ConflictError, match="'k2'"):
        memory.import_store(langmem, LANGMEM, user_id="ann", on_conflict="error")
    report = memory.import_store(langmem, LANGMEM, user_id="ann", on_conflict="replace")
    assert report.num_replaced == 1
    assert [v.content for v in memory.history("k2")] == ["Ann lives in Oslo.", "Ann lives in Rome."]


def test_memories_of_this_package_keep_their_life(
    memory: MemSkillMemory, make_memory: Make
) -> None:
    other = make_memory(store=InMemoryStore())
    saved = other.save("Ben has a dog.", user_id="ben")
    other.save("Ben has two dogs.", memory_id=saved.id, user_id="ben")
    memory.import_store(other.store, ("memories", "ben"), user_id="ann")
    found = by_id(memory)[saved.id]
    assert [v.content for v in found.history] == ["Ben has a dog.", "Ben has two dogs."]
    assert found.created_at == saved.created_at


def test_values_that_are_no_json(memory: MemSkillMemory) -> None:
    store = InMemoryStore()
    store.put(LANGMEM, "k", {"text": "Ann sings.", "at": datetime(2025, 5, 5), ("a", 1): {2}})
    store.put(LANGMEM, "l", {"at": datetime(2025, 5, 5), 5: {2, 3}})
    assert memory.import_store(store, LANGMEM, user_id="ann").num_added == 2
    found = by_id(memory)
    assert found["k"].content == "Ann sings."
    assert "('a', 1)" in (found["k"].sources[0].details or "")
    assert found["l"].content == 'at: "2025-05-05 00:00:00"; 5: "{2, 3}"'


def test_the_wrong_namespace_is_empty(memory: MemSkillMemory, langmem: InMemoryStore) -> None:
    report = memory.import_store(langmem, ("memories",), user_id="ann")
    assert report.num_added == 0
    assert len(report.skipped) == 6
    with pytest.raises(NamespaceError, match="user_id"):
        memory.import_store(langmem, LANGMEM)


async def test_the_async_twin(memory: MemSkillMemory, langmem: InMemoryStore) -> None:
    assert (await memory.aimport_store(langmem, LANGMEM, user_id="ann")).num_added == 4


RECORDS: list[Any] = [
    {
        "id": "m1",
        "memory": "Likes tea",
        "hash": "5d41402abc4b2a76b9719d911017c592",
        "metadata": {"category": "food"},
        "created_at": "2024-07-20T01:30:36.275141-07:00",
        "updated_at": "2024-07-21T08:00:00+00:00",
        "user_id": "ann",
        "agent_id": "helper",
    },
    {"id": "m2", "memory": "Has a dog", "user_id": "ben", "created_at": "2024-07-20T01:30:36"},
    {"id": "m3", "memory": "Plays chess", "user_id": "ann", "updated_at": None},
    {"id": "m4", "memory": " ", "user_id": "ann"},
    {"id": "m5", "memory": "Nobody's"},
    {"id": "m6", "memory": "Old", "user_id": "ann", "expiration_date": "2020-01-01"},
    {"id": "m3", "memory": "Plays go", "user_id": "ann"},
    "just a text",
    {"memory": "Has no id", "user_id": "ann"},
]
HISTORY = [
    {
        "id": "h1",
        "memory_id": "m1",
        "old_memory": None,
        "new_memory": "Likes coffee",
        "event": "ADD",
        "created_at": "2024-07-20T08:30:36+00:00",
        "updated_at": None,
        "is_deleted": False,
    },
    {
        "id": "h2",
        "memory_id": "m1",
        "old_memory": "Likes coffee",
        "new_memory": "Likes tea",
        "event": "UPDATE",
        "created_at": "2024-07-20T08:30:36+00:00",
        "updated_at": "2024-07-21T08:00:00+00:00",
        "is_deleted": False,
    },
]


def save(tmp_path: Path, document: object) -> Path:
    path = tmp_path / "mem0.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_mem0_records_go_to_their_users(memory: MemSkillMemory, tmp_path: Path) -> None:
    path = save(tmp_path, {"results": RECORDS, "relations": [{"source": "a", "target": "b"}]})
    report = memory.import_mem0(path)
    assert report.num_added == 4
    found = by_id(memory)
    assert sorted(m.content for m in found.values()) == ["Has no id", "Likes tea", "Plays chess"]
    assert [m.content for m in memory.memories(user_id="ben")] == ["Has a dog"]
    assert [(s.record, s.reason) for s in report.skipped] == [
        ("record 4", "there is no text in 'memory'"),
        ("record 5", "it names no user: pass user_id"),
        ("record 6", "it expired on 2020-01-01"),
        ("record 7", "the id 'm3' is there twice"),
        ("record 8", "it is no object but str"),
        ("relations", "1 edges of the graph are no memories"),
    ]
    tea = found["m1"]
    assert tea.created_at == datetime(2024, 7, 20, 8, 30, 36, 275141, tzinfo=UTC)
    assert tea.updated_at == datetime(2024, 7, 21, 8, tzinfo=UTC)
    assert json.loads(tea.sources[0].details or "") == RECORDS[0]
    assert tea.sources[0].span_id == "mem0/m1"
    again = memory.import_mem0(path)
    assert (again.num_changed, again.num_unchanged) == (0, 4)
    memory.undo(report.run_id)
    assert (by_id(memory), by_id(memory, "ben")) == ({}, {})


@pytest.mark.parametrize("where", ["record", "rows", "by memory"])
def test_mem0_history_becomes_versions(memory: MemSkillMemory, tmp_path: Path, where: str) -> None:
    record = RECORDS[0] | ({"history": HISTORY} if where == "record" else {})
    document: dict[str, Any] = {"results": [record]}
    if where != "record":
        document["history"] = HISTORY if where == "rows" else {"m1": HISTORY}
    report = memory.import_mem0(save(tmp_path, document))
    versions = memory.history("m1", user_id="ann")
    assert [(v.content, v.change_id, v.cause) for v in versions] == [
        ("Likes coffee", "h1", "import"),
        ("Likes tea", "h2", "import"),
    ]
    [coming] = memory.changes(run_id=report.run_id)
    assert (coming.cause, coming.kind) == ("import", "touch")
    past = memory.recall("coffee", user_id="ann", as_of=datetime(2024, 7, 20, 12, tzinfo=UTC))
    assert [m.content for m in past] == ["Likes coffee"]
    memory.undo(report.run_id)
    assert by_id(memory) == {}


def test_mem0_lists_and_one_user(memory: MemSkillMemory, tmp_path: Path) -> None:
    path = save(tmp_path, RECORDS[:6])
    report = memory.import_mem0(path, user_id="ann")
    assert sorted(by_id(memory)) == ["m1", "m3", "m5"]
    assert any("user 'ben', not of 'ann'" in entry.reason for entry in report.skipped)
    report = memory.import_mem0(path, user_id="carl", from_user="ben")
    assert sorted(by_id(memory, "carl")) == ["m2"]
    assert report.num_added == 1
    with pytest.raises(ConfigError, match="from_user='ben' needs user_id"):
        memory.import_mem0(path, from_user="ben")


def test_mem0_ids_fill_other_placeholders(make_memory: Make, tmp_path: Path) -> None:
    memory = make_memory(namespace=("m", "{user_id}", "{agent_id}"))
    report = memory.import_mem0(save(tmp_path, RECORDS[:3]))
    found = memory.memories(user_id="ann", scope={"agent_id": "helper"})
    assert [m.id for m in found] == ["m1"]
    assert len(report.skipped) == 2
    assert all("agent_id" in entry.reason for entry in report.skipped)


@pytest.mark.parametrize("document", [{}, {"results": 5}, "text", None, {"results": {"a": 1}}])
def test_mem0_files_of_another_form(
    memory: MemSkillMemory, tmp_path: Path, document: object
) -> None:
    with pytest.raises(DataError, match="holds no export of mem0"):
        memory.import_mem0(save(tmp_path, document))


def test_mem0_files_that_cannot_be_read(memory: MemSkillMemory, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        memory.import_mem0(tmp_path / "none.json")
    (tmp_path / "x").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match="x is no JSON file"):
        memory.import_mem0(tmp_path / "x")
    assert memory.changes() == []


async def test_the_async_twin_of_mem0(memory: MemSkillMemory, tmp_path: Path) -> None:
    path = save(tmp_path, RECORDS[:1])
    assert (await memory.aimport_mem0(path, user_id="ann")).num_added == 1
