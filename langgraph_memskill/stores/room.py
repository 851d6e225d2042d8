"""One namespace: its items in at most two Chroma collections.

Items that were indexed when they first came live in the *vector* collection, each primary record
with the vector of its first text. All others live in the *plain* one, whose vectors mean nothing.
An item stays in its collection until it is deleted, also when a later put indexes it or stops
indexing it, so each collection keeps its items in the order in which they first came.
"""

import heapq
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from chromadb.api.collection_configuration import CreateCollectionConfiguration
from numpy.typing import NDArray

from langgraph_memskill.stores.codec import (
    Metadata,
    StoredItem,
    encode_namespace,
    item_of,
    namespace_digest,
    primary_id,
    split_id,
    vector_id,
)
from langgraph_memskill.stores.connection import Connection
from langgraph_memskill.stores.shelf import Row, Shelf

# ef_search 200 makes namespaces of up to a thousand items exact even for random vectors (measured:
# 100, the default, misses 2 % there). sync_threshold: at most so many writes are replayed at open.
VECTOR_INDEX: CreateCollectionConfiguration = {
    "hnsw": {"space": "cosine", "ef_search": 200, "sync_threshold": 100}
}
PLAIN_INDEX: CreateCollectionConfiguration = {
    "hnsw": {"space": "l2", "ef_construction": 8, "ef_search": 8, "sync_threshold": 100}
}


@dataclass(frozen=True, slots=True)
class Change:
    """A put or a delete, ready to be written."""

    key: str
    value_json: str | None
    """None deletes the item."""
    vectors: Sequence[NDArray[np.float32]] = ()
    """One [dims] for each distinct indexed text."""


@dataclass(frozen=True, slots=True)
class _Placed:
    item: StoredItem
    is_plain: bool


class Room:
    """The collections of one namespace."""

    def __init__(self, connection: Connection, prefix: str, namespace: tuple[str, ...]) -> None:
        self.namespace = namespace
        self._connection = connection
        self._name = f"{prefix}.{namespace_digest(namespace)}"

    def vectors(self) -> Shelf | None:
        """The collection of the indexed items, if there is one."""
        return self._connection.find(f"{self._name}.vectors")

    def plain(self) -> Shelf | None:
        """The collection of the items that are not indexed, if there is one."""
        return self._connection.find(f"{self._name}.plain")

    def fetch(self, keys: Sequence[str]) -> dict[str, StoredItem]:
        """Read the items with these keys, those that exist."""
        return {key: placed[0].item for key, placed in self._locate(keys, all_places=False).items()}

    def is_empty(self) -> bool:
        """Tell whether there is no item."""
        return next(self.items(), None) is None

    def would_be_empty(self, changes: Sequence[Change]) -> bool:
        """Tell whether there were no item left after these changes."""
        if any(change.value_json is not None for change in changes):
            return False
        deleted = {change.key for change in changes}
        return all(item.key in deleted for item in self.items())

    def items(self) -> Iterator[StoredItem]:
        """Read all items, in the order in which their keys first came."""
        shelves = [shelf for shelf in (self.vectors(), self.plain()) if shelf is not None]
        if len(shelves) < 2:
            for shelf in shelves:
                yield from _items(shelf)
            return
        seen: set[str] = set()
        for item in heapq.merge(*map(_items, shelves), key=lambda item: item.created):
            # Two processes may have put a new key at once, one with a text and one without.
            if item.key not in seen:
                seen.add(item.key)
                yield item

    def write(self, changes: Sequence[Change]) -> None:
        """Write puts and deletes, at most one a key.

        New vector records come first, then the primary records, which make the change valid, then
        the removal of what is no longer needed: broken off anywhere, each item is as before or as
        after.
        """
        placed = self._locate([change.key for change in changes], all_places=True)
        vector_rows: list[Row] = []
        plain_rows: list[Row] = []
        vector_ids: list[str] = []
        plain_ids: list[str] = []
        for change in changes:
            former = placed.get(change.key, [])
            doomed = former
            if change.value_json is not None:
                self._put(change, change.value_json, former, vector_rows, plain_rows)
                doomed = former[1:]
                vector_ids += former[0].item.vector_ids() if former else []
            for old in doomed:
                (plain_ids if old.is_plain else vector_ids).append(primary_id(change.key))
                vector_ids += old.item.vector_ids()
        if vector_rows:
            self._make("vectors", VECTOR_INDEX).write(vector_rows)
        if plain_rows:
            self._make("plain", PLAIN_INDEX).write(plain_rows)
        if plain_ids and (plain := self.plain()) is not None:
            plain.remove(plain_ids)
        if vector_ids and (vectors := self.vectors()) is not None:
            vectors.remove(vector_ids)

    def _put(
        self,
        change: Change,
        value_json: str,
        former: Sequence[_Placed],
        vector_rows: list[Row],
        plain_rows: list[Row],
    ) -> None:
        revision = self._connection.clock.stamp()
        is_plain = former[0].is_plain if former else not change.vectors
        item = StoredItem(
            key=change.key,
            value_json=value_json,
            created=former[0].item.created if former else revision,
            revision=revision,
            num_vectors=len(change.vectors),
            owns_vector=bool(change.vectors) and not is_plain,
        )
        others = change.vectors[1:] if item.owns_vector else change.vectors
        first = 1 if item.owns_vector else 0
        vector_rows += [
            Row(vector_id(change.key, revision, index), vector, None)
            for index, vector in enumerate(others, start=first)
        ]
        if is_plain:
            # Equal vectors would make Chroma's graph slow, so these are random.
            anything = np.array([random.random()], np.float32)
            plain_rows.append(Row(primary_id(change.key), anything, item.metadata()))
        else:
            own = change.vectors[0] if item.owns_vector else None
            vector_rows.append(Row(primary_id(change.key), own, item.metadata()))

    def _make(self, kind: str, index: CreateCollectionConfiguration) -> Shelf:
        about: Metadata = {"namespace": encode_namespace(self.namespace), "kind": kind}
        return self._connection.create(f"{self._name}.{kind}", about, index)

    def _locate(self, keys: Sequence[str], *, all_places: bool) -> dict[str, list[_Placed]]:
        """Find primary records; a key in both collections has its newest record first."""
        found: dict[str, list[_Placed]] = {}
        if (vectors := self.vectors()) is not None:
            _add_items(found, vectors, keys, is_plain=False)
        if not all_places:
            keys = [key for key in keys if key not in found]
        if keys and (plain := self.plain()) is not None:
            _add_items(found, plain, keys, is_plain=True)
        for places in found.values():
            places.sort(key=lambda one: -one.item.revision)
        return found


def _add_items(
    found: dict[str, list[_Placed]], shelf: Shelf, keys: Sequence[str], *, is_plain: bool
) -> None:
    for record in shelf.fetch([primary_id(key) for key in keys]):
        if (item := item_of(split_id(record.id), record.metadata)) is not None:
            found.setdefault(item.key, []).append(_Placed(item, is_plain))


def _items(shelf: Shelf) -> Iterator[StoredItem]:
    for record in shelf.records():
        if (item := item_of(split_id(record.id), record.metadata)) is not None:
            yield item
