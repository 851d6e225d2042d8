"""Which namespaces a store has, and how its vectors were made.

The catalog is one collection to which records are only ever added: so its number of records tells
whether another process has added any, and its order is the order in which namespaces were made.
Its own metadata say how the vectors were made, unless a record says it of a later generation.
"""

from collections.abc import Iterable, Mapping
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from langgraph_memskill.errors import EmbeddingMismatchError, StoreError
from langgraph_memskill.stores.codec import (
    Metadata,
    decode_namespace,
    encode_namespace,
    namespace_digest,
)
from langgraph_memskill.stores.connection import Connection
from langgraph_memskill.stores.indexing import Indexer
from langgraph_memskill.stores.room import PLAIN_INDEX, Room, vectors_kind
from langgraph_memskill.stores.shelf import Row, Shelf

FORMAT_VERSION = 2
"""1: items without time to live. 2: see codec.py; records of the kinds "timed" and below."""

_DISTANCE = "cosine"
# Kinds of records: a namespace is made (and empty), has items, may have none.
_MADE = "made"
_FILLED = "filled"
_EMPTIED = "emptied"
# Items of a namespace may have a time to live.
_TIMED = "timed"
# A re-embedding into a generation was begun; was finished, and it is in use; was given up.
_BEGUN = "begun"
_SWITCHED = "switched"
_ABANDONED = "abandoned"
_ANY_VECTOR = np.zeros(1, np.float32)


class Fingerprint(NamedTuple):
    """How the vectors of a store were made."""

    dims: int | None
    """None if the store has never had an index."""
    embedding_name: str | None
    is_normalised: bool | None = None
    """Whether the model itself gives vectors of unit length; None if that was never measured."""
    generation: int = 0
    """How many times the store was embedded anew."""
    fields: str = ""
    """What was indexed, as JSON; only of a re-embedding."""

    def metadata(self) -> Metadata:
        """Write it as the catalog's own metadata, which cannot hold None."""
        return {
            "format_version": FORMAT_VERSION,
            "distance": _DISTANCE,
            "dims": self.dims or 0,
            "embedding_name": self.embedding_name or "",
            "normalised": _NORMALISED.index(self.is_normalised),
            "generation": self.generation,
        }

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> "Fingerprint":
        """Read what `metadata` wrote, in this or a former format."""
        return cls(
            metadata["dims"] or None,
            metadata["embedding_name"] or None,
            _NORMALISED[metadata.get("normalised", 0)],
            metadata.get("generation", 0),
            metadata.get("fields", ""),
        )


_NORMALISED = (None, False, True)
_OR_REEMBED = (
    "embed its items anew with the other one (memskill memories reembed), or use another place"
)
_VECTORS = vectors_kind(0)
_NEVER = 1 << 62
# How far ahead a sweep looks for the next item that expires, in ns.
_FORESIGHT = 600 * 10**9


class Catalog:
    """The namespaces of one store."""

    def __init__(self, connection: Connection, prefix: str) -> None:
        self._connection = connection
        self._prefix = prefix
        self._name = f"{prefix}.catalog"
        self._epoch = -1
        self._num_records = 0
        self._rooms: dict[tuple[str, ...], Room] = {}
        self._maybe_empty: set[tuple[str, ...]] = set()
        self._agreed = Fingerprint(None, None)
        self._begun: Fingerprint | None = None
        self._last_generation = 0
        self._first_ends: dict[tuple[str, ...], int] = {}
        self._lock = Lock()

    @classmethod
    def of(cls, connection: Connection, prefix: str) -> "Catalog":
        """Return the catalog that all stores on this connection share."""
        catalog: Catalog = connection.catalogs.setdefault(prefix, cls(connection, prefix))
        return catalog

    def agree(self, indexer: Indexer | None) -> Fingerprint:
        """Compare an index with the one that the store was made with, or note the first one.

        Raises:
            EmbeddingMismatchError: If width or name of the embedding model differ.
            StoreError: If a newer version of this package made the store.
        """
        mine = Fingerprint(indexer.dims, indexer.name) if indexer else Fingerprint(None, None)
        shelf = self._connection.create(self._name, mine.metadata(), PLAIN_INDEX)
        self._check_version(shelf.metadata)
        self.refresh()
        made = self._agreed
        if indexer is not None:
            self._compare(mine, made)
            name = made.embedding_name or mine.embedding_name
            self._agreed = made._replace(dims=mine.dims, embedding_name=name)
        if self._agreed.metadata() != dict(shelf.metadata):
            shelf.describe(self._agreed.metadata())
        return self._agreed

    def _compare(self, mine: Fingerprint, made: Fingerprint) -> None:
        if made.dims not in (None, mine.dims):
            raise EmbeddingMismatchError(
                f"{self._connection.place} holds vectors of {made.dims} numbers (embedding model "
                f"{made.embedding_name!r}), but index has dims={mine.dims} "
                f"({mine.embedding_name!r}): open it with the embedding model that it was made "
                f"with, {_OR_REEMBED}"
            )
        if made.embedding_name and mine.embedding_name not in (None, made.embedding_name):
            raise EmbeddingMismatchError(
                f"{self._connection.place} was made with the embedding model "
                f"{made.embedding_name!r}, not with {mine.embedding_name!r}: open it with that "
                f"one, pass embedding_name= if both are the same, {_OR_REEMBED}"
            )

    def note_normalised(self, is_normalised: bool | None) -> None:
        """Compare what was measured of the embedding model with the store, or note it.

        Raises:
            EmbeddingMismatchError: If the store's vectors were made in another way.
        """
        made = self._agreed.is_normalised
        if is_normalised is None or is_normalised == made:
            return
        if made is not None:
            gave, gives = ("unit length", "other lengths") if made else ("other lengths", "only 1")
            raise EmbeddingMismatchError(
                f"{self._connection.place} was made with an embedding model "
                f"({self._agreed.embedding_name!r}) whose vectors had {gave}; the present one's "
                f"have {gives}: nothing was written; open it with the former model and its "
                f"normalisation, {_OR_REEMBED}"
            )
        self._agreed = self._agreed._replace(is_normalised=is_normalised)
        self._shelf().describe(self._agreed.metadata())

    def begin(self, indexer: Indexer, fields: str) -> Fingerprint:
        """Begin to embed anew, or go on with what was broken off for the same index.

        Returns:
            What the vectors will be; its generation is where they belong.
        """
        begun = self._begun
        wanted = Fingerprint(indexer.dims, indexer.name, None, 0, fields)
        if begun is not None and begun._replace(generation=0, is_normalised=None) == wanted:
            return begun
        target = wanted._replace(generation=self._last_generation + 1)
        self._append_fingerprint(_BEGUN, target)
        return target

    def abandon(self) -> None:
        """Give up a re-embedding that was begun; its vectors become old ones."""
        if self._begun is not None:
            self._append_fingerprint(_ABANDONED, self._begun)

    def switch(self, made: Fingerprint) -> None:
        """Use the vectors of another generation from now on: at this one moment."""
        self._append_fingerprint(_SWITCHED, made)
        self._shelf().describe(self._agreed.metadata())

    @property
    def agreed(self) -> Fingerprint:
        """How the vectors in use were made, as of the last `refresh`."""
        return self._agreed

    @property
    def begun(self) -> Fingerprint | None:
        """The re-embedding that was begun and not finished, as of the last `refresh`."""
        return self._begun

    def new_room(self, namespace: tuple[str, ...], generation: int) -> Room:
        """Return a namespace's collections in another generation."""
        return Room(self._connection, self._prefix, namespace, generation)

    def old_vectors(self) -> list[str]:
        """List the names of vector collections of generations that nobody uses any more."""
        used = {vectors_kind(self._agreed.generation)}
        if self._begun is not None:
            used.add(vectors_kind(self._begun.generation))
        start = f"{self._prefix}."
        found = [
            (name, name.removeprefix(start).partition(".")[2])
            for name in self._connection.names()
            if name.startswith(start)
        ]
        return [name for name, kind in found if kind.startswith(_VECTORS) and kind not in used]

    @property
    def is_shared(self) -> bool:
        """Whether other processes may write at the same time."""
        return not self._connection.exclusive

    def claims(self) -> Shelf | None:
        """Where compare-and-set keeps its claims; None if nobody else can write meanwhile."""
        if not self.is_shared:
            return None
        return self._connection.create(f"{self._prefix}.claims", {"kind": "claims"}, PLAIN_INDEX)

    def refresh(self) -> None:
        """Take in what other processes have added since."""
        with self._lock:
            if self._epoch != self._connection.epoch:
                self._epoch = self._connection.epoch
                self._num_records = 0
                self._rooms = {}
                self._maybe_empty = set()
                self._first_ends = {}
                self._begun = None
                self._agreed = Fingerprint.of(self._shelf().metadata)
            elif self._connection.exclusive:
                return
            self._read_on()

    def room(self, namespace: tuple[str, ...]) -> Room | None:
        """Return a namespace; None if it does not exist, as of the last `refresh`."""
        return self._rooms.get(namespace)

    def rooms(self, prefix: tuple[str, ...] = ()) -> list[Room]:
        """List the namespaces that begin with these labels, oldest first, empty ones too."""
        return [
            room
            for namespace, room in list(self._rooms.items())
            if namespace[: len(prefix)] == prefix
        ]

    def is_filled(self, room: Room, now: int) -> bool:
        """Tell whether a namespace has items; only one that may be empty is looked at."""
        may_be_empty = room.namespace in self._maybe_empty
        if may_be_empty or self._first_ends.get(room.namespace, _NEVER) <= now:
            return not room.is_empty(now)
        return True

    def due(self, now: int) -> list[tuple[str, ...]]:
        """List the namespaces in which something may have expired."""
        return [name for name, end in list(self._first_ends.items()) if end <= now]

    def note_swept(self, room: Room, now: int) -> None:
        """Note that nothing in a namespace has expired now."""
        if self._connection.exclusive:
            self._first_ends[room.namespace] = room.first_end(now + _FORESIGHT)

    def note_timed(self, namespace: tuple[str, ...], first_end: int) -> None:
        """Enter that items end, the first at this time or later, before they are written."""
        is_first = namespace not in self._first_ends
        if is_first:
            self._append(_TIMED, [namespace])
        # Only when nobody else writes do we know when the first one ends.
        if self._connection.exclusive:
            known = _NEVER if is_first else self._first_ends[namespace]
            self._first_ends[namespace] = min(known, first_end)

    def note_made(self, namespaces: Iterable[tuple[str, ...]]) -> None:
        """Enter namespaces, before something is written to them."""
        self._append(_MADE, [name for name in namespaces if name not in self._rooms])

    def note_filled(self, namespaces: Iterable[tuple[str, ...]]) -> None:
        """Enter that there are items, after they were written."""
        self._append(_FILLED, [name for name in namespaces if name in self._maybe_empty])

    def note_emptied(self, namespaces: Iterable[tuple[str, ...]]) -> None:
        """Enter that there may be no items any more."""
        self._append(_EMPTIED, [name for name in namespaces if name not in self._maybe_empty])

    def _append(self, kind: str, namespaces: list[tuple[str, ...]]) -> None:
        if not namespaces:
            return
        with self._lock:
            self._shelf().write([self._row(kind, namespace) for namespace in namespaces])
            self._read_on()

    def _append_fingerprint(self, kind: str, made: Fingerprint) -> None:
        record: Metadata = made.metadata() | {"fields": made.fields, "namespace": "[]"}
        with self._lock:
            self._shelf().write([Row(f"{kind}:{made.generation}", _ANY_VECTOR, record)])
            self._read_on()

    def _row(self, kind: str, namespace: tuple[str, ...]) -> Row:
        # Two processes that make one namespace at once write one record, so it has one place.
        suffix = "" if kind in (_MADE, _TIMED) else f":{self._connection.clock.stamp()}"
        record_id = f"{kind}:{namespace_digest(namespace)}{suffix}"
        return Row(record_id, _ANY_VECTOR, {"namespace": encode_namespace(namespace)})

    def _read_on(self) -> None:
        shelf = self._shelf()
        if shelf.count() == self._num_records:
            return
        for record in shelf.records(self._num_records):
            self._num_records += 1
            kind, _, _ = record.id.partition(":")
            self._take(kind, record.metadata or {})

    def _take(self, kind: str, metadata: Mapping[str, Any]) -> None:
        namespace = decode_namespace(metadata["namespace"])
        match kind:
            case "filled":
                self._maybe_empty.discard(namespace)
            case "timed":
                self._first_ends.setdefault(namespace, 0)
            case "begun":
                self._begun = Fingerprint.of(metadata)
                self._last_generation = max(self._last_generation, self._begun.generation)
            case "abandoned":
                self._begun = None
            case "switched":
                self._take_switch(Fingerprint.of(metadata))
            case _:
                self._maybe_empty.add(namespace)
                if kind == _MADE:
                    self._rooms[namespace] = self.new_room(namespace, self._agreed.generation)

    def _take_switch(self, made: Fingerprint) -> None:
        if self._begun is not None and self._begun.generation <= made.generation:
            self._begun = None
        if made.generation > self._agreed.generation:
            self._agreed = made
        self._rooms = {name: self.new_room(name, self._agreed.generation) for name in self._rooms}

    def _shelf(self) -> Shelf:
        return self._connection.create(self._name, self._agreed.metadata(), PLAIN_INDEX)

    def _check_version(self, metadata: Mapping[str, Any]) -> None:
        version = metadata.get("format_version")
        if not isinstance(version, int) or not 1 <= version <= FORMAT_VERSION:
            raise StoreError(
                f"{self._connection.place} has store format {version!r} and this package reads "
                f"1 to {FORMAT_VERSION}: upgrade langgraph-memskill, or use another place"
            )
