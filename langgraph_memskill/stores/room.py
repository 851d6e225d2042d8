"""One namespace: its items in at most two Chroma collections.

Items that were indexed when they first came live in the *vector* collection, each primary record
with the vector of its first text. All others live in the *plain* one, whose vectors mean nothing.
An item stays in its collection until it is deleted, also when a later put indexes it or stops
indexing it, so each collection keeps its items in the order in which they first came.

An item that has expired is there for the sweep only: no reading method returns it, and a put over
it makes a new item, which comes last.

Each re-embedding of a store makes a new generation of vector collections.
"""

import heapq
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from chromadb.api.collection_configuration import CreateCollectionConfiguration
from numpy.typing import NDArray

from langgraph_memskill.stores.codec import (
    EXPIRES,
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
# When the next item of a namespace expires is looked for among so many.
_MOST_ENDS = 1000


@dataclass(frozen=True, slots=True)
class Change:
    """A put or a delete, ready to be written."""

    key: str
    value_json: str | None
    """None deletes the item."""
    vectors: Sequence[NDArray[np.float32]] = ()
    """One [dims] for each distinct indexed text."""
    ttl: int = 0
    """Time to live, in ns; 0 for ever."""
    paths: tuple[str, ...] | None = None
    """The indexed fields, if they are not those of the store."""


@dataclass(frozen=True, slots=True)
class Placed:
    """An item and the collection that it lives in."""

    item: StoredItem
    is_plain: bool


class Census(NamedTuple):
    """What is in a namespace."""

    num_items: int
    num_expired: int
    orphan_ids: list[str]
    """Vector records that belong to no item."""


@dataclass(slots=True)
class _Work:
    """What a write does, in this order."""

    ended_plain_ids: list[str] = field(default_factory=list)
    ended_vector_ids: list[str] = field(default_factory=list)
    vector_rows: list[Row] = field(default_factory=list)
    plain_rows: list[Row] = field(default_factory=list)
    plain_ids: list[str] = field(default_factory=list)
    vector_ids: list[str] = field(default_factory=list)

    def remove(self, placed: Placed) -> None:
        (self.plain_ids if placed.is_plain else self.vector_ids).append(primary_id(placed.item.key))
        self.vector_ids += placed.item.vector_ids()

    def remove_first(self, placed: Placed) -> None:
        ids = self.ended_plain_ids if placed.is_plain else self.ended_vector_ids
        ids.append(primary_id(placed.item.key))
        self.ended_vector_ids += placed.item.vector_ids()


class Room:
    """The collections of one namespace. Times (`now`) are in ns since 1970."""

    def __init__(
        self,
        connection: Connection,
        prefix: str,
        namespace: tuple[str, ...],
        generation: int = 0,
    ) -> None:
        self.namespace = namespace
        self._connection = connection
        self._name = f"{prefix}.{namespace_digest(namespace)}"
        self._vectors_kind = vectors_kind(generation)

    def vectors(self) -> Shelf | None:
        """The collection of the indexed items, if there is one."""
        return self._connection.find(f"{self._name}.{self._vectors_kind}")

    def plain(self) -> Shelf | None:
        """The collection of the items that are not indexed, if there is one."""
        return self._connection.find(f"{self._name}.plain")

    def fetch(self, keys: Sequence[str], now: int) -> dict[str, StoredItem]:
        """Read the items with these keys, those that exist."""
        placed = self._locate(keys, all_places=False, now=now)
        return {key: places[0].item for key, places in placed.items()}

    def is_empty(self, now: int) -> bool:
        """Tell whether there is no item."""
        return next(self.items(now), None) is None

    def would_be_empty(self, changes: Sequence[Change], now: int) -> bool:
        """Tell whether there were no item left after these changes."""
        if any(change.value_json is not None for change in changes):
            return False
        deleted = {change.key for change in changes}
        return all(item.key in deleted for item in self.items(now))

    def items(self, now: int) -> Iterator[StoredItem]:
        """Read all items, in the order in which their keys first came."""
        return (placed.item for placed in self.placed(now))

    def placed(self, now: int) -> Iterator[Placed]:
        """Read all items like `items`, and where each lives."""
        places = [
            _placed_items(shelf, now, is_plain=is_plain)
            for shelf, is_plain in ((self.vectors(), False), (self.plain(), True))
            if shelf is not None
        ]
        if len(places) < 2:
            for place in places:
                yield from place
            return
        seen: set[str] = set()
        for placed in heapq.merge(*places, key=lambda placed: placed.item.created):
            # Two processes may have put a new key at once, one with a text and one without.
            if placed.item.key not in seen:
                seen.add(placed.item.key)
                yield placed

    def census(self, now: int) -> Census:
        """Count the items, and find the vector records that belong to none."""
        revisions: dict[str, set[int]] = {}
        num_expired = 0
        vector_ids: list[str] = []
        for shelf in (self.vectors(), self.plain()):
            for record in shelf.records() if shelf is not None else ():
                found = split_id(record.id)
                item = item_of(found, record.metadata)
                if item is None:
                    vector_ids.append(record.id)
                    continue
                revisions.setdefault(item.key, set()).add(item.revision)
                num_expired += item.is_expired(now)
        orphans = [
            record_id
            for record_id in vector_ids
            if (found := split_id(record_id)).revision not in revisions.get(found.key, ())
        ]
        return Census(len(revisions) - num_expired, num_expired, orphans)

    def expired(self, now: int, num_items: int) -> list[str]:
        """Find keys whose item has expired, about so many at most."""
        found: dict[str, None] = {}
        for shelf in (self.vectors(), self.plain()):
            if shelf is not None and len(found) < num_items:
                for record in shelf.ending(now, num_items - len(found)):
                    item = item_of(split_id(record.id), record.metadata)
                    if item is not None and item.is_expired(now):
                        found.setdefault(item.key)
        alive = self.fetch(list(found), now)
        return [key for key in found if key not in alive]

    def first_end(self, before: int) -> int:
        """Find when the first item expires.

        Returns:
            That time; `before` if it is not until then; 0 if it cannot be told cheaply.
        """
        ends = [before]
        for shelf in (self.vectors(), self.plain()):
            if shelf is not None:
                records = shelf.ending(before, _MOST_ENDS)
                ends += [(record.metadata or {})[EXPIRES] for record in records]
                if len(records) == _MOST_ENDS:
                    return 0
        return min(ends)

    def refresh(self, items: Sequence[StoredItem], now: int) -> None:
        """Give items that were just read their whole time to live again."""
        moved = [(item, item.ttl + now) for item in items if item.ttl + now > item.expires]
        if (vectors := self.vectors()) is not None:
            vectors.write([Row(primary_id(item.key), None, {EXPIRES: end}) for item, end in moved])
        elsewhere = [(item, end) for item, end in moved if not item.owns_vector]
        if elsewhere and (plain := self.plain()) is not None:
            plain.write(
                [Row(primary_id(item.key), None, {EXPIRES: end}) for item, end in elsewhere]
            )

    def write(self, changes: Sequence[Change], now: int) -> None:
        """Write puts and deletes, at most one a key.

        New vector records come first, then the primary records, which make the change valid, then
        the removal of what is no longer needed: broken off anywhere, each item is as before or as
        after. What has expired goes before anything, so that a new item of its key comes last.
        """
        keys = [change.key for change in changes]
        placed = self._locate(keys, all_places=True, now=None)
        work = _Work()
        for change in changes:
            former = placed.get(change.key, [])
            if change.value_json is None:
                for old in former:
                    work.remove(old)
                continue
            alive = [old for old in former if not old.item.is_expired(now)]
            for old in former:
                if old.item.is_expired(now):
                    work.remove_first(old)
            above = max((old.item.revision for old in former), default=0)
            revision = self._connection.clock.stamp(now, above=above)
            self._put(change, change.value_json, alive, work, revision, now)
            for old in alive[1:]:
                work.remove(old)
        self._carry_out(work)

    def _carry_out(self, work: _Work) -> None:
        self._remove(work.ended_plain_ids, work.ended_vector_ids)
        if work.vector_rows:
            self._make(self._vectors_kind, VECTOR_INDEX).write(work.vector_rows)
        if work.plain_rows:
            self._make("plain", PLAIN_INDEX).write(work.plain_rows)
        self._remove(work.plain_ids, work.vector_ids)

    def _remove(self, plain_ids: Sequence[str], vector_ids: Sequence[str]) -> None:
        if plain_ids and (plain := self.plain()) is not None:
            plain.remove(plain_ids)
        if vector_ids and (vectors := self.vectors()) is not None:
            vectors.remove(vector_ids)

    def _put(
        self,
        change: Change,
        value_json: str,
        former: Sequence[Placed],
        work: _Work,
        revision: int,
        now: int,
    ) -> None:
        old = former[0].item if former else None
        is_plain = former[0].is_plain if former else not change.vectors
        item = StoredItem(
            key=change.key,
            value_json=value_json,
            created=old.created if old else revision,
            revision=revision,
            num_vectors=len(change.vectors),
            owns_vector=bool(change.vectors) and not is_plain,
            ttl=change.ttl,
            expires=now + change.ttl if change.ttl else 0,
            paths=change.paths,
        )
        metadata = item.successor_metadata(old)
        if old is not None:
            work.vector_ids += old.vector_ids()
        work.vector_rows += vector_rows(item, change.vectors)
        if is_plain:
            work.plain_rows.append(Row(primary_id(change.key), any_vector(1), metadata))
        else:
            own = change.vectors[0] if item.owns_vector else None
            work.vector_rows.append(Row(primary_id(change.key), own, metadata))

    def _make(self, kind: str, index: CreateCollectionConfiguration) -> Shelf:
        about: Metadata = {"namespace": encode_namespace(self.namespace), "kind": kind}
        return self._connection.create(f"{self._name}.{kind}", about, index)

    def make_vectors(self) -> Shelf:
        """Return the collection of the indexed items, made if there was none."""
        return self._make(self._vectors_kind, VECTOR_INDEX)

    def _locate(
        self, keys: Sequence[str], *, all_places: bool, now: int | None
    ) -> dict[str, list[Placed]]:
        """Find primary records; a key in both collections has its newest record first.

        Args:
            keys: The keys.
            all_places: Whether to look for a second record of a key.
            now: The time, to leave out what has expired; None finds that, too.
        """
        found: dict[str, list[Placed]] = {}
        if (vectors := self.vectors()) is not None:
            _add_items(found, vectors, keys, now, is_plain=False)
        if not all_places:
            keys = [key for key in keys if key not in found]
        if keys and (plain := self.plain()) is not None:
            _add_items(found, plain, keys, now, is_plain=True)
        for places in found.values():
            places.sort(key=lambda one: -one.item.revision)
        return found


def vectors_kind(generation: int) -> str:
    """Name the kind of the vector collections of a generation."""
    return f"vectors.{generation}" if generation else "vectors"


def vector_rows(item: StoredItem, vectors: Sequence[NDArray[np.float32]]) -> list[Row]:
    """Make the vector records beside the primary record of an item."""
    first = 1 if item.owns_vector else 0
    return [
        Row(vector_id(item.key, item.revision, index), vector, None)
        for index, vector in enumerate(vectors[first:], start=first)
    ]


def any_vector(dims: int) -> NDArray[np.float32]:
    """Make a vector, [dims], for a record that needs one: equal ones would make the graph slow."""
    return np.array([random.uniform(0.1, 1.0) for _ in range(dims)], np.float32)


def _add_items(
    found: dict[str, list[Placed]],
    shelf: Shelf,
    keys: Sequence[str],
    now: int | None,
    *,
    is_plain: bool,
) -> None:
    for record in shelf.fetch([primary_id(key) for key in keys]):
        item = item_of(split_id(record.id), record.metadata)
        if item is not None and (now is None or not item.is_expired(now)):
            found.setdefault(item.key, []).append(Placed(item, is_plain))


def _placed_items(shelf: Shelf, now: int, *, is_plain: bool) -> Iterator[Placed]:
    for record in shelf.records():
        item = item_of(split_id(record.id), record.metadata)
        if item is not None and not item.is_expired(now):
            yield Placed(item, is_plain)
