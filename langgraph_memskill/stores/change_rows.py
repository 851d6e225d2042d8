"""Changes as rows of the log's table, and the table itself.

Every text is JSON in ASCII: so lone surrogates and NULs, which SQLite's text cannot hold, survive.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from langgraph_memskill.records import Change, ChangeKind, Memory
from langgraph_memskill.state import Document, dump, load

COLUMNS = (
    *("id", "memory_id", "namespace", "version", "kind", "cause"),
    *("before_text", "before_rest", "after_text", "after_rest"),
    *("skills", "model", "span_id", "thread_id", "run_id", "at", "undoes", "purged_at"),
)
TEXT_COLUMNS = ("before_text", "before_rest", "after_text", "after_rest")
"""What a purge blanks."""

_FIXED = tuple(name for name in COLUMNS if name not in (*TEXT_COLUMNS, "purged_at"))
_SAME_FIXED = " AND ".join(f"OLD.{name} IS NEW.{name}" for name in ("seq", *_FIXED))
_SAME_TEXTS = " AND ".join(f"OLD.{name} IS NEW.{name}" for name in (*TEXT_COLUMNS, "purged_at"))
_BLANK_TEXTS = " AND ".join(f"NEW.{name} IS NULL" for name in TEXT_COLUMNS)

NAMESPACE_INDEX = "CREATE INDEX changes_namespace ON changes (namespace, seq);"
"""Since format 2: what is new in one namespace is found without reading the others."""

SCHEMA = f"""
CREATE TABLE changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    state TEXT NOT NULL CHECK (state IN ('pending', 'settled')),
    id TEXT NOT NULL,
    memory_id TEXT NOT NULL,
    namespace TEXT NOT NULL,
    version INTEGER NOT NULL CHECK (version >= 1),
    kind TEXT NOT NULL,
    cause TEXT NOT NULL,
    before_text TEXT,
    before_rest TEXT,
    after_text TEXT,
    after_rest TEXT,
    skills TEXT NOT NULL,
    model TEXT,
    span_id TEXT,
    thread_id TEXT,
    run_id TEXT,
    at TEXT NOT NULL,
    undoes TEXT,
    purged_at TEXT,
    UNIQUE (namespace, memory_id, version),
    UNIQUE (namespace, memory_id, id)
);
CREATE INDEX changes_memory ON changes (memory_id);
CREATE INDEX changes_change ON changes (id);
CREATE INDEX changes_run ON changes (run_id) WHERE run_id IS NOT NULL;
{NAMESPACE_INDEX}
CREATE INDEX changes_pending ON changes (namespace) WHERE state = 'pending';
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TRIGGER changes_stay BEFORE DELETE ON changes WHEN OLD.state <> 'pending'
BEGIN SELECT RAISE(ABORT, 'the change log is append-only'); END;
CREATE TRIGGER changes_keep BEFORE UPDATE ON changes WHEN NOT (
    (OLD.state = 'pending' AND NEW.state = 'settled' AND {_SAME_FIXED} AND {_SAME_TEXTS})
    OR (OLD.state = 'settled' AND NEW.state = 'settled' AND NEW.purged_at IS NOT NULL
        AND {_SAME_FIXED} AND {_BLANK_TEXTS})
)
BEGIN SELECT RAISE(ABORT, 'the change log is append-only'); END;
"""
"""Append-only: only pending rows can be dropped, and rows change only to be settled or purged."""

INSERT = f"INSERT INTO changes (state, {', '.join(COLUMNS)}) VALUES (?{', ?' * len(COLUMNS)})"
SELECT = f"SELECT seq, {', '.join(COLUMNS)} FROM changes"

_NOT_IN_REST = ("id", "namespace", "content", "history", "score")


def bare(memory: Memory | None) -> Memory | None:
    """A memory as snapshots keep it: the history is in the log itself."""
    return memory and replace(memory, history=(), score=None)


def encode(value: object) -> str:
    """Write a text (or list of texts) so that SQLite can hold it."""
    return json.dumps(value, separators=(",", ":"))


def encode_namespace(namespace: tuple[str, ...]) -> str:
    """Write a namespace."""
    return encode(list(namespace))


def encode_time(time: datetime) -> str:
    """Write a time so that texts sort as times do."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")


def decode_time(text: str) -> datetime:
    """Read a time."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def row_of(change: Change, state: str) -> tuple[object, ...]:
    """The values of a new row."""
    return (
        state,
        encode(change.id),
        encode(change.memory_id),
        encode_namespace(change.namespace),
        change.version,
        change.kind.value,
        encode(change.cause),
        *_snapshot(change.before),
        *_snapshot(change.after),
        encode(list(change.skills)),
        _optional(change.model),
        _optional(change.span_id),
        _optional(change.thread_id),
        _optional(change.run_id),
        encode_time(change.at),
        _optional(change.undoes),
        None if change.purged_at is None else encode_time(change.purged_at),
    )


def change_of(row: Mapping[str, Any]) -> Change:
    """Read a row."""
    memory_id, namespace = json.loads(row["memory_id"]), tuple(json.loads(row["namespace"]))
    return Change(
        seq=row["seq"],
        id=json.loads(row["id"]),
        memory_id=memory_id,
        namespace=namespace,
        version=row["version"],
        kind=ChangeKind(row["kind"]),
        cause=json.loads(row["cause"]),
        before=_memory(row["before_text"], row["before_rest"], memory_id, namespace),
        after=_memory(row["after_text"], row["after_rest"], memory_id, namespace),
        skills=tuple(json.loads(row["skills"])),
        model=_decoded(row["model"]),
        span_id=_decoded(row["span_id"]),
        thread_id=_decoded(row["thread_id"]),
        run_id=_decoded(row["run_id"]),
        at=decode_time(row["at"]),
        undoes=_decoded(row["undoes"]),
        purged_at=None if row["purged_at"] is None else decode_time(row["purged_at"]),
    )


def _snapshot(memory: Memory | None) -> tuple[str | None, str | None]:
    if memory is None:
        return None, None
    rest = {name: value for name, value in dump(bare(memory)).items() if name not in _NOT_IN_REST}
    return encode(memory.content), encode(rest)


def _memory(
    text: str | None, rest: str | None, memory_id: str, namespace: tuple[str, ...]
) -> Memory | None:
    if text is None or rest is None:
        return None
    fields: Document = json.loads(rest)
    fields |= {"id": memory_id, "namespace": namespace, "content": json.loads(text)}
    return load(Memory, fields)


def _optional(value: str | None) -> str | None:
    return None if value is None else encode(value)


def _decoded(text: str | None) -> str | None:
    value: str | None = None if text is None else json.loads(text)
    return value
