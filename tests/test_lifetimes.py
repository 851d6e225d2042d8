"""Memories that expire, by a clock that the test moves."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import TTLConfig
from langgraph.store.memory import InMemoryStore

from langgraph_memskill.errors import ConfigError
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.stores.chroma import ChromaStore

Make = Callable[..., MemSkillMemory]
MINUTE = 60 * 10**9
NS = ("memories", "ann")


class Hands:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_800_000_000 * 10**9

    def __call__(self) -> int:
        return self.now

    def move(self, minutes: float) -> None:
        self.now += int(minutes * MINUTE)


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def make_store(encoder: Any, hands: Hands) -> Iterator[Callable[..., ChromaStore]]:
    made: list[ChromaStore] = []

    def make(**ttl: Any) -> ChromaStore:
        index: Any = {"dims": encoder.dim, "embed": encoder, "fields": ["text"]}
        config: Any = {"default_ttl": 10, **ttl}
        made.append(ChromaStore(index=index, ttl=config, clock=hands))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def memory(make_memory: Make, make_store: Callable[..., ChromaStore]) -> MemSkillMemory:
    return make_memory(store=make_store())


def contents(memory: MemSkillMemory) -> list[str]:
    return [m.content for m in memory.memories(user_id="ann")]


def test_a_memory_expires_and_its_history_stays(memory: MemSkillMemory, hands: Hands) -> None:
    saved = memory.save("Ann likes tea.", user_id="ann")
    memory.save("Ann likes green tea.", memory_id=saved.id, user_id="ann")
    hands.move(9.9)
    assert contents(memory) == ["Ann likes green tea."]
    hands.move(0.2)
    assert contents(memory) == []
    assert memory.recall("tea", user_id="ann") == []
    assert memory.forgotten(user_id="ann") == []
    told = ["Ann likes tea.", "Ann likes green tea."]
    assert [v.content for v in memory.history(saved.id)] == told
    assert memory.sweep() == 1
    assert memory.sweep() == 0
    assert [v.content for v in memory.history(saved.id)] == [*told, ""]
    last = memory.changes(memory_id=saved.id)[-1]
    assert (last.cause, last.kind, last.previous) == ("ttl", "delete", "Ann likes green tea.")
    assert memory.recall("tea", user_id="ann") == []
    past = memory.recall("tea", user_id="ann", as_of=memory.history(saved.id)[1].at)
    assert [m.content for m in past] == ["Ann likes green tea."]
    assert memory.recall("tea", user_id="ann", as_of=datetime.now(UTC)) == []


def test_an_expired_memory_can_be_brought_back(memory: MemSkillMemory, hands: Hands) -> None:
    saved = memory.save("Ann likes tea.", user_id="ann")
    hands.move(11)
    memory.sweep()
    memory.undo(memory.changes(memory_id=saved.id)[-1].id)
    assert contents(memory) == ["Ann likes tea."]
    hands.move(11)
    assert contents(memory) == []


def test_a_recall_refreshes_and_a_listing_does_not(memory: MemSkillMemory, hands: Hands) -> None:
    memory.save("Ann likes tea.", user_id="ann")
    memory.save("Ann has a red bike.", user_id="ann")
    hands.move(6)
    assert [m.content for m in memory.recall("tea", user_id="ann", k=1)] == ["Ann likes tea."]
    assert len(contents(memory)) == 2
    memory.check_memories()
    hands.move(6)
    assert contents(memory) == ["Ann likes tea."]


def test_reading_for_an_export_does_not_refresh(
    memory: MemSkillMemory, hands: Hands, tmp_path: Path
) -> None:
    memory.save("Ann likes tea.", user_id="ann")
    hands.move(6)
    assert memory.export(tmp_path / "m").num_memories == 1
    hands.move(6)
    assert memory.export(tmp_path / "m").num_memories == 0


def test_refreshing_can_be_turned_off(
    make_memory: Make, make_store: Callable[..., ChromaStore], hands: Hands
) -> None:
    memory = make_memory(store=make_store(refresh_on_read=False))
    memory.save("Ann likes tea.", user_id="ann")
    hands.move(6)
    assert len(memory.recall("tea", user_id="ann")) == 1
    assert len(asyncio.run(memory.arecall("tea", user_id="ann"))) == 1
    hands.move(6)
    assert contents(memory) == []


def test_tombstones_and_queued_spans_live_for_ever(memory: MemSkillMemory, hands: Hands) -> None:
    saved = memory.save("Ann likes tea.", user_id="ann")
    memory.forget(saved.id)
    memory.model.failures = 3  # type: ignore[attr-defined]
    memory.remember("remember Ann sings", user_id="ann")
    memory.feedback("e", 1.0)
    hands.move(1000)
    assert [m.id for m in memory.forgotten(user_id="ann")] == [saved.id]
    assert len(memory.failed()) == 1
    assert len(memory.recorded_feedback()) == 1


def test_loaded_and_undone_memories_expire_too(
    memory: MemSkillMemory, make_memory: Make, hands: Hands, tmp_path: Path
) -> None:
    other = make_memory(store=InMemoryStore())
    other.save("Ann likes tea.", user_id="ann")
    other.export(tmp_path / "m")
    report = memory.load(tmp_path / "m")
    hands.move(11)
    assert contents(memory) == []
    memory.sweep()
    [conflict] = memory.load(tmp_path / "m").conflicts
    assert conflict.reason == "it has expired here"
    assert memory.load(tmp_path / "m", on_conflict="replace").num_replaced == 1
    assert report.num_added == 1


def test_the_doctor_finds_what_was_swept_by_others(memory: MemSkillMemory, hands: Hands) -> None:
    saved = memory.save("Ann likes tea.", user_id="ann")
    hands.move(11)
    store = memory.store
    assert isinstance(store, ChromaStore)
    assert [f.kind for f in memory.check_memories().findings] == ["expired", "expired"]
    store.sweep_ttl()
    check = memory.check_memories()
    [finding] = check.findings
    assert (finding.kind, finding.memory_ids, finding.is_problem) == ("expired", (saved.id,), False)
    memory.repair_memories(check)
    assert memory.check_memories().findings == ()
    assert memory.changes(memory_id=saved.id)[-1].cause == "ttl"


async def test_the_async_sweep(memory: MemSkillMemory, hands: Hands) -> None:
    await memory.asave("Ann likes tea.", user_id="ann")
    hands.move(11)
    assert await memory.asweep() == 1


def test_a_store_without_times_to_live(make_memory: Make) -> None:
    memory = make_memory(store=InMemoryStore())
    memory.save("Ann likes tea.", user_id="ann")
    assert memory.sweep() == 0


def sweepers() -> set[threading.Thread]:
    return {t for t in threading.enumerate() if t.name == "memskill-ttl-sweeper" and t.is_alive()}


def settings(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "memory.json").read_text(encoding="utf-8"))
    return found


def test_a_folder_keeps_its_lifetimes(tmp_path: Path, model: Any, encoder: Any) -> None:
    ttl: TTLConfig = {"default_ttl": 60, "refresh_on_read": False}
    folder, before = tmp_path / "m", sweepers()
    with MemSkillMemory.open(folder, model, encoder=encoder, ttl=ttl) as memory:
        assert len(sweepers() - before) == 1
        assert memory.store.ttl_config is not None
        assert memory.store.ttl_config["default_ttl"] == 60
    assert sweepers() - before == set()
    assert (settings(folder)["ttl_minutes"], settings(folder)["refreshes_on_recall"]) == (60, False)
    with MemSkillMemory.open(folder, model, encoder=encoder) as memory:
        assert memory.store.ttl_config is not None
        assert memory.store.ttl_config["refresh_on_read"] is False
        memory.save("Ann likes tea.", user_id="ann")
    with MemSkillMemory.open(folder, model, encoder=encoder, ttl={"default_ttl": None}) as memory:
        assert memory.store.ttl_config is None
        assert sweepers() - before == set()
        assert len(memory.memories(user_id="ann")) == 1


def test_a_sweeper_of_its_own_sweeps(tmp_path: Path, model: Any, encoder: Any) -> None:
    ttl: TTLConfig = {"default_ttl": 0.02, "sweep_interval_minutes": 0.001}
    with MemSkillMemory.open(tmp_path / "m", model, encoder=encoder, ttl=ttl) as memory:
        saved = memory.save("Ann likes tea.", user_id="ann")
        waiting = threading.Event()
        for _ in range(5000):
            if memory.changes(memory_id=saved.id)[-1].cause == "ttl":
                break
            waiting.wait(0.05)
        assert memory.changes(memory_id=saved.id)[-1].cause == "ttl"
        assert memory.memories(user_id="ann") == []


def test_without_a_folder(model: Any, encoder: Any) -> None:
    before = sweepers()
    with MemSkillMemory(model, encoder=encoder, ttl={"default_ttl": 60}) as memory:
        assert memory.store.ttl_config == {"default_ttl": 60}
        assert len(sweepers() - before) == 1
    assert sweepers() - before == set()


@pytest.mark.parametrize("minutes", [0, -1, "soon", True])
def test_unusable_times(tmp_path: Path, model: Any, encoder: Any, minutes: Any) -> None:
    with pytest.raises(ConfigError, match="default_ttl"):
        MemSkillMemory.open(tmp_path / "m", model, encoder=encoder, ttl={"default_ttl": minutes})
    assert not (tmp_path / "m").exists()
    with MemSkillMemory.open(tmp_path / "m", model, encoder=encoder) as memory:
        assert memory.store.ttl_config is None


def test_a_store_brings_its_own(model: Any, encoder: Any) -> None:
    with pytest.raises(ConfigError, match="give it to the store instead"):
        MemSkillMemory(model, store=InMemoryStore(), encoder=encoder, ttl={"default_ttl": 1})
