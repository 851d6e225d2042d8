"""Memories of several processes on one Chroma server, each with a change log of its own."""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from langgraph_memskill import ChromaStore, MemSkillMemory
from langgraph_memskill.memory_folder import store_index
from langgraph_memskill.skills.bank import SkillBank

EACH = 4
Open = Callable[[], MemSkillMemory]


@pytest.fixture
def open_memory(server_url: str, model: Any, encoder: Any) -> Iterator[Open]:
    """Opens a memory on the same place of a server, with a store object of its own."""
    prefix = f"t{uuid.uuid4().hex[:12]}"
    opened: list[tuple[MemSkillMemory, ChromaStore]] = []

    def open_() -> MemSkillMemory:
        store = ChromaStore(server_url, prefix=prefix, index=store_index(encoder))
        memory = MemSkillMemory(model, store=store, encoder=encoder, skills=SkillBank.seed())
        opened.append((memory, store))
        return memory

    yield open_
    for memory, store in opened:
        memory.close()
        store.close()


def test_nothing_is_lost_and_nothing_is_there_twice(open_memory: Open) -> None:
    memories = [open_memory() for _ in range(3)]
    shared = memories[0].save("shared begins", user_id="ann").id

    def work(number: int) -> None:
        memory = memories[number]
        for n in range(EACH):
            assert not memory.remember(f"remember {number} saw {n}", user_id="ann").failed
            memory.save(f"shared {number} {n}", memory_id=shared, user_id="ann")

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, range(3)))
    found = {m.id: m for m in open_memory().memories(user_id="ann")}
    versions = sorted(version.content for version in found.pop(shared).history)
    assert versions == sorted(
        ["shared begins", *(f"shared {number} {n}" for number in range(3) for n in range(EACH))]
    )
    assert sorted(m.content for m in found.values()) == sorted(
        f"{number} saw {n}" for number in range(3) for n in range(EACH)
    )
