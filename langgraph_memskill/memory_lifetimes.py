"""Memories that expire: the sweep that removes them and tells the log, again and again.

The times to live themselves are the store's, by LangGraph's rules: minutes from the last writing
or, unless that is turned off, from the last recall.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from langgraph.store.base import BaseStore, GetOp, TTLConfig

from langgraph_memskill.errors import ConfigError
from langgraph_memskill.namespaces import Namespace, NamespaceTemplate
from langgraph_memskill.stores.applying import MemoryWriter
from langgraph_memskill.stores.ttl import DEFAULT_SWEEP_MINUTES, Sweeper, lifetime

_AT_ONCE = 500


@runtime_checkable
class SweptStore(Protocol):
    """A store that deletes what has expired when it is told to: ChromaStore, PostgresStore."""

    def sweep_ttl(self) -> int:
        """Delete what has expired, and say how many items."""
        ...


class MemoryLifetimes:
    """The part of `StoredMemories` that knows that memories may expire."""

    store: BaseStore
    namespace: NamespaceTemplate
    _writer: MemoryWriter
    _sweeper: Sweeper | None = None

    def sweep(self) -> int:
        """Delete the memories that have expired, and enter that in the change log.

        Expired memories are never recalled or listed, swept or not. Their history stays readable,
        and undoing the log's entry (its cause is "ttl") brings one back.

        Returns:
            How many were deleted; 0 for a store without times to live.

        Raises:
            StoreError: If store or log cannot be read or written.
        """
        if not (self.store.supports_ttl and isinstance(self.store, SweptStore)):
            return 0
        num_swept = self.store.sweep_ttl()
        if num_swept:
            for namespace in self._writer.log.namespaces():
                if self.namespace.matches(namespace):
                    self._note_expired(namespace)
        return num_swept

    async def asweep(self) -> int:
        """Like `sweep`, without blocking the event loop."""
        return await asyncio.to_thread(self.sweep)

    def _start_sweeping(self) -> None:
        """Sweep now and then, until `_stop_sweeping`, if memories expire at all."""
        config = self.store.ttl_config or {}
        if config.get("default_ttl") is None:
            return
        minutes = config.get("sweep_interval_minutes") or DEFAULT_SWEEP_MINUTES
        self._sweeper = Sweeper(self.sweep)
        self._sweeper.start(lifetime(minutes, "sweep_interval_minutes") / 10**9)

    def _stop_sweeping(self) -> None:
        if self._sweeper is not None:
            self._sweeper.stop()

    def _note_expired(self, namespace: Namespace) -> None:
        last = self._writer.log.last(namespace)
        ids = [memory_id for memory_id, change in last.items() if change.after is not None]
        for start in range(0, len(ids), _AT_ONCE):
            gone = self._missing(namespace, ids[start : start + _AT_ONCE])
            if gone:
                self._writer.reconcile(namespace, gone)

    def _missing(self, namespace: Namespace, ids: Sequence[str]) -> list[str]:
        found = self.store.batch([GetOp(namespace, key, refresh_ttl=False) for key in ids])
        return [key for key, item in zip(ids, found, strict=True) if item is None]


def refuse_two_lifetimes(ttl: TTLConfig | None, store: BaseStore | None) -> None:
    """Refuse times to live beside a store that has its own.

    Raises:
        ConfigError: If both are given.
    """
    if ttl is not None and store is not None:
        raise ConfigError(
            f"ttl={dict(ttl)!r} is given beside a store: give it to the store instead, as in "
            "ChromaStore(..., ttl={'default_ttl': 60})"
        )
