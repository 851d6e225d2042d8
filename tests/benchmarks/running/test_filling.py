"""Memories that are put into a fresh store."""

from dataclasses import replace

from langgraph.store.memory import InMemoryStore

from langgraph_memskill.benchmarks.running.filling import fill
from langgraph_memskill.benchmarks.running.systems import NAMESPACE, raw_memory
from langgraph_memskill.memory_folder import store_index
from langgraph_memskill.records import Span
from langgraph_memskill.stores.items import memory_of
from tests.conftest import WordEncoder


async def test_memories_that_say_the_same_are_all_there_and_found() -> None:
    store = InMemoryStore(index=store_index(WordEncoder()))
    texts = ("a mug", "a plate", "a mug", "a mug")
    memories = [
        replace(raw_memory(Span(id=f"m{number}", index=number, text=text)), id=f"m{number}")
        for number, text in enumerate(texts)
    ]
    await fill(store, memories)
    found = await store.asearch(NAMESPACE, query="a mug", limit=3)
    assert sorted(memory_of(item).id for item in found) == ["m0", "m2", "m3"]
