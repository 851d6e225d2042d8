"""The work of a re-embedding (see reembedding.py): from one generation of vectors to the next."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial

from langgraph_memskill.stores.catalog import Catalog, Fingerprint
from langgraph_memskill.stores.codec import EXPIRES, StoredItem, item_of, primary_id, split_id
from langgraph_memskill.stores.connection import Connection
from langgraph_memskill.stores.indexing import Indexer, Vectors
from langgraph_memskill.stores.reembedding import (
    ProgressCallback,
    ReembedProgress,
    ReembedReport,
)
from langgraph_memskill.stores.room import Placed, Room, any_vector, vector_rows
from langgraph_memskill.stores.shelf import Row, Shelf

# After so many rounds in which others have written again, the rest is done while they wait.
_MOST_ROUNDS = 5

Hold = Callable[[], AbstractContextManager[None]]


@dataclass(slots=True)
class _Missing:
    """What a namespace lacks in the next generation."""

    items: list[tuple[Placed, StoredItem | None]] = field(default_factory=list)
    """Items to embed, each with its record of a former revision, if there is one."""
    moved: list[StoredItem] = field(default_factory=list)
    """Items that only live longer."""
    extra_ids: list[str] = field(default_factory=list)
    """Records that belong to no item any more."""
    num_done: int = 0

    @property
    def is_nothing(self) -> bool:
        return not (self.items or self.moved or self.extra_ids)


class Reembedding:
    """One run."""

    def __init__(
        self,
        connection: Connection,
        prefix: str,
        indexer: Indexer,
        batch_items: int,
        on_progress: ProgressCallback | None,
    ) -> None:
        self._connection = connection
        self._catalog = Catalog.of(connection, prefix)
        self._indexer = indexer
        self._batch_items = batch_items
        self._on_progress = on_progress
        self._target = Fingerprint(None, None)
        self._num_embedded = 0
        self._num_items = 0

    def run(self, *, force: bool) -> ReembedReport:
        """Embed anew what is missing, switch, and drop what is old."""
        with self._session(write=True):
            made = self._catalog.agree(None)
            if not self._is_needed(made, force=force):
                if self._catalog.begun is not None:
                    self._catalog.abandon()
            else:
                fields = json.dumps(self._indexer.fields)
                self._target = self._catalog.begin(self._indexer, fields)
        num_reused = 0
        was_needed = self._target.generation > 0
        if was_needed:
            num_reused = self._count()
            rounds = 0
            while not self._switch(waits_for_nobody=rounds >= _MOST_ROUNDS):
                rounds += 1
                self._go_round()
        self._drop_old()
        return ReembedReport(
            was_needed=was_needed,
            num_items=self._num_embedded,
            num_reused=num_reused,
            num_namespaces=len(self._catalog.rooms()),
            generation=self._catalog.agreed.generation,
        )

    def _is_needed(self, made: Fingerprint, *, force: bool) -> bool:
        if made.dims is None:
            return False
        is_same = made.dims == self._indexer.dims and made.embedding_name == self._indexer.name
        return force or not is_same or made.embedding_name is None

    @property
    def _is_over(self) -> bool:
        """Whether another process has finished this re-embedding."""
        return self._catalog.agreed.generation >= self._target.generation

    def _session(self, *, write: bool) -> AbstractContextManager[None]:
        return self._connection.session(write=write)

    def _rooms(self) -> Iterator[Room]:
        with self._session(write=False):
            self._catalog.refresh()
            namespaces = [room.namespace for room in self._catalog.rooms()]
        for namespace in namespaces:
            if (room := self._catalog.room(namespace)) is not None:
                yield room

    def _count(self) -> int:
        """Count what is to be done, and return how many items are done already."""
        num_reused = 0
        for room in self._rooms():
            with self._session(write=False):
                missing = self._missing(room)
            self._num_items += len(missing.items)
            num_reused += missing.num_done
        return num_reused

    def _go_round(self) -> None:
        """Do what is missing, others taking turns after each batch."""
        for room in self._rooms():
            with self._session(write=False):
                self._catalog.refresh()
                if self._is_over:
                    return
                missing = self._missing(room)
            self._make_up(room, missing, partial(self._session, write=True))

    def _switch(self, *, waits_for_nobody: bool) -> bool:
        """Switch if nothing is missing; or do what is missing, and switch, while others wait."""
        with self._session(write=True):
            self._catalog.refresh()
            if self._is_over:
                return True
            for room in self._catalog.rooms():
                missing = self._missing(room)
                if missing.is_nothing:
                    continue
                if not waits_for_nobody:
                    return False
                # Without telling: whoever is told may use the store, which is held here.
                self._on_progress = None
                self._make_up(room, missing, nullcontext)
            measured = self._indexer.is_normalised
            self._catalog.switch(self._target._replace(is_normalised=measured))
        return True

    def _drop_old(self) -> None:
        with self._session(write=False):
            self._catalog.refresh()
            names = self._catalog.old_vectors()
        for name in names:
            with self._session(write=True):
                self._connection.drop(name)

    def _missing(self, room: Room) -> _Missing:
        missing = _Missing()
        shelf = self._next(room).vectors()
        records, vector_ids = _contents(shelf)
        made = {(found.key, found.revision) for found in map(split_id, vector_ids)}
        revisions: dict[str, int] = {}
        primaries: dict[str, StoredItem] = {}
        for placed in room.placed(time.time_ns()):
            item = placed.item
            revisions[item.key] = item.revision
            former = None if placed.is_plain else records.get(item.key)
            if former is not None and former.created == item.created:
                primaries[item.key] = former
            if placed.is_plain and not item.num_vectors:
                continue
            if placed.is_plain:
                is_done = (item.key, item.revision) in made
            else:
                is_done = former is not None and former.revision == item.revision
            if not is_done:
                missing.items.append((placed, primaries.get(item.key)))
                continue
            missing.num_done += 1
            if former is not None and former.expires != item.expires:
                missing.moved.append(item)
        missing.extra_ids = [primary_id(key) for key in records if key not in primaries]
        for record_id in vector_ids:
            key, revision = split_id(record_id)
            if revisions.get(key) != revision:
                missing.extra_ids.append(record_id)
        return missing

    def _make_up(self, room: Room, missing: _Missing, hold: Hold) -> None:
        """Write what is missing; what others write meanwhile shows as missing the next time."""
        if missing.extra_ids or missing.moved:
            with hold():
                self._catalog.refresh()
                shelf = self._next(room).vectors()
                if not self._is_over and shelf is not None:
                    shelf.remove(missing.extra_ids)
                    shelf.write(
                        [
                            Row(primary_id(item.key), None, {EXPIRES: item.expires})
                            for item in missing.moved
                        ]
                    )
        for start in range(0, len(missing.items), self._batch_items):
            batch = missing.items[start : start + self._batch_items]
            texts = [self._texts(placed.item) for placed, _ in batch]
            distinct = list(dict.fromkeys(text for some in texts for text in some))
            vectors, _ = self._indexer.embed(distinct, [])
            with hold():
                self._catalog.refresh()
                if self._is_over:
                    return
                self._write(room, batch, texts, vectors)
            self._num_embedded += len(batch)
            if self._on_progress is not None:
                self._on_progress(
                    ReembedProgress(self._num_embedded, self._num_items, room.namespace)
                )

    def _write(
        self,
        room: Room,
        batch: Sequence[tuple[Placed, StoredItem | None]],
        texts: Sequence[Sequence[str]],
        vectors: Vectors,
    ) -> None:
        rows: list[Row] = []
        for (placed, former), some in zip(batch, texts, strict=True):
            own = [vectors[text] for text in some]
            owns_vector = bool(own) and not placed.is_plain
            item = replace(placed.item, num_vectors=len(own), owns_vector=owns_vector)
            rows += vector_rows(item, own)
            if placed.is_plain:
                _recount(room, placed.item, len(own))
            else:
                vector = own[0] if own else any_vector(self._indexer.dims)
                rows.append(Row(primary_id(item.key), vector, item.successor_metadata(former)))
        if rows:
            self._next(room).make_vectors().write(rows)

    def _texts(self, item: StoredItem) -> list[str]:
        if not item.num_vectors:
            return []
        return self._indexer.texts_of(item.value(), item.paths)

    def _next(self, room: Room) -> Room:
        return self._catalog.new_room(room.namespace, self._target.generation)


def _contents(shelf: Shelf | None) -> tuple[dict[str, StoredItem], list[str]]:
    """Read the primary records of a collection, by key, and the ids of its vector records."""
    records: dict[str, StoredItem] = {}
    vector_ids: list[str] = []
    for record in shelf.records() if shelf is not None else ():
        item = item_of(split_id(record.id), record.metadata)
        if item is None:
            vector_ids.append(record.id)
        else:
            records[item.key] = item
    return records, vector_ids


def _recount(room: Room, item: StoredItem, num_vectors: int) -> None:
    """Make an item outside of the vector collection name all vector records of both generations."""
    plain = room.plain()
    if plain is None or 0 < num_vectors <= item.num_vectors:
        return
    for record in plain.fetch([primary_id(item.key)]):
        present = item_of(split_id(record.id), record.metadata)
        if present is not None and present.revision == item.revision:
            counted = replace(present, num_vectors=num_vectors)
            plain.write([Row(record.id, None, counted.metadata())])
