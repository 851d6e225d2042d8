"""What can be done with the changes of memories: history, undo, the past, purging."""

import asyncio
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime

from langgraph.store.base import BaseStore

from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.errors import (
    ConfigError,
    EvolutionError,
    MemoryNotFoundError,
    StoreError,
    UndoError,
)
from langgraph_memskill.evolution.files import EvolutionFiles
from langgraph_memskill.namespaces import Namespace, NamespaceTemplate
from langgraph_memskill.records import Change, Memory, MemoryVersion
from langgraph_memskill.stores.applying import MemoryWriter
from langgraph_memskill.stores.change_history import versions_of
from langgraph_memskill.stores.changes import ChangeLog
from langgraph_memskill.stores.items import MemorySearch, aread_items, read_items
from langgraph_memskill.stores.past import checked_time, memories_at, rank_past
from langgraph_memskill.stores.purging import Purger
from langgraph_memskill.stores.tombstones import TOMBSTONES, deleted_memories
from langgraph_memskill.stores.undoing import undo_order
from langgraph_memskill.threads import current_thread_id
from langgraph_memskill.traces.rewards import RewardRecorder

_CAUSES_OF_MANY = {"import", "doctor", "undo"}
"""Causes of runs that may have touched several users at once."""


class MemoryChanges(ABC):
    """The part of `StoredMemories` that works on the change log."""

    store: BaseStore
    encoder: TextEncoder
    namespace: NamespaceTemplate
    _writer: MemoryWriter
    _search: MemorySearch
    _rewards: RewardRecorder | None
    _evolution: EvolutionFiles

    @property
    def change_log(self) -> ChangeLog:
        """The log of all changes of this store's memories."""
        return self._writer.log

    def history(
        self, memory_id: str, *, user_id: str | int | None = None
    ) -> tuple[MemoryVersion, ...]:
        """All versions of a memory, oldest first; also of one that was deleted or expired.

        Raises:
            MemoryNotFoundError: If there never was one with this id, or it was purged.
        """
        known = self._versions(memory_id, user_id)
        return known or self._find(memory_id, user_id, deleted=True).history

    async def ahistory(
        self, memory_id: str, *, user_id: str | int | None = None
    ) -> tuple[MemoryVersion, ...]:
        """Like `history`, without blocking the event loop."""
        places = self._known_places(user_id)
        known = await asyncio.to_thread(self._versions, memory_id, user_id, places)
        return known or (await self._afind(memory_id, user_id, deleted=True)).history

    def changes(
        self,
        *,
        user_id: str | int | None = None,
        memory_id: str | None = None,
        run_id: str | None = None,
        limit: int | None = None,
    ) -> list[Change]:
        """The logged changes, newest last.

        Args:
            user_id: Only those of this user's memories; None takes all users'.
            memory_id: Only those of this memory.
            run_id: Only those of this run (an episode id, or the run id of an undo).
            limit: Only the newest so many, >= 1.

        Raises:
            ConfigError: If the limit is below 1.
        """
        if limit is not None and limit < 1:
            raise ConfigError(f"limit={limit!r} must be at least 1")
        places = self._known_places(user_id)
        return self._entries(places, memory_id=memory_id, run_id=run_id)[-(limit or 0) :]

    async def achanges(
        self,
        *,
        user_id: str | int | None = None,
        memory_id: str | None = None,
        run_id: str | None = None,
        limit: int | None = None,
    ) -> list[Change]:
        """Like `changes`, without blocking the event loop."""
        return await asyncio.to_thread(
            self.changes, user_id=user_id, memory_id=memory_id, run_id=run_id, limit=limit
        )

    def undo(
        self, change_or_run_id: str, *, user_id: str | int | None = None
    ) -> tuple[Change, ...]:
        """Take back one change, or all changes of a run, or an undo.

        Args:
            change_or_run_id: A change id, or a run's: the episode id of a `remember`, the run id of
                a load, an import or a repair (of all users that it touched), or the `run_id` of
                what this returned.
            user_id: Whose memories; without it those of all users are looked through.

        Returns:
            The changes that took them back. They share a run id, by which they can be undone.

        Raises:
            UndoError: If a later change that still holds is in the way (the message names it), it
                was undone or purged already, or there is no such change. Nothing is changed then.
        """
        places, thread = self._known_places(user_id), current_thread_id()
        wanted = self._wanted(change_or_run_id, places)
        if not wanted and places is not None:
            # A log in memory knows only what happened since the program started.
            self._writer.reconcile(places[0], self._unlogged_ids(places[0]))
            wanted = self._wanted(change_or_run_id, places)
        runs = _by_namespace(change_or_run_id, wanted)
        self._check_all(runs)
        run_id = uuid.uuid4().hex
        for namespace, changes in runs.items():
            self._writer.undo(namespace, changes, thread, run_id)
        return tuple(self._entries(places, run_id=run_id))

    async def aundo(
        self, change_or_run_id: str, *, user_id: str | int | None = None
    ) -> tuple[Change, ...]:
        """Like `undo`, without blocking the event loop."""
        places, thread = self._known_places(user_id), current_thread_id()
        wanted = await asyncio.to_thread(self._wanted, change_or_run_id, places)
        if not wanted and places is not None:
            ids = await self._aunlogged_ids(places[0])
            await self._writer.areconcile(places[0], ids)
            wanted = await asyncio.to_thread(self._wanted, change_or_run_id, places)
        runs = _by_namespace(change_or_run_id, wanted)
        await asyncio.to_thread(self._check_all, runs)
        run_id = uuid.uuid4().hex
        for namespace, changes in runs.items():
            await self._writer.aundo(namespace, changes, thread, run_id)
        return tuple(await asyncio.to_thread(lambda: self._entries(places, run_id=run_id)))

    def purge(self, memory_id: str, *, user_id: str | int | None = None) -> None:
        """Remove a memory with all its versions, bytes included; it cannot be undone.

        Gone are the item, its tombstone, its texts in the change log (the entries stay, without
        texts), its texts in the folder's traces and hard cases, the queued spans that it was made
        from, and evolutions of the skills that are not at their end and show it. In a
        memory's folder the files are rewritten, so that the text is in none of them. What the text
        was copied into elsewhere (a checkpointer, a server, a backup) is not reached.

        Raises:
            MemoryNotFoundError: If there never was one with this id.
            StoreError: If something cannot be removed; purge again then.
        """
        logged = self._entries(self._known_places(user_id), memory_id=memory_id)
        if logged:
            namespace = logged[-1].namespace
        else:
            namespace = self._find(memory_id, user_id, deleted=True).namespace
        self._purge_copies([memory_id])
        Purger(self._writer).purge(namespace, [memory_id])

    async def apurge(self, memory_id: str, *, user_id: str | int | None = None) -> None:
        """Like `purge`, without blocking the event loop."""
        places = self._known_places(user_id)
        logged = await asyncio.to_thread(self._entries, places, memory_id=memory_id)
        if logged:
            namespace = logged[-1].namespace
        else:
            namespace = (await self._afind(memory_id, user_id, deleted=True)).namespace
        await asyncio.to_thread(self._purge_copies, [memory_id])
        await Purger(self._writer).apurge(namespace, [memory_id])

    def purge_user(
        self, user_id: str | int | None = None, *, scope: Mapping[str, object] | None = None
    ) -> int:
        """Purge all memories of a user, his hard cases, and everything that is queued for him.

        Traces with texts lose those of the steps that wrote the memories; they do not tell whose
        the other steps are.

        The marks that tell which messages of a thread were read stay: they hold ids only, and
        without them the thread's next run would remember everything again.

        Returns:
            How many memories were purged, deleted ones included.

        Raises:
            StoreError: If something cannot be removed; purge again then.
        """
        namespace = self.namespace_for(user_id, scope)
        ids = self._logged_ids(namespace) + self._unlogged_ids(namespace)
        self._purge_copies(ids, namespace)
        Purger(self._writer).purge(namespace, ids, all_spans=True)
        return len(ids)

    async def apurge_user(
        self, user_id: str | int | None = None, *, scope: Mapping[str, object] | None = None
    ) -> int:
        """Like `purge_user`, without blocking the event loop."""
        namespace = self.namespace_for(user_id, scope)
        ids = await asyncio.to_thread(self._logged_ids, namespace)
        ids += await self._aunlogged_ids(namespace)
        await asyncio.to_thread(self._purge_copies, ids, namespace)
        await Purger(self._writer).apurge(namespace, ids, all_spans=True)
        return len(ids)

    def _purge_copies(self, ids: Sequence[str], user: Namespace | None = None) -> None:
        """First of all, so that a memory whose copies cannot be cleaned can be purged again."""
        if self._rewards is not None:
            self._rewards.purge(ids)
        try:
            self._evolution.purge(ids, user)
        except EvolutionError as error:
            raise StoreError(
                f"the texts of purged memories may still be among the hard cases: {error}. Purge "
                "again"
            ) from error

    @abstractmethod
    def namespace_for(
        self, user_id: str | int | None = None, scope: Mapping[str, object] | None = None
    ) -> Namespace:
        """The namespace of a user's memories."""

    @abstractmethod
    def _find(self, memory_id: str, user_id: str | int | None, *, deleted: bool = False) -> Memory:
        """Find a memory in the store."""

    @abstractmethod
    async def _afind(
        self, memory_id: str, user_id: str | int | None, *, deleted: bool = False
    ) -> Memory:
        """Like `_find`, without blocking the event loop."""

    @abstractmethod
    def _known_places(self, user_id: str | int | None) -> list[Namespace] | None:
        """The namespaces to look in; None for all."""

    def _recall_past(self, namespace: Namespace, query: str, k: int, at: datetime) -> list[Memory]:
        time = checked_time(at)
        live = self._search.read_all(namespace)
        deleted = deleted_memories(read_items(self.store, TOMBSTONES), namespace)
        past = memories_at(time, self.change_log, namespace, live, deleted)
        return rank_past(self.encoder, query, past, k)

    async def _arecall_past(
        self, namespace: Namespace, query: str, k: int, at: datetime
    ) -> list[Memory]:
        time = checked_time(at)
        live = await self._search.aread_all(namespace)
        deleted = deleted_memories(await aread_items(self.store, TOMBSTONES), namespace)
        past = await asyncio.to_thread(memories_at, time, self.change_log, namespace, live, deleted)
        # Filling the encoder's cache in its own thread makes the ranking below cheap.
        await self.encoder.aembed_documents([query, *(memory.content for memory in past)])
        return rank_past(self.encoder, query, past, k)

    def _versions(
        self,
        memory_id: str,
        user_id: str | int | None,
        places: Sequence[Namespace] | None = None,
    ) -> tuple[MemoryVersion, ...]:
        known = self._known_places(user_id) if places is None else places
        logged = self._entries(known, memory_id=memory_id)
        own = [change for change in logged if change.namespace == logged[-1].namespace]
        kept = [change for change in own if change.purged_at is None]
        if own and not kept:
            raise MemoryNotFoundError(
                f"the memory {memory_id!r} was purged at {own[-1].at.isoformat()}: its texts are "
                "gone"
            )
        return versions_of(kept)

    def _entries(
        self,
        places: Sequence[Namespace] | None,
        *,
        memory_id: str | None = None,
        run_id: str | None = None,
        change_id: str | None = None,
    ) -> list[Change]:
        """The log's entries that lie where this may look."""
        [place] = [None] if places is None else places
        found = self.change_log.entries(
            place, memory_id=memory_id, run_id=run_id, change_id=change_id
        )
        prefix = self.namespace.literal_prefix
        return [change for change in found if change.namespace[: len(prefix)] == prefix]

    def _wanted(self, key: str, places: Sequence[Namespace] | None) -> list[Change]:
        return self._entries(places, change_id=key) or self._entries(places, run_id=key)

    def _check_all(self, runs: Mapping[Namespace, Sequence[Change]]) -> None:
        """Refuse what cannot be undone for one user before it is undone for another."""
        for namespace, changes in runs.items() if len(runs) > 1 else ():
            ids = {change.memory_id for change in changes}
            logged = {key: self.change_log.entries(namespace, memory_id=key) for key in ids}
            undo_order(changes, logged)

    def _logged_ids(self, namespace: Namespace) -> list[str]:
        last = self.change_log.last(namespace)
        return [memory_id for memory_id, change in last.items() if change.purged_at is None]

    def _unlogged_ids(self, namespace: Namespace) -> list[str]:
        memories = self._search.read_all(namespace)
        memories += deleted_memories(read_items(self.store, TOMBSTONES), namespace)
        return self._unlogged(namespace, memories)

    async def _aunlogged_ids(self, namespace: Namespace) -> list[str]:
        memories = await self._search.aread_all(namespace)
        memories += deleted_memories(await aread_items(self.store, TOMBSTONES), namespace)
        return await asyncio.to_thread(self._unlogged, namespace, memories)

    def _unlogged(self, namespace: Namespace, memories: Sequence[Memory]) -> list[str]:
        logged = set(self._logged_ids(namespace))
        ids = dict.fromkeys(memory.id for memory in memories)
        return [memory_id for memory_id in ids if memory_id not in logged]


def _by_namespace(key: str, wanted: Sequence[Change]) -> dict[Namespace, list[Change]]:
    found: dict[Namespace, list[Change]] = {}
    for change in wanted:
        found.setdefault(change.namespace, []).append(change)
    if not found:
        raise UndoError(f"no change and no run has the id {key!r}: changes() lists them")
    if len(found) > 1 and {change.cause for change in wanted} - _CAUSES_OF_MANY:
        raise UndoError(f"several users have changes with the id {key!r}: name one, user_id=...")
    return found
