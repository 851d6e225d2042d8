"""Memories from mem0: what its `get_all` gives, saved as JSON, with its history where there is one.

Understood are a list of records; an object with "results" or "memories"; each record with "id",
"memory" (or "text", "data"), "user_id", "agent_id", "run_id", "metadata", "created_at",
"updated_at". Rows of mem0's `history` may stand in a record under "history", or beside the results
under "history": a list of rows with "memory_id", or an object from memory id to rows.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from langgraph_memskill.errors import DataError, NamespaceError
from langgraph_memskill.namespaces import Namespace
from langgraph_memskill.records import MemoryVersion
from langgraph_memskill.transfer.foreign import TEXT_NAMES, Found, imported_memory, time_of
from langgraph_memskill.transfer.memory_file import FileEntry
from langgraph_memskill.transfer.reports import SkippedRecord

Record = Mapping[str, Any]
Place = Callable[[Record], Namespace]
"""Gives the namespace of a record's memory; a NamespaceError says why there is none."""

_LISTS = ("results", "memories", "data")
_TICK = timedelta(microseconds=1)


def read_mem0(path: Path, place: Place) -> Found:
    """Read a file.

    Args:
        path: The JSON file.
        place: Says whose memory a record becomes.

    Returns:
        The memories, and the records that cannot be used.

    Raises:
        DataError: If the file cannot be read or holds no records of mem0's.
    """
    document = _document(path)
    records = _records(path, document)
    history = _history(document)
    found = Found([], [])
    seen: set[tuple[Namespace, str]] = set()
    for number, record in enumerate(records, 1):
        name = f"record {number}"
        try:
            entry = _entry(record, place, history)
        except (NamespaceError, _UnusableError) as error:
            found.skipped.append(SkippedRecord(record=name, reason=str(error)))
            continue
        key = (entry.memory.namespace, entry.memory.id)
        if key in seen:
            reason = f"the id {entry.memory.id!r} is there twice"
            found.skipped.append(SkippedRecord(record=name, reason=reason))
            continue
        seen.add(key)
        found.entries.append(entry)
    found.skipped.extend(_relations(document))
    return found


class _UnusableError(Exception):
    """A record cannot become a memory."""


def _entry(record: Any, place: Place, history: Mapping[str, Sequence[Record]]) -> FileEntry:
    if not isinstance(record, Mapping):
        raise _UnusableError(f"it is no object but {type(record).__name__}")
    text = next((record[n] for n in ("memory", *TEXT_NAMES) if isinstance(record.get(n), str)), "")
    if not text.strip():
        raise _UnusableError("there is no text in 'memory'")
    metadata = record.get("metadata")
    ends = record.get("expiration_date") or (
        metadata.get("expiration_date") if isinstance(metadata, Mapping) else None
    )
    if (end := time_of(ends)) is not None and end <= datetime.now(UTC):
        raise _UnusableError(f"it expired on {ends}")
    namespace = place(record)
    memory_id = str(record.get("id") or _made_id(record, text))
    updated = time_of(record.get("updated_at"))
    created = time_of(record.get("created_at")) or updated or datetime.now(UTC)
    rows = record.get("history")
    if not isinstance(rows, list):
        rows = list(history.get(memory_id, ()))
    return imported_memory(
        memory_id=memory_id,
        namespace=namespace,
        content=text.strip(),
        created_at=created,
        updated_at=updated or created,
        origin="mem0",
        details=record,
        history=_versions(rows, text.strip(), updated or created),
    )


def _versions(rows: Sequence[Any], content: str, updated: datetime) -> list[MemoryVersion]:
    """The texts that mem0's history tells, oldest first, ending with the present one."""
    told = [row for row in rows if isinstance(row, Mapping) and isinstance(row.get("event"), str)]
    told.sort(key=lambda row: _row_time(row) or updated)
    versions: list[MemoryVersion] = []
    for row in told:
        text = "" if row["event"].upper() == "DELETE" else row.get("new_memory")
        if not isinstance(text, str) or (not text and not versions):
            continue
        at = _row_time(row) or updated
        if versions:
            at = max(at, versions[-1].at + _TICK)
        versions.append(_version(text.strip(), str(row.get("id") or ""), at))
    if versions and versions[-1].content != content:
        at = max(updated, versions[-1].at + _TICK)
        versions.append(_version(content, "", at))
    return versions


def _version(content: str, change_id: str, at: datetime) -> MemoryVersion:
    return MemoryVersion(
        content=content,
        change_id=change_id,
        cause="import",
        skills=(),
        model=None,
        span_id=None,
        at=at,
    )


def _row_time(row: Record) -> datetime | None:
    # mem0 repeats the memory's creation in every row; the change's own time is the second one.
    return time_of(row.get("updated_at")) or time_of(row.get("created_at"))


def _made_id(record: Record, text: str) -> str:
    """An id for a record without one: the same every time it is read."""
    owner = [str(record.get(name)) for name in ("user_id", "agent_id", "run_id")]
    return hashlib.sha256(json.dumps([*owner, text.strip()]).encode("ascii")).hexdigest()[:32]


def _document(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(
            f"the file {str(path)!r} cannot be read: {error.strerror or error}. Name an existing "
            "file"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON file: {error}. Save what get_all() returns") from error


def _records(path: Path, document: Any) -> list[Any]:
    if isinstance(document, Mapping):
        found = next((document[name] for name in _LISTS if name in document), None)
    else:
        found = document
    if not isinstance(found, list):
        raise DataError(
            f"{path} holds no export of mem0: expected a list of records, or an object with a list "
            "under 'results'. Nothing was imported"
        )
    return found


def _history(document: Any) -> dict[str, list[Record]]:
    told = document.get("history") if isinstance(document, Mapping) else None
    if isinstance(told, Mapping):
        return {str(key): rows for key, rows in told.items() if isinstance(rows, list)}
    by_memory: dict[str, list[Record]] = {}
    for row in told if isinstance(told, list) else ():
        if isinstance(row, Mapping) and row.get("memory_id"):
            by_memory.setdefault(str(row["memory_id"]), []).append(row)
    return by_memory


def _relations(document: Any) -> Iterator[SkippedRecord]:
    edges = document.get("relations") if isinstance(document, Mapping) else None
    if isinstance(edges, list) and edges:
        reason = f"{len(edges)} edges of the graph are no memories"
        yield SkippedRecord(record="relations", reason=reason)
