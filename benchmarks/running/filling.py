"""Putting memories that are there already into a fresh store."""

from collections.abc import Iterable

from langgraph.store.memory import InMemoryStore

from langgraph_memskill.records import Memory
from langgraph_memskill.stores.items import put_memory


async def fill(store: InMemoryStore, memories: Iterable[Memory]) -> None:
    """Put memories into a store, each with the id that it has.

    `InMemoryStore` refuses a batch in which two items have the same text, and without
    the merging of duplicates two memories may well say the same: such ones go into batches of their
    own.

    Args:
        store: With an embedding index.
        memories: In any order.
    """
    batches: list[list[Memory]] = []
    seen: dict[str, int] = {}
    for memory in memories:
        number = seen.get(memory.content, 0)
        seen[memory.content] = number + 1
        if number == len(batches):
            batches.append([])
        batches[number].append(memory)
    for batch in batches:
        await store.abatch([put_memory(memory) for memory in batch])
