"""Locks by namespace, held by threads and by tasks alike."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from weakref import WeakValueDictionary

from langgraph_memskill.namespaces import Namespace

_POLL_S = 0.002


class _Lock:
    """A lock object that can be weakly referenced."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


class NamespaceLocks:
    """One lock a namespace: two writers of one user take turns, two users do not wait."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Namespace, _Lock] = WeakValueDictionary()
        self._guard = threading.Lock()

    def _get(self, namespace: Namespace) -> _Lock:
        with self._guard:
            return self._locks.setdefault(namespace, _Lock())

    @contextmanager
    def hold(self, namespace: Namespace) -> Iterator[None]:
        """Hold the namespace's lock in a thread."""
        entry = self._get(namespace)
        with entry.lock:
            yield

    @asynccontextmanager
    async def ahold(self, namespace: Namespace) -> AsyncIterator[None]:
        """Hold the namespace's lock in a task.

        It polls: waiting in a worker thread would leave the lock taken for ever if the task were
        cancelled at the wrong moment, and an asyncio lock knows only one event loop.
        """
        entry = self._get(namespace)
        while not entry.lock.acquire(blocking=False):
            await asyncio.sleep(_POLL_S)
        try:
            yield
        finally:
            entry.lock.release()
