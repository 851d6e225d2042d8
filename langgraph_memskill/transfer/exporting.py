"""Reads the memories of a store for a file, some at a time."""

from collections.abc import Iterator, Mapping, Sequence

from langgraph.store.base import BaseStore

from langgraph_memskill.namespaces import Namespace, NamespaceTemplate
from langgraph_memskill.stores.applying import MemoryWriter
from langgraph_memskill.stores.change_plans import reads, state_of
from langgraph_memskill.stores.tombstones import TOMBSTONES, deleted_memory
from langgraph_memskill.transfer.memory_file import FileEntry

_ALL_NAMESPACES = 1_000_000
_KEYS_AT_ONCE = 5000
_MEMORIES_AT_ONCE = 500

MemoryIds = Mapping[Namespace, Sequence[str]]
"""The ids of memories, by namespace."""


def memory_namespaces(store: BaseStore, template: NamespaceTemplate) -> list[Namespace]:
    """The namespaces of a store that hold memories of this template."""
    found = store.list_namespaces(prefix=template.literal_prefix or None, limit=_ALL_NAMESPACES)
    return [namespace for namespace in map(tuple, found) if template.matches(namespace)]


def deleted_ids(store: BaseStore) -> dict[Namespace, list[str]]:
    """The ids of all deleted memories, by namespace."""
    found: dict[Namespace, list[str]] = {}
    offset = 0
    while page := store.search(TOMBSTONES, limit=_KEYS_AT_ONCE, offset=offset):
        for memory in map(deleted_memory, page):
            found.setdefault(memory.namespace, []).append(memory.id)
        offset += len(page)
    return found


def live_ids(writer: MemoryWriter, namespace: Namespace) -> list[str]:
    """The ids of the memories of exactly this namespace, in the store's order.

    Writers are kept out meanwhile: pages of a list that changes would miss some.
    """
    ids: list[str] = []
    with writer.hold(namespace):
        offset = 0
        while page := writer.store.search(
            namespace, limit=_KEYS_AT_ONCE, offset=offset, refresh_ttl=False
        ):
            ids += [item.key for item in page if tuple(item.namespace) == namespace]
            offset += len(page)
    return ids


def read_entries(store: BaseStore, ids: MemoryIds, *, deleted: bool) -> Iterator[FileEntry]:
    """Read memories, as they are when their turn comes: live, deleted, or gone.

    Args:
        store: Where from.
        ids: Which.
        deleted: Whether to read deleted ones, too.
    """
    for namespace, memory_ids in ids.items():
        for start in range(0, len(memory_ids), _MEMORIES_AT_ONCE):
            some = memory_ids[start : start + _MEMORIES_AT_ONCE]
            state = state_of(some, store.batch(reads(namespace, some)))
            for memory_id in some:
                if memory := state.live.get(memory_id):
                    yield FileEntry(memory=memory)
                elif deleted and (memory := state.deleted.get(memory_id)):
                    yield FileEntry(memory=memory, is_deleted=True)
