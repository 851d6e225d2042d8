"""One batch of store operations: sorted into kinds, embedded by the store, then carried out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from langgraph.store.base import (
    GetOp,
    Item,
    ListNamespacesOp,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    validate_op_namespace,
)
from numpy.typing import NDArray

from langgraph_memskill.errors import StoreError
from langgraph_memskill.stores.catalog import Catalog
from langgraph_memskill.stores.codec import StoredItem, encode_value, stamp_time
from langgraph_memskill.stores.filters import can_raise, matches, namespace_matches
from langgraph_memskill.stores.indexing import Indexer, Vectors
from langgraph_memskill.stores.nearest import Scored, nearest, score_all
from langgraph_memskill.stores.room import Change, Room

Namespace = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlannedPut:
    """The last put or delete of a key in a batch."""

    value_json: str | None
    texts: Sequence[str]


@dataclass(slots=True)
class Plan:
    """A batch, sorted. Positions are those of the operations in the batch."""

    num_ops: int = 0
    gets: dict[Namespace, list[tuple[int, str]]] = field(default_factory=dict)
    searches: list[tuple[int, SearchOp]] = field(default_factory=list)
    listings: list[tuple[int, ListNamespacesOp]] = field(default_factory=list)
    puts: dict[Namespace, dict[str, PlannedPut]] = field(default_factory=dict)
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


def make_plan(ops: Sequence[Op], indexer: Indexer | None) -> Plan:
    """Check the operations and sort them.

    Raises:
        InvalidNamespaceError: If a namespace label is unusable.
        StoreError: If a key is no text or a value cannot be stored.
        ValueError: If something is no store operation.
    """
    plan = Plan(len(ops))
    last_puts: dict[tuple[Namespace, str], PutOp] = {}
    for position, op in enumerate(ops):
        validate_op_namespace(op)
        if isinstance(op, GetOp):
            plan.gets.setdefault(tuple(op.namespace), []).append((position, _key(op.key)))
        elif isinstance(op, SearchOp):
            plan.searches.append((position, op))
        elif isinstance(op, ListNamespacesOp):
            plan.listings.append((position, op))
        elif isinstance(op, PutOp):
            last_puts[tuple(op.namespace), _key(op.key)] = op
        else:
            raise ValueError(f"Unknown operation type: {type(op)}")
    for (namespace, key), op in last_puts.items():
        value_json = None if op.value is None else encode_value(op.value, namespace, key)
        texts = indexer.texts(op) if indexer else []
        plan.puts.setdefault(namespace, {})[key] = PlannedPut(value_json, texts)
        if value_json is not None:
            plan.filled.setdefault(namespace)
    return plan


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise StoreError(f"the key {key!r} is a {type(key).__name__}: keys are texts")
    return key


class Executor:
    """Carries plans out; its caller holds the connection's session."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def run(self, plan: Plan, documents: Vectors, queries: Vectors) -> list[Result]:
        """Read first, then write: reads see the state before the batch's writes.

        Args:
            plan: What to do.
            documents: The vector of each text of the plan.
            queries: The vector of each query; empty if the store has no index.

        Returns:
            One result an operation, None for a put or delete.
        """
        results: list[Result] = [None] * plan.num_ops
        self._catalog.refresh()
        for namespace, wanted in plan.gets.items():
            room = self._catalog.room(namespace)
            found = room.fetch([*{key: None for _, key in wanted}]) if room else {}
            for position, key in wanted:
                results[position] = _item(namespace, found[key]) if key in found else None
        for position, search in plan.searches:
            results[position] = self._search(search, queries)
        for position, listing in plan.listings:
            results[position] = self._list(listing)
        self._write(plan, documents)
        return results

    def _list(self, op: ListNamespacesOp) -> list[Namespace]:
        conditions = op.match_conditions or ()
        found = [
            room.namespace
            for room in self._catalog.rooms()
            if all(namespace_matches(room.namespace, condition) for condition in conditions)
            and self._catalog.is_filled(room)
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
            {room.namespace: _passing(room, op.filter) for room in rooms} if needs_all else None
        )
        if query is None:
            items = _candidates(rooms, op.filter, passing)
            chosen = (
                list(islice(items, op.offset, op.offset + op.limit))
                if passing is None
                else list(items)[op.offset : op.offset + op.limit]
            )
            return [_search_item(room.namespace, item, None) for room, item in chosen]
        return _ranked(rooms, op, query, passing)

    def _write(self, plan: Plan, documents: Vectors) -> None:
        groups = {
            namespace: [
                Change(key, put.value_json, [documents[text] for text in put.texts])
                for key, put in puts.items()
            ]
            for namespace, puts in plan.puts.items()
        }
        self._catalog.note_made(plan.filled)
        for namespace, changes in groups.items():
            room = self._catalog.room(namespace)
            if room is None:
                continue
            has_deletes = not all(map(_is_put, changes))
            if has_deletes and room.would_be_empty(changes):
                self._catalog.note_emptied([namespace])
            room.write(changes)
            # Again, because another process may have deleted other items meanwhile.
            if has_deletes and self._catalog.is_shared and room.is_empty():
                self._catalog.note_emptied([namespace])
        self._catalog.note_filled(plan.filled)


def _is_put(change: Change) -> bool:
    return change.value_json is not None


def _passing(room: Room, wanted: Mapping[str, Any] | None) -> list[StoredItem]:
    return [item for item in room.items() if not wanted or matches(item.value(), wanted)]


def _candidates(
    rooms: Iterable[Room],
    wanted: Mapping[str, Any] | None,
    passing: Mapping[Namespace, Sequence[StoredItem]] | None,
) -> Iterator[tuple[Room, StoredItem]]:
    for room in rooms:
        items = room.items() if passing is None else passing[room.namespace]
        for item in items:
            if passing is not None or not wanted or matches(item.value(), wanted):
                yield room, item


def _ranked(
    rooms: Sequence[Room],
    op: SearchOp,
    query: NDArray[np.float32],
    passing: Mapping[Namespace, Sequence[StoredItem]] | None,
) -> list[SearchItem]:
    end = op.offset + op.limit
    scored: list[tuple[Room, Scored]] = []
    for room in rooms:
        found = (
            nearest(room, query, end, op.filter)
            if passing is None
            else score_all(room, query, passing[room.namespace])
        )
        scored += [(room, one) for one in found]
    # Stable: among equal scores the older namespace comes first, then the older item.
    scored.sort(key=lambda pair: -pair[1].score)
    chosen = [
        _search_item(room.namespace, one.item, one.score)
        for room, one in scored[max(op.offset, 0) : max(end, 0)]
    ]
    if len(chosen) < op.limit:
        # InMemoryStore fills up with items that have no vectors, from the first one at any offset.
        unscored = (
            (room, item)
            for room, item in _candidates(rooms, op.filter, passing)
            if not item.num_vectors
        )
        for room, item in islice(unscored, op.limit - len(chosen)):
            chosen.append(_search_item(room.namespace, item, None))
    return chosen


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
