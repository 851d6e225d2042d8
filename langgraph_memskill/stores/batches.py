"""One batch of store operations: sorted into kinds, embedded by the store, then carried out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

import numpy as np
from langgraph.store.base import (
    GetOp,
    Item,
    ListNamespacesOp,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    validate_op_namespace,
)
from numpy.typing import NDArray

from langgraph_memskill.errors import ConflictError, EmbeddingMismatchError, StoreError
from langgraph_memskill.stores.catalog import Catalog
from langgraph_memskill.stores.claims import Claims
from langgraph_memskill.stores.codec import StoredItem, encode_value, stamp_time
from langgraph_memskill.stores.conditional import PutIfOp, StoreOp, check_expected
from langgraph_memskill.stores.filters import can_raise, checked, namespace_matches, passes
from langgraph_memskill.stores.indexing import Indexer, Vectors
from langgraph_memskill.stores.nearest import Scored, nearest, score_all
from langgraph_memskill.stores.room import Change, Room
from langgraph_memskill.stores.ttl import lifetime

Namespace = tuple[str, ...]
GetPlace = tuple[int, str, bool]
"""Position in the batch, key, and whether the item lives longer for being read."""
Found = tuple[Room, StoredItem, float | None]
"""An item with its score."""


@dataclass(frozen=True, slots=True)
class PlannedPut:
    """The last put or delete of a key in a batch."""

    value_json: str | None
    texts: Sequence[str]
    ttl: int
    """In ns; 0 for ever."""
    paths: tuple[str, ...] | None
    """The fields that it names itself for indexing."""


@dataclass(slots=True)
class Plan:
    """A batch, sorted. Positions are those of the operations in the batch."""

    num_ops: int = 0
    gets: dict[Namespace, list[GetPlace]] = field(default_factory=dict)
    searches: list[tuple[int, SearchOp]] = field(default_factory=list)
    listings: list[tuple[int, ListNamespacesOp]] = field(default_factory=list)
    puts: dict[Namespace, dict[str, PlannedPut]] = field(default_factory=dict)
    conditions: dict[Namespace, list[tuple[str, datetime | None]]] = field(default_factory=dict)
    """Keys and the `updated_at` that their items must have; None for no item."""
    filled: dict[Namespace, None] = field(default_factory=dict)
    """The namespaces that items are put into, in the order of the first item of each."""

    @property
    def texts(self) -> list[str]:
        """The distinct texts to embed."""
        puts = (put for group in self.puts.values() for put in group.values())
        return list(dict.fromkeys(text for put in puts for text in put.texts))

    @property
    def queries(self) -> list[str]:
        """The distinct queries to embed."""
        return list(dict.fromkeys(op.query for _, op in self.searches if op.query))


def make_plan(ops: Sequence[StoreOp], indexer: Indexer | None) -> Plan:
    """Check the operations and sort them.

    Raises:
        InvalidNamespaceError: If a namespace label is unusable.
        StoreError: If a key is no text or a value cannot be stored.
        ConfigError: If a time to live or an expected time is unusable.
        ValueError: If something is no store operation, or a filter is not understood.
    """
    plan = Plan(len(ops))
    last_puts: dict[tuple[Namespace, str], PutOp] = {}
    for position, given in enumerate(ops):
        op = given.op if isinstance(given, PutIfOp) else given
        validate_op_namespace(op)
        if isinstance(given, PutIfOp):
            check_expected(given.expected)
            conditions = plan.conditions.setdefault(tuple(given.op.namespace), [])
            conditions.append((_key(given.op.key), given.expected))
        if isinstance(op, GetOp):
            place = (position, _key(op.key), op.refresh_ttl)
            plan.gets.setdefault(tuple(op.namespace), []).append(place)
        elif isinstance(op, SearchOp):
            plan.searches.append((position, op._replace(filter=checked(op.filter))))
        elif isinstance(op, ListNamespacesOp):
            plan.listings.append((position, op))
        elif isinstance(op, PutOp):
            last_puts[tuple(op.namespace), _key(op.key)] = op
        else:
            raise ValueError(f"Unknown operation type: {type(op)}")
    for (namespace, key), op in last_puts.items():
        value_json = None if op.value is None else encode_value(op.value, namespace, key)
        texts = indexer.texts(op) if indexer else []
        paths = tuple(op.index) if texts and isinstance(op.index, list | tuple) else None
        ttl = 0 if op.value is None else lifetime(op.ttl)
        put = PlannedPut(value_json, texts, ttl, paths)
        plan.puts.setdefault(namespace, {})[key] = put
        if value_json is not None:
            plan.filled.setdefault(namespace)
    return plan


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise StoreError(f"the key {key!r} is a {type(key).__name__}: keys are texts")
    return key


class Executor:
    """Carries plans out; its caller holds the connection's session."""

    def __init__(self, catalog: Catalog, now: int, generation: int) -> None:
        """Prepare for one batch.

        Args:
            catalog: The store.
            now: The time, in ns since 1970.
            generation: The generation of vectors that the caller's embedding model made.
        """
        self._catalog = catalog
        self._now = now
        self._generation = generation
        self._read: dict[Namespace, dict[str, StoredItem]] = {}
        """What was read and lives longer for it."""

    def run(
        self,
        plan: Plan,
        documents: Vectors,
        queries: Vectors,
        *,
        is_normalised: bool | None = None,
    ) -> list[Result]:
        """Read first, then write: reads see the state before the batch's writes.

        Args:
            plan: What to do.
            documents: The vector of each text of the plan.
            queries: The vector of each query; empty if the store has no index.
            is_normalised: Whether the embedding model itself gives vectors of length 1, if known.

        Returns:
            One result an operation, None for a put or delete.

        Raises:
            ConflictError: If an item is not the expected one; nothing was written.
            EmbeddingMismatchError: If the store was embedded anew since it was opened, or the
                model's vectors have another length than they had; nothing was written.
        """
        shelf = self._catalog.claims() if plan.conditions else None
        with Claims(shelf, plan.conditions, self._now) as claims:
            claims.wait(lambda: self._check_anew(plan))
            self._catalog.refresh()
            if documents or queries:
                self._check_generation()
                self._catalog.note_normalised(is_normalised)
            self._check(plan)
            results = self._read_all(plan, queries)
            claims.begin()
            for namespace, items in self._read.items():
                if (room := self._catalog.room(namespace)) is not None:
                    room.refresh(list(items.values()), self._now)
            self._write(plan, documents)
        return results

    def _read_all(self, plan: Plan, queries: Vectors) -> list[Result]:
        results: list[Result] = [None] * plan.num_ops
        for namespace, wanted in plan.gets.items():
            self._get(namespace, wanted, results)
        for position, search in plan.searches:
            results[position] = self._search(search, queries)
        for position, listing in plan.listings:
            results[position] = self._list(listing)
        return results

    def due(self) -> list[Namespace]:
        """List the namespaces in which something may have expired."""
        self._catalog.refresh()
        return self._catalog.due(self._now)

    def sweep(self, namespace: Namespace, num_items: int) -> tuple[int, bool]:
        """Delete what has expired in a namespace, about so many items at most.

        Returns:
            How many were deleted, and whether there may be more.
        """
        self._catalog.refresh()
        room = self._catalog.room(namespace)
        if room is None:
            return 0, False
        keys = room.expired(self._now, num_items)
        if keys:
            self._write_room(room, [Change(key, None) for key in keys])
        if len(keys) >= num_items:
            return len(keys), True
        self._catalog.note_swept(room, self._now)
        return len(keys), False

    def _check_generation(self) -> None:
        made = self._catalog.agreed
        if made.generation != self._generation:
            raise EmbeddingMismatchError(
                f"the store was embedded anew with the model {made.embedding_name!r} "
                f"({made.dims} numbers) since it was opened here: open it again with that model"
            )

    def _check_anew(self, plan: Plan) -> None:
        self._catalog.refresh()
        self._check(plan)

    def _check(self, plan: Plan) -> None:
        for namespace, conditions in plan.conditions.items():
            room = self._catalog.room(namespace)
            keys = [*{key: None for key, _ in conditions}]
            found = room.fetch(keys, self._now) if room else {}
            for key, expected in conditions:
                seen = stamp_time(found[key].revision) if key in found else None
                if seen != expected:
                    raise ConflictError(
                        f"the item {key!r} in {namespace!r} was expected {_state(expected)}, but "
                        f"was found {_state(seen)}: somebody else wrote in between; read it "
                        "again, then repeat. Nothing of this batch was written"
                    )

    def _get(self, namespace: Namespace, wanted: Sequence[GetPlace], results: list[Result]) -> None:
        room = self._catalog.room(namespace)
        found = room.fetch([*{key: None for _, key, _ in wanted}], self._now) if room else {}
        for position, key, refreshes in wanted:
            if key in found:
                results[position] = _item(namespace, found[key])
                self._note_read(namespace, found[key], refreshes)

    def _note_read(self, namespace: Namespace, item: StoredItem, refreshes: bool) -> None:
        if refreshes and item.ttl:
            self._read.setdefault(namespace, {})[item.key] = item

    def _list(self, op: ListNamespacesOp) -> list[Namespace]:
        conditions = op.match_conditions or ()
        found = [
            room.namespace
            for room in self._catalog.rooms()
            if all(namespace_matches(room.namespace, condition) for condition in conditions)
            and self._catalog.is_filled(room, self._now)
        ]
        if op.max_depth is not None:
            found = list({namespace[: op.max_depth] for namespace in found})
        return sorted(found)[op.offset : op.offset + op.limit]

    def _search(self, op: SearchOp, queries: Vectors) -> list[SearchItem]:
        rooms = self._catalog.rooms(tuple(op.namespace_prefix))
        query = queries.get(op.query) if op.query else None
        # Bounds below zero count from the end, as in InMemoryStore.
        needs_all = can_raise(op.filter) or min(op.offset, op.limit) < 0
        passing = (
            {room.namespace: self._passing(room, op.filter) for room in rooms}
            if needs_all
            else None
        )
        if query is None:
            items = self._candidates(rooms, op.filter, passing)
            found = (
                islice(items, op.offset, op.offset + op.limit)
                if passing is None
                else list(items)[op.offset : op.offset + op.limit]
            )
            chosen: list[Found] = [(room, item, None) for room, item in found]
        else:
            chosen = self._ranked(rooms, op, query, passing)
        for room, item, _ in chosen:
            self._note_read(room.namespace, item, op.refresh_ttl)
        return [_search_item(room.namespace, item, score) for room, item, score in chosen]

    def _passing(self, room: Room, wanted: Mapping[str, Any] | None) -> list[StoredItem]:
        return [item for item in room.items(self._now) if passes(item, wanted)]

    def _candidates(
        self,
        rooms: Iterable[Room],
        wanted: Mapping[str, Any] | None,
        passing: Mapping[Namespace, Sequence[StoredItem]] | None,
    ) -> Iterator[tuple[Room, StoredItem]]:
        for room in rooms:
            items = room.items(self._now) if passing is None else passing[room.namespace]
            for item in items:
                if passing is not None or passes(item, wanted):
                    yield room, item

    def _ranked(
        self,
        rooms: Sequence[Room],
        op: SearchOp,
        query: NDArray[np.float32],
        passing: Mapping[Namespace, Sequence[StoredItem]] | None,
    ) -> list[Found]:
        end = op.offset + op.limit
        scored: list[tuple[Room, Scored]] = []
        for room in rooms:
            found = (
                nearest(room, query, end, op.filter, self._now)
                if passing is None
                else score_all(room, query, passing[room.namespace])
            )
            scored += [(room, one) for one in found]
        # Stable: among equal scores the older namespace comes first, then the older item.
        scored.sort(key=lambda pair: -pair[1].score)
        chosen: list[Found] = [
            (room, one.item, one.score) for room, one in scored[max(op.offset, 0) : max(end, 0)]
        ]
        if len(chosen) < op.limit:
            # InMemoryStore fills up with items that have no vectors, from the first one at any
            # offset.
            unscored = (
                (room, item)
                for room, item in self._candidates(rooms, op.filter, passing)
                if not item.num_vectors
            )
            for room, item in islice(unscored, op.limit - len(chosen)):
                chosen.append((room, item, None))
        return chosen

    def _write(self, plan: Plan, documents: Vectors) -> None:
        self._catalog.note_made(plan.filled)
        for namespace, puts in plan.puts.items():
            if (room := self._catalog.room(namespace)) is not None:
                self._write_room(room, [_change(key, put, documents) for key, put in puts.items()])
        self._catalog.note_filled(plan.filled)

    def _write_room(self, room: Room, changes: Sequence[Change]) -> None:
        """Write puts and deletes of a namespace: the one place where all of them pass."""
        lives = [change.ttl for change in changes if change.ttl]
        if lives:
            self._catalog.note_timed(room.namespace, self._now + min(lives))
        has_deletes = not all(map(_is_put, changes))
        if has_deletes and room.would_be_empty(changes, self._now):
            self._catalog.note_emptied([room.namespace])
        room.write(changes, self._now)
        # Again, because another process may have deleted other items meanwhile.
        if has_deletes and self._catalog.is_shared and room.is_empty(self._now):
            self._catalog.note_emptied([room.namespace])


def _change(key: str, put: PlannedPut, documents: Vectors) -> Change:
    vectors = [documents[text] for text in put.texts]
    return Change(key, put.value_json, vectors, put.ttl, put.paths)


def _state(updated_at: datetime | None) -> str:
    return "not to exist" if updated_at is None else f"as of {updated_at.isoformat()}"


def _is_put(change: Change) -> bool:
    return change.value_json is not None


def _item(namespace: Namespace, item: StoredItem) -> Item:
    return Item(
        value=item.value(),
        key=item.key,
        namespace=namespace,
        created_at=stamp_time(item.created),
        updated_at=stamp_time(item.revision),
    )


def _search_item(namespace: Namespace, item: StoredItem, score: float | None) -> SearchItem:
    return SearchItem(
        namespace=namespace,
        key=item.key,
        value=item.value(),
        created_at=stamp_time(item.created),
        updated_at=stamp_time(item.revision),
        score=score if score is None else min(1.0, max(-1.0, score)),
    )
