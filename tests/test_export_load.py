"""Memories out of one store and into another, and what a load does with what is there."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.memory import InMemoryStore

from langgraph_memskill.errors import ConfigError, ConflictError, DataError, UndoError
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.records import Memory
from langgraph_memskill.stores.chroma import ChromaStore

Make = Callable[..., MemSkillMemory]


@pytest.fixture
def source(make_memory: Make) -> MemSkillMemory:
    """Two users; one memory with two versions and a touch, one deleted, one from a span."""
    memory = make_memory()
    tea = memory.save("Ann likes tea.", user_id="ann")
    memory.save("Ann likes green tea.", memory_id=tea.id, user_id="ann")
    memory.save("Ann likes green tea.", memory_id=tea.id, user_id="ann")
    gone = memory.save("Ann has a car.", user_id="ann")
    memory.forget(gone.id, user_id="ann")
    memory.remember("remember Ann lives in Oslo", user_id="ann")
    memory.save("Ben has a dog.", user_id="ben")
    return memory


@pytest.fixture
def empty(make_memory: Make, encoder: Any) -> MemSkillMemory:
    index: Any = {"dims": encoder.dim, "embed": encoder, "fields": ["text"]}
    return make_memory(store=InMemoryStore(index=index))


@pytest.fixture
def path(tmp_path: Path, source: MemSkillMemory) -> Path:
    source.export(tmp_path / "m.jsonl")
    return tmp_path / "m.jsonl"


def state(memory: MemSkillMemory, user: str = "ann") -> tuple[list[Memory], list[Memory]]:
    by_id = {"key": lambda m: m.id}
    live = sorted(memory.memories(user_id=user), **by_id)
    dead = sorted(memory.forgotten(user_id=user), **by_id)
    return [replace(m, score=None) for m in live], dead


def contents(memory: MemSkillMemory, user: str = "ann") -> list[str]:
    return sorted(m.content for m in memory.memories(user_id=user))


def test_a_load_gives_equal_memories(
    source: MemSkillMemory, empty: MemSkillMemory, path: Path
) -> None:
    report = empty.load(path)
    assert (report.num_added, report.num_deleted_added, report.num_unchanged) == (3, 1, 0)
    assert (report.conflicts, report.skipped) == ((), ())
    for user in ("ann", "ben"):
        assert state(empty, user) == state(source, user)
    [best, *_] = empty.recall("Who lives in Oslo?", user_id="ann")
    assert best.content == "Ann lives in Oslo"
    for memory in (*state(source)[0], *state(source)[1]):
        told = [v.content for v in source.history(memory.id)]
        assert [v.content for v in empty.history(memory.id)] == told
        assert empty.change_log.check() == []


def test_loading_twice_changes_nothing(empty: MemSkillMemory, path: Path) -> None:
    empty.load(path)
    before, logged = [state(empty, u) for u in ("ann", "ben")], empty.changes()
    report = empty.load(path)
    assert (report.num_changed, report.num_deleted_added, report.num_unchanged) == (0, 0, 4)
    assert [state(empty, u) for u in ("ann", "ben")] == before
    assert empty.changes() == logged


def test_a_file_is_the_same_after_a_round_trip(
    source: MemSkillMemory, empty: MemSkillMemory, path: Path, tmp_path: Path
) -> None:
    empty.load(path)
    empty.export(tmp_path / "again.jsonl")

    def memories(file: Path) -> list[bytes]:
        return sorted(file.read_bytes().splitlines()[1:-1])

    assert memories(tmp_path / "again.jsonl") == memories(path)


def test_a_load_is_one_run_that_can_be_undone(empty: MemSkillMemory, path: Path) -> None:
    kept = empty.save("Ann plays chess.", user_id="ann")
    report = empty.load(path)
    made = empty.changes(run_id=report.run_id)
    assert {change.cause for change in made} == {"import"}
    assert {change.namespace[1] for change in made} == {"ann", "ben"}
    back = empty.undo(report.run_id)
    assert len(back) == len(made) == 3
    assert (contents(empty), contents(empty, "ben")) == (["Ann plays chess."], [])
    assert len(empty.forgotten(user_id="ann")) == 3
    again = asyncio.run(empty.aundo(back[0].run_id or ""))
    assert len(again) == 3
    assert contents(empty, "ben") == ["Ben has a dog."]
    assert empty.get(kept.id).content == "Ann plays chess."


def test_an_undo_for_many_users_is_for_all_or_none(empty: MemSkillMemory, path: Path) -> None:
    report = empty.load(path)
    [dog] = empty.memories(user_id="ben")
    empty.save("Ben has two dogs.", memory_id=dog.id, user_id="ben")
    with pytest.raises(UndoError, match=dog.id):
        empty.undo(report.run_id)
    assert contents(empty) == ["Ann likes green tea.", "Ann lives in Oslo"]
    empty.undo(report.run_id, user_id="ann")
    assert contents(empty) == []


def test_loading_again_after_an_undo(empty: MemSkillMemory, path: Path) -> None:
    empty.undo(empty.load(path).run_id)
    report = empty.load(path)
    assert (report.num_added, report.conflicts) == (3, ())
    assert contents(empty, "ben") == ["Ben has a dog."]
    empty.undo(report.run_id)
    assert contents(empty, "ben") == []


@pytest.fixture
def changed(empty: MemSkillMemory, source: MemSkillMemory, path: Path) -> MemSkillMemory:
    """One memory with another text, one that was deleted, one that is no longer deleted."""
    empty.load(path)
    [tea] = [m for m in empty.memories(user_id="ann") if "tea" in m.content]
    [oslo] = [m for m in empty.memories(user_id="ann") if "Oslo" in m.content]
    [car] = empty.forgotten(user_id="ann")
    empty.save("Ann likes coffee.", memory_id=tea.id, user_id="ann")
    empty.forget(oslo.id, user_id="ann")
    empty.undo(empty.changes(memory_id=car.id)[-1].id, user_id="ann")
    return empty


def test_by_default_what_is_here_stays(changed: MemSkillMemory, path: Path) -> None:
    before = state(changed)
    report = changed.load(path)
    assert (report.num_changed, report.num_unchanged) == (0, 1)
    assert sorted(conflict.reason for conflict in report.conflicts) == [
        "it has another text here",
        "it is not deleted here",
        "it was deleted here",
    ]
    assert state(changed) == before


def test_replace_takes_the_file_and_keeps_the_history(changed: MemSkillMemory, path: Path) -> None:
    report = changed.load(path, on_conflict="replace")
    assert (report.num_replaced, report.num_unchanged, report.conflicts) == (3, 1, ())
    assert contents(changed) == ["Ann likes green tea.", "Ann lives in Oslo"]
    [tea] = [m for m in changed.memories(user_id="ann") if "tea" in m.content]
    assert [v.content for v in tea.history] == [
        "Ann likes tea.",
        "Ann likes green tea.",
        "Ann likes coffee.",
        "Ann likes green tea.",
    ]
    assert changed.history(tea.id)[-1].cause == "import"
    changed.undo(report.run_id, user_id="ann")
    assert contents(changed) == ["Ann has a car.", "Ann likes coffee."]


def test_error_changes_nothing_at_all(
    changed: MemSkillMemory, path: Path, make_memory: Make
) -> None:
    before, logged = state(changed), changed.changes()
    with pytest.raises(ConflictError, match="on_conflict='skip' keeps"):
        changed.load(path, on_conflict="error")
    assert (state(changed), changed.changes()) == (before, logged)


def test_what_was_purged_does_not_come_back_by_itself(empty: MemSkillMemory, path: Path) -> None:
    empty.load(path)
    [dog] = empty.memories(user_id="ben")
    empty.purge(dog.id)
    report = empty.load(path)
    [conflict] = report.conflicts
    assert (conflict.memory_id, conflict.reason) == (dog.id, "it was purged here")
    assert contents(empty, "ben") == []
    empty.load(path, on_conflict="replace")
    assert contents(empty, "ben") == ["Ben has a dog."]


def test_an_unknown_rule(empty: MemSkillMemory, path: Path) -> None:
    rule: Any = "merge"
    with pytest.raises(ConfigError, match="on_conflict='merge' must be 'skip', 'replace' or"):
        empty.load(path, on_conflict=rule)


def test_a_damaged_file_changes_nothing(empty: MemSkillMemory, path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    lines[-2] = lines[-2].replace(b"Ben", b"Len")
    path.write_bytes(b"".join(lines))
    with pytest.raises(DataError, match=f"line {len(lines) - 1}"):
        empty.load(path)
    assert (contents(empty), empty.changes()) == ([], [])


def test_one_user_is_exported_alone(source: MemSkillMemory, tmp_path: Path) -> None:
    report = source.export(tmp_path / "ben.jsonl", user_id="ben")
    assert (report.num_memories, report.num_deleted) == (1, 0)
    assert report.namespaces == (("memories", "ben"),)
    assert b"Ann" not in (tmp_path / "ben.jsonl").read_bytes()
    report = source.export(tmp_path / "ann.jsonl", user_id="ann", deleted=False)
    assert (report.num_memories, report.num_deleted) == (2, 0)


def test_the_wall_between_users_holds(empty: MemSkillMemory, path: Path) -> None:
    for user in ("ann", "carl"):
        with pytest.raises(ConfigError, match=r"holds memories of \('memories', 'ben'\)|'ann'"):
            empty.load(path, user_id=user)
    assert empty.changes() == []
    report = empty.load(path, user_id="carl", from_namespace=("memories", "ben"))
    assert report.num_added == 1
    assert contents(empty, "carl") == ["Ben has a dog."]
    assert (contents(empty), contents(empty, "ben")) == ([], [])
    with pytest.raises(ConfigError, match=r"holds no memories of \('memories', 'eve'\)"):
        empty.load(path, from_namespace=("memories", "eve"))
    only = empty.load(path, from_namespace=("memories", "ben"))
    assert only.num_added == 1
    assert contents(empty, "ben") == ["Ben has a dog."]


def test_namespaces_of_the_file_must_be_this_memorys(
    make_memory: Make, path: Path, encoder: Any
) -> None:
    other = make_memory(store=InMemoryStore(), namespace=("app", "{user_id}", "notes"))
    with pytest.raises(DataError, match=r"\('memories', 'ann'\), which is no namespace of"):
        other.load(path)
    other.load(path, user_id="ann", from_namespace=("memories", "ann"))
    assert contents(other) == ["Ann likes green tea.", "Ann lives in Oslo"]


def test_from_a_chroma_folder_to_memory_and_back(
    tmp_path: Path, make_memory: Make, encoder: Any, model: Any, path: Path, empty: MemSkillMemory
) -> None:
    with MemSkillMemory.open(tmp_path / "one", model, encoder=encoder) as folder:
        folder.load(path)
        folder.export(tmp_path / "1.jsonl")
        first = state(folder)
    empty.load(tmp_path / "1.jsonl")
    assert state(empty) == first
    empty.export(tmp_path / "2.jsonl")
    with MemSkillMemory.open(tmp_path / "two", model, encoder=encoder) as folder:
        report = folder.load(tmp_path / "2.jsonl")
        assert state(folder) == first
        assert folder.recall("Where does Ann live?", user_id="ann")[0].content
    with MemSkillMemory.open(tmp_path / "two", model, encoder=encoder) as folder:
        assert state(folder) == first
        assert len(folder.undo(report.run_id)) == 3


def test_a_load_goes_on_after_a_crash(
    empty: MemSkillMemory, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = InMemoryStore.batch

    def fails_for_ben(self: InMemoryStore, ops: Any) -> Any:
        listed = list(ops)
        if any("ben" in op.namespace and hasattr(op, "value") for op in listed):
            raise ConnectionError("the plug was pulled")
        return written(self, listed)

    monkeypatch.setattr(InMemoryStore, "batch", fails_for_ben)
    with pytest.raises(ConnectionError):
        empty.load(path)
    monkeypatch.undo()
    assert contents(empty) == ["Ann likes green tea.", "Ann lives in Oslo"]
    report = empty.load(path)
    assert (report.num_added, report.num_unchanged) == (1, 3)
    assert contents(empty, "ben") == ["Ben has a dog."]


KILLED = """
import sys, time
from pathlib import Path
from conftest import ReadingModel, WordEncoder
from langgraph_memskill.memory import MemSkillMemory

def slowly(done, total):
    print(done, flush=True)
    time.sleep(0.002)

with MemSkillMemory.open(sys.argv[1], ReadingModel(), encoder=WordEncoder()) as memory:
    memory.load(sys.argv[2], on_progress=slowly)
"""


@pytest.mark.parametrize("kill_at", [10, 230, 790])
def test_a_kill_in_the_middle_of_a_load(
    tmp_path: Path, make_memory: Make, model: Any, encoder: Any, kill_at: int
) -> None:
    memory = make_memory(store=InMemoryStore())
    for n in range(800):
        memory.save(f"Ann wrote letter {n}", user_id=f"u{n // 300}")
    memory.export(tmp_path / "m.jsonl")
    command = [sys.executable, "-c", KILLED, str(tmp_path / "m"), str(tmp_path / "m.jsonl")]
    tests = str(Path(__file__).parent)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": tests}
    ) as process:
        assert process.stdout is not None
        while int(process.stdout.readline()) < kill_at:
            pass
        process.send_signal(signal.SIGKILL)
    with MemSkillMemory.open(tmp_path / "m", model, encoder=encoder) as folder:
        assert folder.check_memories().problems == ()
        report = folder.load(tmp_path / "m.jsonl")
        assert report.num_added + report.num_unchanged == 800
        for user in ("u0", "u1", "u2"):
            assert state(folder, user) == state(memory, user)
        assert folder.check_memories().problems == ()


def test_another_embedding_model_embeds_anew(
    make_memory: Make, path: Path, other_encoder: Any
) -> None:
    index: Any = {"dims": other_encoder.dim, "embed": other_encoder, "fields": ["text"]}
    with ChromaStore(index=index) as store:
        memory = make_memory(store=store, encoder=other_encoder)
        assert memory.load(path).num_added == 3
        assert memory.recall("green tea", user_id="ann", k=1)[0].content == "Ann likes green tea."


async def test_the_async_twins(source: MemSkillMemory, empty: MemSkillMemory, path: Path) -> None:
    exported = await source.aexport(path, user_id="ben")
    assert exported.num_memories == 1
    loaded = await empty.aload(path, user_id="ben")
    assert loaded.num_added == 1
    assert [m.content for m in await empty.amemories(user_id="ben")] == ["Ben has a dog."]


def test_progress_is_told(source: MemSkillMemory, empty: MemSkillMemory, path: Path) -> None:
    told: list[tuple[int, int]] = []
    source.export(path, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    told.clear()
    empty.load(path, on_progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (4, 4)


def test_many_memories_are_written_in_order(
    make_memory: Make, empty: MemSkillMemory, tmp_path: Path
) -> None:
    memory = make_memory()
    for n in range(1203):
        memory.store.put(("memories", "ann"), f"k{n}", {"text": f"number {n}"}, index=False)
    report = memory.export(tmp_path / "many.jsonl")
    assert report.num_memories == 1203
    lines = (tmp_path / "many.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["id"] for line in lines[1:-1]] == [f"k{n}" for n in range(1203)]
    loaded = empty.load(tmp_path / "many.jsonl")
    assert loaded.num_added == 1203
    assert len(empty.memories(user_id="ann")) == 1203
    assert len(empty.undo(loaded.run_id)) == 1203
