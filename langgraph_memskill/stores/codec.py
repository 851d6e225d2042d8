"""How items, keys and namespaces are written into Chroma records.

An item is one *primary* record, whose id is the key as JSON and whose metadata hold the value, and
one *vector* record for each further indexed text, whose id adds the revision that it belongs to. A
vector record counts only while the primary record has the same revision: so an item changes at the
one moment when its primary record is written, however many records it has.

Format 1: "CREATED REVISION NUM_VECTORS OWNS_VECTOR VALUE" in the field "item" of a primary record.
Format 2: an item with a time to live has the fields "ttl" and "expires", too, so that a read moves
only the latter; one that was put with field paths of its own has them before the value. Items of
format 1 are items of format 2, so nothing is rewritten.
"""

import hashlib
import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any, NamedTuple

from langgraph_memskill.errors import StoreError

Metadata = dict[str, str | int | None]
"""None takes a field away."""

MAX_DEPTH = 200
"""Levels of nesting in a value; far below Python's recursion limit, so that it can be read."""

EXPIRES = "expires"
"""Field of the time at which an item ends, in ns since 1970."""

_FIELD = "item"
_TTL = "ttl"
_STEP = 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DECODER = json.JSONDecoder()


class RecordId(NamedTuple):
    """A record's id, taken apart."""

    key: str
    revision: int | None
    """The item revision that a vector record belongs to; None for a primary record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredItem:
    """A primary record, its value still encoded."""

    key: str
    value_json: str
    created: int
    """When the key was first put, in ns since 1970; orders the items of a namespace."""
    revision: int
    """When this value was put, in ns since 1970; unique among the item's values."""
    num_vectors: int
    """Vectors that belong to this revision; 0 for an item that is not indexed."""
    owns_vector: bool
    """Whether the first of them is in the primary record itself."""
    ttl: int = 0
    """Time to live after a put or a refreshing read, in ns; 0 for ever."""
    expires: int = 0
    """When it ends, in ns since 1970; means nothing without `ttl`."""
    paths: tuple[str, ...] | None = None
    """The fields whose texts are indexed; None for those of the store."""

    def is_expired(self, now: int) -> bool:
        """Tell whether it has ended at a time in ns since 1970."""
        return bool(self.ttl) and self.expires <= now

    def value(self) -> dict[str, Any]:
        """Decode the value into a fresh dict."""
        decoded: dict[str, Any] = json.loads(self.value_json)
        return decoded

    def vector_ids(self) -> list[str]:
        """Ids of the vector records beside the primary record."""
        first = 1 if self.owns_vector else 0
        return [vector_id(self.key, self.revision, i) for i in range(first, self.num_vectors)]

    def metadata(self) -> Metadata:
        """Metadata of the primary record: one field, for each costs Chroma a database row."""
        head = f"{self.created} {self.revision} {self.num_vectors} {int(self.owns_vector)}"
        paths = "" if self.paths is None else json.dumps(self.paths, separators=(",", ":")) + " "
        record: Metadata = {_FIELD: f"{head} {paths}{self.value_json}"}
        return record | {_TTL: self.ttl, EXPIRES: self.expires} if self.ttl else record

    def successor_metadata(self, former: "StoredItem | None") -> Metadata:
        """Metadata that turn the primary record of a former revision into this one's."""
        had_end = former is not None and former.ttl and not self.ttl
        return self.metadata() | ({_TTL: None, EXPIRES: None} if had_end else {})


class Clock:
    """Stamps: nanoseconds since 1970 that never go back, each in a microsecond of its own."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = Lock()
        # Two processes that write in one microsecond should still write two revisions.
        self._offset = random.randrange(_STEP)

    def stamp(self, now: int | None = None, *, above: int = 0) -> int:
        """Return the next stamp.

        Args:
            now: The time, in ns since 1970; None asks the system.
            above: A stamp that must lie in an earlier microsecond.
        """
        with self._lock:
            present = time.time_ns() if now is None else now
            start = max(present, self._last + _STEP)
            self._last = start // _STEP * _STEP + self._offset
            return max(self._last, (above // _STEP + 1) * _STEP + self._offset)


def stamp_time(stamp: int) -> datetime:
    """Turn a stamp into an aware UTC time, to the microsecond."""
    return _EPOCH + timedelta(microseconds=stamp // 1000)


def primary_id(key: str) -> str:
    """Id of a key's primary record: JSON keeps empty keys, NULs and lone surrogates storable."""
    return json.dumps(key)


def vector_id(key: str, revision: int, index: int) -> str:
    """Id of one vector record."""
    return f"{json.dumps(key)}#{revision}.{index}"


def split_id(record_id: str) -> RecordId:
    """Take an id apart; the inverse of `primary_id` and `vector_id`."""
    end = record_id.rindex('"') + 1
    suffix = record_id[end:]
    revision = int(suffix[1 : suffix.index(".")]) if suffix else None
    # Most keys need no escapes, and this runs for every record that a search finds.
    key = json.loads(record_id[:end]) if "\\" in record_id else record_id[1 : end - 1]
    return RecordId(key, revision)


def item_of(record_id: RecordId, metadata: Mapping[str, Any] | None) -> StoredItem | None:
    """Read a primary record; None for a vector record."""
    key, revision = record_id
    if revision is not None or metadata is None:
        return None
    created, stamp, num_vectors, owns_vector, value_json = metadata[_FIELD].split(" ", 4)
    paths = None
    if value_json.startswith("["):
        found, end = _DECODER.raw_decode(value_json)
        paths, value_json = tuple(found), value_json[end + 1 :]
    return StoredItem(
        key=key,
        value_json=value_json,
        created=int(created),
        revision=int(stamp),
        num_vectors=int(num_vectors),
        owns_vector=owns_vector == "1",
        ttl=metadata.get(_TTL) or 0,
        expires=metadata.get(EXPIRES) or 0,
        paths=paths,
    )


def encode_namespace(namespace: tuple[str, ...]) -> str:
    """Write a namespace as ASCII JSON."""
    return json.dumps(list(namespace), separators=(",", ":"))


def decode_namespace(text: str) -> tuple[str, ...]:
    """Read what `encode_namespace` wrote."""
    return tuple(json.loads(text))


def namespace_digest(namespace: tuple[str, ...]) -> str:
    """Name a namespace in 32 characters that Chroma allows in collection names."""
    return hashlib.sha256(encode_namespace(namespace).encode("ascii")).hexdigest()[:32]


def encode_value(value: object, namespace: tuple[str, ...], key: str) -> str:
    """Write a value as JSON.

    Args:
        value: A mapping with text keys, of dicts, lists, tuples (which come back as lists), texts,
            numbers (NaN and the infinities included), booleans and None.
        namespace: Where it is to be put, for the message.
        key: Under which key, for the message.

    Raises:
        StoreError: If something in it cannot be written, naming the path to it.
    """
    if not isinstance(value, Mapping):
        raise StoreError(
            f"the value for key {key!r} in {namespace!r} is a {type(value).__name__}, not a dict: "
            'wrap it, as in {"value": ...}'
        )
    plain = dict(value)
    if (problem := _problem(plain, "$", 0)) is not None:
        raise StoreError(
            f"the value for key {key!r} in {namespace!r} cannot be stored as JSON: {problem}; "
            "nothing of this batch was written"
        )
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        # Lone surrogates have no UTF-8 form but survive as \uXXXX.
        return json.dumps(plain, separators=(",", ":"))
    return text


def _problem(value: object, path: str, depth: int) -> str | None:
    if depth > MAX_DEPTH:
        return f"it is nested more than {MAX_DEPTH} levels deep (or contains itself)"
    if value is None or isinstance(value, str | int | float):
        return None
    if isinstance(value, dict):
        for name, inner in value.items():
            if not isinstance(name, str):
                return f"{path} has the key {name!r}, which is no text: use {str(name)!r}"
            if (problem := _problem(inner, f"{path}.{name}", depth + 1)) is not None:
                return problem
        return None
    if isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            if (problem := _problem(inner, f"{path}[{index}]", depth + 1)) is not None:
                return problem
        return None
    return f"{path} is a {type(value).__name__}: turn it into texts, numbers, lists or dicts"
