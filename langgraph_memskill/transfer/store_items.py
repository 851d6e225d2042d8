"""Memories from the items of any LangGraph store, LangMem's layout first of all.

LangMem keeps `{"kind": "Memory", "content": {"content": "..."}}`, or another schema's fields in the
place of the inner content; its tools keep `{"content": "..."}`. Other items give their text field,
or all their fields in words. The whole value is kept with the memory's source.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from langgraph.store.base import BaseStore, SearchItem

from langgraph_memskill.namespaces import Namespace
from langgraph_memskill.stores.items import TEXT_FIELD, memory_of
from langgraph_memskill.transfer.foreign import Found, imported_memory, text_of
from langgraph_memskill.transfer.memory_file import FileEntry
from langgraph_memskill.transfer.reports import SkippedRecord

_PAGE = 1000
_ORIGIN = "store"


def read_store(store: BaseStore, source: Namespace, target: Namespace) -> Found:
    """Read every item of exactly one namespace.

    Args:
        store: Where from; its items' times to live are not refreshed.
        source: Their namespace there.
        target: Whose memories they become.

    Returns:
        The memories, and the items that cannot be used: without any text, or in a deeper namespace.
    """
    found = Found([], [])
    offset = 0
    while page := store.search(source, limit=_PAGE, offset=offset, refresh_ttl=False):
        for item in page:
            _take(found, item, source, target)
        offset += len(page)
    return found


def _take(found: Found, item: SearchItem, source: Namespace, target: Namespace) -> None:
    record = f"key {item.key!r}"
    if tuple(item.namespace) != source:
        deeper = f"it is in the namespace {tuple(item.namespace)!r}: import that by itself"
        found.skipped.append(SkippedRecord(record=record, reason=deeper))
    elif is_our_own(item.value):
        memory = replace(memory_of(item), namespace=target, score=None)
        found.entries.append(FileEntry(memory=memory))
    elif text := _text(item.value):
        entry = imported_memory(
            memory_id=item.key,
            namespace=target,
            content=text,
            created_at=item.created_at,
            updated_at=item.updated_at,
            origin=f"{_ORIGIN}/{'/'.join(source)}",
            details=item.value,
        )
        found.entries.append(entry)
    else:
        found.skipped.append(SkippedRecord(record=record, reason="there is no text in its value"))


def is_our_own(value: Mapping[str, Any]) -> bool:
    """Whether a value is a memory that this package wrote."""
    return isinstance(value.get(TEXT_FIELD), str) and "history" in value and "sources" in value


def _text(value: Mapping[str, Any]) -> str:
    inner = value.get("content")
    if isinstance(inner, Mapping) and set(value) <= {"kind", "content"}:
        text = text_of(inner)
        is_plain = isinstance(inner.get("content"), str)
        kind = value.get("kind")
        return f"{kind}: {text}" if text and not is_plain and isinstance(kind, str) else text
    return text_of(value)
