"""Which namespaces a store has, and how its vectors were made.

The catalog is one collection to which records are only ever added: so its number of records tells
whether another process has added any, and its order is the order in which namespaces were made.
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
from langgraph_memskill.stores.room import PLAIN_INDEX, Room
from langgraph_memskill.stores.shelf import Row, Shelf

FORMAT_VERSION = 1
_DISTANCE = "cosine"
# Kinds of records: a namespace is made (and empty), has items, may have none.
_MADE = "made"
_FILLED = "filled"
_EMPTIED = "emptied"
_ANY_VECTOR = np.zeros(1, np.float32)


class Fingerprint(NamedTuple):
    """How the vectors of a store were made."""

    dims: int | None
    """None if the store has never had an index."""
    embedding_name: str | None

    def metadata(self) -> Metadata:
        """Write it as the catalog's own metadata, which cannot hold None."""
        return {
            "format_version": FORMAT_VERSION,
            "distance": _DISTANCE,
            "dims": self.dims or 0,
            "embedding_name": self.embedding_name or "",
        }


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
        made = self._agreed = self._read(shelf.metadata)
        if indexer is None:
            return made
        if made.dims not in (None, mine.dims):
            raise EmbeddingMismatchError(
                f"{self._connection.place} holds vectors of {made.dims} numbers (embedding model "
                f"{made.embedding_name!r}), but index has dims={mine.dims} "
                f"({mine.embedding_name!r}): open it with the embedding model that it was made "
                "with, or use another place"
            )
        if made.embedding_name and mine.embedding_name not in (None, made.embedding_name):
            raise EmbeddingMismatchError(
                f"{self._connection.place} was made with the embedding model "
                f"{made.embedding_name!r}, not with {mine.embedding_name!r}: open it with that "
                "one, pass embedding_name= if both are the same, or use another place"
            )
        agreed = Fingerprint(mine.dims, made.embedding_name or mine.embedding_name)
        if agreed != made:
            shelf.describe(agreed.metadata())
            self._agreed = agreed
        return agreed

    @property
    def is_shared(self) -> bool:
        """Whether other processes may write at the same time."""
        return not self._connection.exclusive

    def refresh(self) -> None:
        """Take in what other processes have added since."""
        with self._lock:
            if self._epoch != self._connection.epoch:
                self._epoch = self._connection.epoch
                self._num_records = 0
                self._rooms = {}
                self._maybe_empty = set()
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

    def is_filled(self, room: Room) -> bool:
        """Tell whether a namespace has items; only one that may be empty is looked at."""
        return room.namespace not in self._maybe_empty or not room.is_empty()

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

    def _row(self, kind: str, namespace: tuple[str, ...]) -> Row:
        # Two processes that make one namespace at once write one record, so it has one place.
        suffix = "" if kind == _MADE else f":{self._connection.clock.stamp()}"
        record_id = f"{kind}:{namespace_digest(namespace)}{suffix}"
        return Row(record_id, _ANY_VECTOR, {"namespace": encode_namespace(namespace)})

    def _read_on(self) -> None:
        shelf = self._shelf()
        if shelf.count() == self._num_records:
            return
        for record in shelf.records(self._num_records):
            self._num_records += 1
            namespace = decode_namespace((record.metadata or {})["namespace"])
            kind, _, _ = record.id.partition(":")
            if kind == _FILLED:
                self._maybe_empty.discard(namespace)
                continue
            self._maybe_empty.add(namespace)
            if kind == _MADE:
                self._rooms[namespace] = Room(self._connection, self._prefix, namespace)

    def _shelf(self) -> Shelf:
        return self._connection.create(self._name, self._agreed.metadata(), PLAIN_INDEX)

    def _read(self, metadata: Mapping[str, Any]) -> Fingerprint:
        version = metadata.get("format_version")
        if not isinstance(version, int) or not 1 <= version <= FORMAT_VERSION:
            raise StoreError(
                f"{self._connection.place} has store format {version!r} and this package reads "
                f"{FORMAT_VERSION}: upgrade langgraph-memskill, or use another place"
            )
        return Fingerprint(metadata["dims"] or None, metadata["embedding_name"] or None)
