"""Deleted memories, kept with their history and out of reach of recall.

All of them are in one namespace: a namespace in use costs memory, and these are hardly ever used.
"""

import json
from collections.abc import Iterable
from dataclasses import replace

from langgraph.store.base import GetOp, Item, PutOp, SearchOp

from langgraph_memskill.namespaces import Namespace, internal_namespace
from langgraph_memskill.records import Memory
from langgraph_memskill.stores.items import memory_of, put_memory

TOMBSTONES = internal_namespace("deleted")
"""Where they are."""
_ID_FIELD = "deleted_id"
_NAMESPACE_FIELD = "deleted_from"


def get_tombstone(namespace: Namespace, memory_id: str) -> GetOp:
    """The store operation that reads a deleted memory."""
    return GetOp(TOMBSTONES, _key(namespace, memory_id))


def find_tombstone(memory_id: str) -> SearchOp:
    """The store operation that looks for a deleted memory of whatever namespace."""
    return SearchOp(TOMBSTONES, filter={_ID_FIELD: memory_id}, limit=1)


def put_tombstone(memory: Memory) -> PutOp:
    """The store operation that keeps a memory that is about to be deleted."""
    own = {_ID_FIELD: memory.id, _NAMESPACE_FIELD: list(memory.namespace)}
    value = {**(put_memory(memory).value or {}), **own}
    return PutOp(TOMBSTONES, _key(memory.namespace, memory.id), value, index=False)


def remove_tombstone(namespace: Namespace, memory_id: str) -> PutOp:
    """The store operation that drops a deleted memory for good."""
    return PutOp(TOMBSTONES, _key(namespace, memory_id), None)


def deleted_memories(items: Iterable[Item], namespace: Namespace) -> list[Memory]:
    """Those of the deleted memories that were deleted from a namespace."""
    found = [deleted_memory(item) for item in items]
    return [memory for memory in found if memory.namespace == namespace]


def is_tombstone(item: Item) -> bool:
    """Whether an item is a deleted memory."""
    return tuple(item.namespace) == TOMBSTONES


def deleted_memory(item: Item) -> Memory:
    """Read a deleted memory back."""
    namespace = tuple(item.value[_NAMESPACE_FIELD])
    return replace(memory_of(item), id=item.value[_ID_FIELD], namespace=namespace, score=None)


def _key(namespace: Namespace, memory_id: str) -> str:
    return json.dumps([*namespace, memory_id])
