"""Tells a change log of the memories that a store had before it."""

from collections.abc import Iterator, Sequence

from langgraph.store.base import BaseStore

from langgraph_memskill.namespaces import INTERNAL_LABEL, Namespace
from langgraph_memskill.stores.applying import MemoryWriter
from langgraph_memskill.stores.changes import ChangeLog
from langgraph_memskill.stores.items import read_items
from langgraph_memskill.stores.tombstones import TOMBSTONES, deleted_memory

_NOTE = "adopted"
_ALL_NAMESPACES = 1_000_000
_AT_ONCE = 500


def adopt_everything(store: BaseStore, log: ChangeLog) -> None:
    """Enter all memories and tombstones of a store, once.

    Items that something else wrote are entered when they are first changed.
    """
    if log.note(_NOTE) is not None:
        return
    writer = MemoryWriter(store, log)
    for namespace, ids in _memories(store):
        for start in range(0, len(ids), _AT_ONCE):
            writer.reconcile(namespace, ids[start : start + _AT_ONCE])
    log.write_note(_NOTE, "all")


def _memories(store: BaseStore) -> Iterator[tuple[Namespace, Sequence[str]]]:
    for namespace in store.list_namespaces(limit=_ALL_NAMESPACES):
        if namespace[0] != INTERNAL_LABEL:
            items = read_items(store, namespace)
            own = [i for i in items if tuple(i.namespace) == namespace and "history" in i.value]
            yield namespace, [item.key for item in own]
    deleted: dict[Namespace, list[str]] = {}
    for item in read_items(store, TOMBSTONES):
        memory = deleted_memory(item)
        deleted.setdefault(memory.namespace, []).append(memory.id)
    yield from deleted.items()
