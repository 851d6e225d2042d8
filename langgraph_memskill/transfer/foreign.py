"""What other programs' records become: memories without a history, their origin as provenance."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from langgraph_memskill.namespaces import Namespace
from langgraph_memskill.records import Memory, MemoryVersion, Source
from langgraph_memskill.transfer.memory_file import FileEntry
from langgraph_memskill.transfer.reports import SkippedRecord

TEXT_NAMES = ("text", "content", "memory", "data", "fact", "summary")
"""Under which names programs keep the text of a memory, the likeliest first."""


class Found(NamedTuple):
    """What a file or a store of another program holds."""

    entries: list[FileEntry]
    skipped: list[SkippedRecord]


def imported_memory(
    *,
    memory_id: str,
    namespace: Namespace,
    content: str,
    created_at: datetime,
    updated_at: datetime,
    origin: str,
    details: Mapping[str, Any],
    history: Sequence[MemoryVersion] = (),
) -> FileEntry:
    """Make a memory of a record.

    Args:
        memory_id: The record's own id.
        namespace: Whose memory.
        content: Its text, not blank.
        created_at: When the record was made.
        updated_at: When it was last changed.
        origin: The program; part of the source.
        details: Everything that the record holds, as JSON data; kept with the source.
        history: Its former versions and the present one, where the record tells them.
    """
    source = Source(
        span_id=f"{origin}/{memory_id}",
        time=created_at.isoformat(),
        details=_as_json(details),
    )
    return FileEntry(
        memory=Memory(
            id=memory_id,
            content=content,
            namespace=namespace,
            created_at=created_at,
            updated_at=max(created_at, updated_at),
            sources=(source,),
            history=tuple(history),
        )
    )


def _as_json(details: Any) -> str:
    try:
        return json.dumps(details, ensure_ascii=False, default=str)
    except (TypeError, ValueError):  # keys that are no texts, or a value that holds itself
        return json.dumps(repr(details), ensure_ascii=False)


def text_of(value: Mapping[str, Any]) -> str:
    """The text of a value of unknown form: its text field, or all its fields in words.

    Returns:
        "" if it says nothing.
    """
    for name in TEXT_NAMES:
        inner = value.get(name)
        if isinstance(inner, str):
            return inner.strip()
    return "; ".join(
        f"{name}: {_in_words(inner)}" for name, inner in value.items() if _in_words(inner)
    )


def _in_words(value: Any) -> str:
    if value is None or value == "" or value == [] or value == {}:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list) and all(isinstance(one, str | int | float) for one in value):
        return ", ".join(map(str, value))
    return _as_json(value)


def time_of(value: Any) -> datetime | None:
    """A time as programs write it (ISO 8601, or seconds since 1970); without a zone it is UTC.

    Returns:
        None if it is none.
    """
    if isinstance(value, bool) or value is None:
        return None
    try:
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
        time = datetime.fromisoformat(str(value))
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
