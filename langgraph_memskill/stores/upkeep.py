"""What a doctor asks of a ChromaStore: what is in it, and what belongs to nothing."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langgraph_memskill.stores.catalog import Catalog
    from langgraph_memskill.stores.connection import Connection
    from langgraph_memskill.stores.room import Room


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStats:
    """What is in a store."""

    num_namespaces: int
    """Those with items."""
    num_items: int
    """Those that have not expired."""
    num_expired: int
    """Items that the next sweep deletes."""
    num_orphan_vectors: int
    """Vector records that belong to no item: a write was broken off. No search finds them."""
    num_old_collections: int
    """Vector collections that a re-embedding has left behind."""
    is_reembedding: bool
    """Whether a re-embedding was begun and has not been finished."""
    format_version: int
    generation: int
    """How many times the store was embedded anew."""
    dims: int | None
    """Width of the vectors; None if there have never been any."""
    embedding_name: str | None
    is_normalised: bool | None
    """Whether the embedding model itself gives vectors of length 1; None if not measured."""


class StoreUpkeep:
    """Inspection of a store, and removal of what belongs to nothing.

    Both go namespace by namespace, so that others get their turn in between.
    """

    __slots__ = ()

    _catalog: "Catalog"
    _clock: Callable[[], int]
    _connection: "Connection"

    def describe(self) -> StoreStats:
        """Count what is in the store; reads all of it.

        Raises:
            StoreError: If the place cannot be read.
        """
        from langgraph_memskill.stores.catalog import FORMAT_VERSION

        num_namespaces = num_items = num_expired = num_orphans = 0
        for room in self._rooms():
            with self._connection.session(write=False):
                census = room.census(self._clock())
            num_namespaces += bool(census.num_items)
            num_items += census.num_items
            num_expired += census.num_expired
            num_orphans += len(census.orphan_ids)
        with self._connection.session(write=False):
            self._catalog.refresh()
            made = self._catalog.agreed
            return StoreStats(
                num_namespaces=num_namespaces,
                num_items=num_items,
                num_expired=num_expired,
                num_orphan_vectors=num_orphans,
                num_old_collections=len(self._catalog.old_vectors()),
                is_reembedding=self._catalog.begun is not None,
                format_version=FORMAT_VERSION,
                generation=made.generation,
                dims=made.dims,
                embedding_name=made.embedding_name,
                is_normalised=made.is_normalised,
            )

    async def adescribe(self) -> StoreStats:
        """Count what is in the store, without blocking the event loop."""
        return await asyncio.to_thread(self.describe)

    def remove_orphans(self) -> int:
        """Remove vector records that belong to no item, and collections of former generations.

        On a Chroma server no other process may write meanwhile: what it has begun to write looks
        like an orphan.

        Returns:
            How many records and collections were removed.

        Raises:
            StoreError: If the place cannot be read or written.
        """
        num_removed = 0
        for room in self._rooms():
            with self._connection.session(write=True):
                orphan_ids = room.census(self._clock()).orphan_ids
                if orphan_ids and (vectors := room.vectors()) is not None:
                    vectors.remove(orphan_ids)
            num_removed += len(orphan_ids)
        with self._connection.session(write=True):
            self._catalog.refresh()
            for name in self._catalog.old_vectors():
                self._connection.drop(name)
                num_removed += 1
        return num_removed

    async def aremove_orphans(self) -> int:
        """Remove what belongs to nothing, without blocking the event loop."""
        return await asyncio.to_thread(self.remove_orphans)

    def _rooms(self) -> "Iterator[Room]":
        with self._connection.session(write=False):
            self._catalog.refresh()
            namespaces = [room.namespace for room in self._catalog.rooms()]
        for namespace in namespaces:
            if (room := self._catalog.room(namespace)) is not None:
                yield room
