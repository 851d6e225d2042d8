"""StoredMemories: everything that can be done with memories without a chat model."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from langgraph.store.base import BaseStore, GetOp, Item, Op

from langgraph_memskill.closing import Closing
from langgraph_memskill.direct_changes import forgetting, forgotten, saved, saving
from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.errors import ConfigError, MemoryNotFoundError
from langgraph_memskill.evolution.files import EvolutionFiles
from langgraph_memskill.memory_changes import MemoryChanges
from langgraph_memskill.memory_checks import MemoryChecks
from langgraph_memskill.memory_feedback import MemoryFeedback
from langgraph_memskill.memory_lifetimes import MemoryLifetimes
from langgraph_memskill.memory_places import ClosableStore
from langgraph_memskill.memory_transfer import MemoryTransfer
from langgraph_memskill.namespaces import (
    INTERNAL_LABEL,
    Namespace,
    NamespaceTemplate,
    current_runtime,
)
from langgraph_memskill.records import Memory, MemoryAction
from langgraph_memskill.search.hybrid import HybridSearch
from langgraph_memskill.search.settings import SearchSettings
from langgraph_memskill.search.wanted import Filter, Wanted
from langgraph_memskill.stores.applying import Cause, MemoryWriter
from langgraph_memskill.stores.changes import ChangeLog
from langgraph_memskill.stores.items import (
    MemorySearch,
    aread_items,
    checked_query,
    memory_of,
    read_items,
)
from langgraph_memskill.stores.tombstones import (
    TOMBSTONES,
    deleted_memories,
    deleted_memory,
    find_tombstone,
    get_tombstone,
    is_tombstone,
)
from langgraph_memskill.threads import current_thread_id
from langgraph_memskill.traces.rewards import RewardRecorder
from langgraph_memskill.writing.duplicates import DuplicateMerger
from langgraph_memskill.writing.memory_usage import MemoryUsage

_ALL_NAMESPACES = 1_000_000


class StoredMemories(
    MemoryChanges,
    MemoryChecks,
    MemoryFeedback,
    MemoryLifetimes,
    MemoryTransfer,
    MemoryUsage,
    Closing,
):
    """The memories of all users in one store.

    `user_id` (and `scope`, for other placeholders of the namespace) may be left out inside of a
    graph run whose context, authenticated user or config holds them. An operation on a memory id
    looks through all namespaces if no user is named, so pass `user_id` when acting for a user.
    """

    def __init__(
        self,
        store: BaseStore,
        encoder: TextEncoder,
        namespace: Sequence[str],
        top_k: int,
        *,
        search: SearchSettings | None = None,
        owns_store: bool = False,
        change_log: ChangeLog | str | Path | None = None,
        rewards: RewardRecorder | None = None,
        evolution: EvolutionFiles | None = None,
    ) -> None:
        """Work on a store.

        Args:
            store: Any LangGraph store.
            encoder: Ranks the memories of a store without an embedding index.
            namespace: Template of the memories' namespace.
            top_k: Memories that `recall` finds unless it is told otherwise, >= 1.
            search: How `recall` searches unless it is told otherwise; None takes the defaults.
            owns_store: Whether closing this closes the store.
            change_log: The store's change log, or the file that it is in; None keeps one in memory
                for as long as the store object lives.
            rewards: Where rewards go besides the store; None is nowhere.
            evolution: Where hard cases are kept; None keeps them in this process.
        """
        self._rewards = rewards
        self._evolution = EvolutionFiles() if evolution is None else evolution
        self.store = store
        self._owns_store = owns_store
        self.encoder = encoder
        self.namespace = NamespaceTemplate(namespace)
        self._top_k = top_k
        self._owns_log = isinstance(change_log, str | Path)
        log = ChangeLog(change_log) if isinstance(change_log, str | Path) else change_log
        self._writer = MemoryWriter(store, log)
        self._writer.recover()
        self._search = MemorySearch(store, encoder)
        settings = SearchSettings() if search is None else search
        self._hybrid = HybridSearch(store, encoder, settings, log=self._writer.log)

    def namespace_for(
        self, user_id: str | int | None = None, scope: Mapping[str, object] | None = None
    ) -> Namespace:
        """The namespace of a user's memories.

        Raises:
            NamespaceError: If a placeholder has no value.
        """
        return self.namespace.resolve(user_id=user_id, scope=scope, runtime=current_runtime())

    def recall(
        self,
        query: str,
        *,
        user_id: str | int | None = None,
        scope: Mapping[str, object] | None = None,
        k: int | None = None,
        filter: Filter | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        search: SearchSettings | None = None,
        as_of: datetime | None = None,
    ) -> list[Memory]:
        """Find the memories that fit a query best, best first.

        Args:
            query: What is asked for; not blank.
            user_id: Whose memories.
            scope: Values of the namespace's other placeholders.
            k: How many at most, >= 1; None takes the settings' `top_k`.
            filter: Only memories whose fields pass (see `search.wanted.Wanted.of`), such as
                `{"model": "extractive"}` or `{"$created_at": {"$gte": "2026-01-31"}}`.
            since: Only those written or changed at this time or later (with a time zone).
            until: Only those last changed before this time.
            search: How to search; None takes the settings' `search`.
            as_of: Find them as they were at this time (with a time zone), by meaning alone; None is
                now.

        Returns:
            Memories; `score` is the cosine similarity to the query, None where only the words or a
            neighbour led to a memory.

        Raises:
            ConfigError: If the query is blank, k is below 1, the filter is not understood, a time
                has no time zone, or `as_of` is combined with one of the four before it.
        """
        namespace, limit = self.namespace_for(user_id, scope), self._limit(k)
        wanted = Wanted.of(filter, since=since, until=until)
        if as_of is not None:
            _refuse_both(wanted, search)
            return self._recall_past(namespace, checked_query(query), limit, as_of)
        return self._hybrid.search(
            namespace, checked_query(query), limit, wanted=wanted, settings=search
        )

    async def arecall(
        self,
        query: str,
        *,
        user_id: str | int | None = None,
        scope: Mapping[str, object] | None = None,
        k: int | None = None,
        filter: Filter | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        search: SearchSettings | None = None,
        as_of: datetime | None = None,
    ) -> list[Memory]:
        """Like `recall`, without blocking the event loop."""
        namespace, limit = self.namespace_for(user_id, scope), self._limit(k)
        wanted = Wanted.of(filter, since=since, until=until)
        if as_of is not None:
            _refuse_both(wanted, search)
            return await self._arecall_past(namespace, checked_query(query), limit, as_of)
        return await self._hybrid.asearch(
            namespace, checked_query(query), limit, wanted=wanted, settings=search
        )

    def memories(
        self, *, user_id: str | int | None = None, scope: Mapping[str, object] | None = None
    ) -> list[Memory]:
        """All memories of a user."""
        return self._search.read_all(self.namespace_for(user_id, scope))

    async def amemories(
        self, *, user_id: str | int | None = None, scope: Mapping[str, object] | None = None
    ) -> list[Memory]:
        """Like `memories`, without blocking the event loop."""
        return await self._search.aread_all(self.namespace_for(user_id, scope))

    def forgotten(
        self, *, user_id: str | int | None = None, scope: Mapping[str, object] | None = None
    ) -> list[Memory]:
        """All deleted memories of a user, with their history."""
        namespace = self.namespace_for(user_id, scope)
        return deleted_memories(read_items(self.store, TOMBSTONES), namespace)

    async def aforgotten(
        self, *, user_id: str | int | None = None, scope: Mapping[str, object] | None = None
    ) -> list[Memory]:
        """Like `forgotten`, without blocking the event loop."""
        namespace = self.namespace_for(user_id, scope)
        return deleted_memories(await aread_items(self.store, TOMBSTONES), namespace)

    def get(self, memory_id: str, *, user_id: str | int | None = None) -> Memory:
        """One memory.

        Raises:
            MemoryNotFoundError: If there is none with this id.
        """
        return self._find(memory_id, user_id)

    async def aget(self, memory_id: str, *, user_id: str | int | None = None) -> Memory:
        """Like `get`, without blocking the event loop."""
        return await self._afind(memory_id, user_id)

    def save(
        self,
        content: str,
        *,
        memory_id: str | None = None,
        user_id: str | int | None = None,
        scope: Mapping[str, object] | None = None,
        merge: bool = False,
    ) -> Memory:
        """Write a memory as it is, without a model.

        Args:
            content: Its text; not blank.
            memory_id: An existing memory to change; None makes a new one.
            user_id: Whose memory.
            scope: Values of the namespace's other placeholders.
            merge: Whether a memory that says the same already is taken instead of a new one.

        Returns:
            The memory as it is now.

        Raises:
            ConfigError: If the content is blank.
            MemoryNotFoundError: If `memory_id` names none.
        """
        namespace, action = self.namespace_for(user_id, scope), saving(content, memory_id)
        merger = DuplicateMerger(self._search) if merge else None
        return saved(self._writer.apply(namespace, [action], _cause("tool"), merger=merger), action)

    async def asave(
        self,
        content: str,
        *,
        memory_id: str | None = None,
        user_id: str | int | None = None,
        scope: Mapping[str, object] | None = None,
        merge: bool = False,
    ) -> Memory:
        """Like `save`, without blocking the event loop."""
        namespace, action = self.namespace_for(user_id, scope), saving(content, memory_id)
        merger = DuplicateMerger(self._search) if merge else None
        return saved(
            await self._writer.aapply(namespace, [action], _cause("tool"), merger=merger), action
        )

    def forget(self, memory_id: str, *, user_id: str | int | None = None) -> MemoryAction:
        """Delete a memory; its history stays readable.

        Returns:
            The applied action, with the deleted content in `previous`.

        Raises:
            MemoryNotFoundError: If there is none with this id.
        """
        namespace = self._find(memory_id, user_id).namespace
        applied = self._writer.apply(namespace, [forgetting(memory_id)], _cause("forget"))
        return forgotten(applied, memory_id)

    async def aforget(self, memory_id: str, *, user_id: str | int | None = None) -> MemoryAction:
        """Like `forget`, without blocking the event loop."""
        namespace = (await self._afind(memory_id, user_id)).namespace
        action = forgetting(memory_id)
        return forgotten(
            await self._writer.aapply(namespace, [action], _cause("forget")), memory_id
        )

    def close(self) -> None:
        """Close the store and the change log if they were opened for this."""
        self._stop_sweeping()
        if self._owns_store and isinstance(self.store, ClosableStore):
            self.store.close()
        if self._owns_log:
            self.change_log.close()
        self._evolution.close()

    def _limit(self, k: int | None) -> int:
        limit = self._top_k if k is None else k
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise ConfigError(f"k={k!r} must be a whole number of at least 1")
        return limit

    def _find(self, memory_id: str, user_id: str | int | None, *, deleted: bool = False) -> Memory:
        places = self._known_places(user_id)
        lookups = _tombstone_lookups(memory_id, places) if deleted else []
        if places is None:
            prefix = self.namespace.literal_prefix
            places = self.store.list_namespaces(prefix=prefix or None, limit=_ALL_NAMESPACES)
        live = [GetOp(place, memory_id) for place in places if place[0] != INTERNAL_LABEL]
        return _first(self.store.batch([*live, *lookups]), memory_id)

    async def _afind(
        self, memory_id: str, user_id: str | int | None, *, deleted: bool = False
    ) -> Memory:
        places = self._known_places(user_id)
        lookups = _tombstone_lookups(memory_id, places) if deleted else []
        if places is None:
            prefix = self.namespace.literal_prefix
            places = await self.store.alist_namespaces(prefix=prefix or None, limit=_ALL_NAMESPACES)
        live = [GetOp(place, memory_id) for place in places if place[0] != INTERNAL_LABEL]
        return _first(await self.store.abatch([*live, *lookups]), memory_id)

    def _known_places(self, user_id: str | int | None) -> list[Namespace] | None:
        if user_id is None and self.namespace.names:
            return None
        return [self.namespace_for(user_id)]


def _refuse_both(wanted: Wanted, search: SearchSettings | None) -> None:
    if wanted.filter is not None or search is not None:
        raise ConfigError("as_of cannot be combined with filter, since, until or search")


def _tombstone_lookups(memory_id: str, places: Sequence[Namespace] | None) -> list[Op]:
    if places is None:  # the namespace that a memory was deleted from may be empty by now
        return [find_tombstone(memory_id)]
    return [get_tombstone(place, memory_id) for place in places]


def _first(found: Sequence[object], memory_id: str) -> Memory:
    for entry in found:
        item = entry[0] if isinstance(entry, list) and entry else entry
        if isinstance(item, Item):
            return deleted_memory(item) if is_tombstone(item) else memory_of(item)
    raise MemoryNotFoundError(f"there is no memory with the id {memory_id!r}")


def _cause(kind: str) -> Cause:
    return Cause(kind=kind, thread_id=current_thread_id())
