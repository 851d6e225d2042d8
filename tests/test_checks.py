"""A doctor for memories: every kind of fault, planted, found, repaired, and the repair undone."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langgraph.store.memory import InMemoryStore

from langgraph_memskill.checking.findings import Finding, FindingKind, MemoryCheck
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.records import FailedSpan, Span
from langgraph_memskill.stores.chroma import ChromaStore
from langgraph_memskill.stores.codec import vector_id
from langgraph_memskill.stores.shelf import Row
from langgraph_memskill.stores.tombstones import put_tombstone

Make = Callable[..., MemSkillMemory]
NS = ("memories", "ann")


@pytest.fixture
def memory(tmp_path: Path, model: Any, encoder: Any) -> Iterator[MemSkillMemory]:
    """A sound memory in a folder."""
    with MemSkillMemory.open(tmp_path / "m", model, encoder=encoder) as opened:
        opened.save("Ann likes green tea.", user_id="ann")
        opened.remember("remember Ann lives in Oslo", user_id="ann")
        opened.forget(opened.save("Ann has a car.", user_id="ann").id)
        opened.save("Ben has a dog.", user_id="ben")
        yield opened


def kinds(check: MemoryCheck) -> list[str]:
    return sorted(finding.kind for finding in check.findings)


def the_one(check: MemoryCheck) -> Finding:
    [finding] = check.findings
    return finding


def contents(memory: MemSkillMemory, user: str = "ann") -> list[str]:
    return sorted(m.content for m in memory.memories(user_id=user))


def test_a_sound_memory(memory: MemSkillMemory) -> None:
    check = memory.check_memories()
    assert (check.findings, check.num_memories, check.num_namespaces) == ((), 3, 2)


def test_a_check_changes_nothing(memory: MemSkillMemory, tmp_path: Path) -> None:
    for text in ("Hello!", "Ann likes green tea", "Ann lives in Rome."):
        memory.save(text, user_id="ann")
    memory.store.delete(NS, memory.memories(user_id="ann")[0].id)
    memory.export(tmp_path / "1")
    logged = memory.changes()
    assert kinds(memory.check_memories()) == ["contradiction", "junk", "vanished"]
    memory.export(tmp_path / "2")
    assert (tmp_path / "1").read_bytes().splitlines()[1:-1] == (
        (tmp_path / "2").read_bytes().splitlines()[1:-1]
    )
    assert memory.changes() == logged


def test_junk_is_deleted_and_comes_back(memory: MemSkillMemory) -> None:
    for text in ("Hello, how are you?", "...", "ACTION: NOOP"):
        memory.save(text, user_id="ann")
    check = memory.check_memories()
    assert kinds(check) == ["junk", "junk", "junk"]
    assert {f.contents[0] for f in check.problems} == {
        "Hello, how are you?",
        "...",
        "ACTION: NOOP",
    }
    report = memory.repair_memories(check)
    assert (len(report.fixed), report.left, report.num_changes) == (3, (), 3)
    assert contents(memory) == ["Ann likes green tea.", "Ann lives in Oslo"]
    assert {c.cause for c in memory.changes(run_id=report.run_id)} == {"doctor"}
    assert memory.check_memories().findings == ()
    memory.undo(report.run_id)
    assert kinds(memory.check_memories()) == ["junk", "junk", "junk"]


def test_duplicates_become_one_with_all_sources(memory: MemSkillMemory) -> None:
    memory.remember("remember Ann lives in Rome", user_id="ann")
    [first, other] = [m for m in memory.memories(user_id="ann") if "lives" in m.content]
    memory.save("Ann lives in Oslo!", memory_id=other.id, user_id="ann")
    finding = the_one(memory.check_memories())
    assert finding.kind is FindingKind.DUPLICATE
    assert finding.memory_ids == (first.id, other.id)
    report = memory.repair_memories(memory.check_memories())
    assert contents(memory) == ["Ann likes green tea.", "Ann lives in Oslo"]
    kept = memory.get(first.id)
    assert {s.span_id for s in kept.sources} == {
        source.span_id for m in (first, other) for source in m.sources
    }
    assert len(kept.sources) == 2
    assert (len(report.fixed), report.num_changes) == (1, 2)
    memory.undo(report.run_id)
    assert memory.get(first.id).sources == first.sources
    assert memory.get(other.id).content == "Ann lives in Oslo!"


def test_duplicates_of_two_users_are_none(memory: MemSkillMemory) -> None:
    memory.save("Ann likes green tea.", user_id="ben")
    assert memory.check_memories().findings == ()


def test_near_duplicates(memory: MemSkillMemory) -> None:
    memory.save("On 7 May, Ann bought three lamps.", user_id="ann")
    memory.save("Ann bought 3 lamps on 7 May.", user_id="ann")
    finding = the_one(memory.check_memories(user_id="ann"))
    assert finding.kind is FindingKind.NEAR_DUPLICATE
    memory.repair_memories(memory.check_memories())
    assert "On 7 May, Ann bought three lamps." in contents(memory)
    assert len(contents(memory)) == 3


def test_contradictions_are_only_told(memory: MemSkillMemory) -> None:
    memory.save("Ann lives in Porto.", user_id="ann")
    check = memory.check_memories()
    finding = the_one(check)
    assert (finding.kind, finding.fix) == (FindingKind.CONTRADICTION, "")
    report = memory.repair_memories(check)
    assert (report.fixed, report.left, report.num_changes) == ((), check.findings, 0)
    assert "Ann lives in Porto." in contents(memory)


def test_what_changed_since_the_check_is_left(memory: MemSkillMemory) -> None:
    junk = memory.save("Hello!", user_id="ann")
    check = memory.check_memories()
    memory.save("Ann greets everybody.", memory_id=junk.id, user_id="ann")
    report = memory.repair_memories(check)
    assert (report.fixed, len(report.left)) == ((), 1)
    assert memory.get(junk.id).content == "Ann greets everybody."


def test_log_and_store_that_disagree(memory: MemSkillMemory) -> None:
    tea, oslo = sorted(memory.memories(user_id="ann"), key=lambda m: m.content)
    item = memory.store.get(NS, tea.id)
    assert item is not None
    memory.store.put(NS, "unknown", {**item.value, "text": "Ann sings."})
    memory.store.put(NS, tea.id, {**item.value, "text": "Ann likes coffee."})
    memory.store.delete(NS, oslo.id)
    memory.store.batch([put_tombstone(memory.memories(user_id="ben")[0])])
    check = memory.check_memories()
    assert kinds(check) == ["changed-outside", "stray-tombstone", "unlogged", "vanished"]
    assert {f.kind: f.memory_ids[0] for f in check.findings}[FindingKind.VANISHED] == oslo.id
    report = memory.repair_memories(check)
    assert (len(report.fixed), report.left, report.num_changes) == (4, (), 0)
    assert memory.check_memories().findings == ()
    last = memory.changes(memory_id=oslo.id)[-1]
    assert (last.cause, last.previous) == ("outside", "Ann lives in Oslo")
    memory.undo(last.id)
    assert contents(memory) == ["Ann likes coffee.", "Ann lives in Oslo", "Ann sings."]


def test_what_is_written_during_a_check_is_no_fault(
    memory: MemSkillMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = memory.change_log.last
    [oslo] = [m for m in memory.memories(user_id="ann") if "Oslo" in m.content]

    def written_meanwhile(namespace: Any) -> Any:
        if namespace == NS:
            memory.save("Ann sings.", user_id="ann")
            memory.forget(oslo.id, user_id="ann")
        return read(namespace)

    monkeypatch.setattr(memory.change_log, "last", written_meanwhile)
    assert memory.check_memories().findings == ()


def test_a_tombstone_that_is_right_by_now_stays(memory: MemSkillMemory) -> None:
    [dog] = memory.memories(user_id="ben")
    memory.store.batch([put_tombstone(dog)])
    check = memory.check_memories()
    memory.forget(dog.id)
    report = memory.repair_memories(check)
    assert (report.fixed, len(report.left)) == ((), 1)
    assert [m.id for m in memory.forgotten(user_id="ben")] == [dog.id]


def test_a_tombstone_of_a_purged_memory(memory: MemSkillMemory) -> None:
    tea = next(m for m in memory.memories(user_id="ann") if "tea" in m.content)
    memory.purge(tea.id)
    memory.store.batch([put_tombstone(tea)])
    finding = the_one(memory.check_memories())
    assert finding.kind is FindingKind.STRAY_TOMBSTONE
    assert "purged" in finding.what
    memory.repair_memories(memory.check_memories())
    assert tea.id not in {m.id for m in memory.forgotten(user_id="ann")}


def test_a_log_that_was_lost(memory: MemSkillMemory, tmp_path: Path, encoder: Any) -> None:
    memory.export(tmp_path / "x")
    with ChromaStore(index={"dims": 48, "embed": encoder, "fields": ["text"]}) as store:
        for m in memory.memories(user_id="ann"):
            item = memory.store.get(NS, m.id)
            assert item is not None
            store.put(NS, m.id, item.value)
        other = MemSkillMemory(
            memory.model, store=store, encoder=encoder, change_log=tmp_path / "new.db"
        )
        with other:
            assert kinds(other.check_memories()) == ["unlogged", "unlogged"]
            other.repair_memories(other.check_memories())
            assert other.check_memories().findings == ()
            assert len(other.changes()) == 2


def test_items_of_other_writers_are_no_fault(make_memory: Make) -> None:
    memory = make_memory(store=InMemoryStore())
    memory.store.put(NS, "theirs", {"text": "Ann likes tea."})
    memory.store.put((*NS, "deeper"), "k", {"text": "x"})
    check = memory.check_memories()
    assert kinds(check) == ["foreign-item", "foreign-item"]
    assert check.problems == ()
    assert memory.repair_memories(check).fixed == ()


def test_queued_spans_and_rewards_of_nobody(memory: MemSkillMemory) -> None:
    result = memory.remember("remember Ann sings", user_id="ann")
    memory.feedback(result.episode_id, 1.0)
    memory.feedback("nowhere", 1.0)
    span = Span(id="s", index=0, text="x")
    for place in (NS, ("other", "place")):
        memory._pending.add([FailedSpan(span=span, namespace=place, reason="x")])
    check = memory.check_memories()
    assert kinds(check) == ["stray-feedback", "stray-span"]
    assert [f.kind for f in check.problems] == [FindingKind.STRAY_SPAN]


def test_orphans_in_the_store_are_removed(memory: MemSkillMemory) -> None:
    store = memory.store
    assert isinstance(store, ChromaStore)
    with store._connection.session(write=True):
        room = store._catalog.room(NS)
        assert room is not None
        shelf = room.vectors()
        assert shelf is not None
        shelf.write([Row(vector_id("gone", 1, 0), np.full(48, 0.1, np.float32), None)])
    finding = the_one(memory.check_memories())
    assert finding.kind is FindingKind.ORPHAN_VECTORS
    memory.repair_memories(memory.check_memories())
    assert memory.check_memories().findings == ()


def test_an_index_of_nobody_is_removed(memory: MemSkillMemory, tmp_path: Path) -> None:
    for user in ("ann", "ben"):
        assert memory.recall("tea", user_id=user)
    folder = tmp_path / "m" / "changes.db.lexical"
    assert len(list(folder.glob("*.db"))) == 2
    memory.forget(memory.memories(user_id="ben")[0].id)
    check = memory.check_memories()
    finding = the_one(check)
    assert (finding.kind, finding.is_problem) == (FindingKind.STRAY_INDEX, False)
    memory.repair_memories(check)
    assert len(list(folder.glob("*.db"))) == 1
    assert memory.check_memories().findings == ()
    assert memory.recall("tea", user_id="ben") == []


def test_a_damaged_log_is_told(memory: MemSkillMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    log = memory.change_log
    monkeypatch.setattr(log, "check", lambda: ["memory 'x' has 2 changes, but its last is 3"])
    check = memory.check_memories()
    assert kinds(check) == ["damaged-log"]
    report = memory.repair_memories(check)
    assert [f.kind for f in report.left] == [FindingKind.DAMAGED_LOG]


async def test_the_async_twins(memory: MemSkillMemory) -> None:
    await memory.asave("Hello!", user_id="ann")
    check = await memory.acheck_memories(user_id="ann")
    assert kinds(check) == ["junk"]
    report = await memory.arepair_memories(check)
    assert len(report.fixed) == 1


def test_progress_is_told(memory: MemSkillMemory) -> None:
    told: list[tuple[int, int]] = []
    memory.check_memories(on_progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]
