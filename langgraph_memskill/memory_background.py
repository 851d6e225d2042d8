"""Remembering after the agent has answered: queued durably first, then read in a thread."""

import asyncio
from abc import ABC, abstractmethod
from dataclasses import replace

from langgraph_memskill.background import BackgroundWriter
from langgraph_memskill.construction_runs import QUEUED, ConstructionRuns
from langgraph_memskill.input import Rememberable
from langgraph_memskill.namespaces import Namespace
from langgraph_memskill.records import FailedSpan, Span
from langgraph_memskill.stores.pending import PendingSpans
from langgraph_memskill.threads import current_thread_id


class BackgroundRemembering(ABC):
    """The part of `MemSkillMemory` that remembers in the background."""

    _pending: PendingSpans
    _runs: ConstructionRuns
    _background: BackgroundWriter

    def remember_later(self, content: Rememberable, namespace: Namespace) -> str:
        """Queue content durably and remember it in the background; `flush` waits for it.

        Args:
            content: As in `remember`.
            namespace: Whose memories, as `namespace_for` gives it.

        Returns:
            The episode id.
        """
        episode_id, queued = self._queued(content, namespace)
        self._pending.add(queued)
        self._background.signal(namespace)
        return episode_id

    async def aremember_later(self, content: Rememberable, namespace: Namespace) -> str:
        """Like `remember_later`, without blocking the event loop."""
        episode_id, queued = self._queued(content, namespace)
        await self._pending.aadd(queued)
        self._background.signal(namespace)
        return episode_id

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until the background writer has tried everything that it was given.

        Args:
            timeout_s: Seconds to wait at most; None waits as long as it takes.

        Returns:
            Whether it is done.
        """
        return self._background.flush(timeout_s)

    async def aflush(self, timeout_s: float | None = None) -> bool:
        """Like `flush`, without blocking the event loop."""
        return await asyncio.to_thread(self.flush, timeout_s)

    @abstractmethod
    def _episode(self, content: Rememberable, time: str | None) -> tuple[str, list[Span]]:
        """Cut content into the numbered spans of a new episode."""

    def _queued(self, content: Rememberable, namespace: Namespace) -> tuple[str, list[FailedSpan]]:
        episode_id, spans = self._episode(content, None)
        queued = FailedSpan(
            span=spans[0],
            namespace=namespace,
            reason=QUEUED,
            attempts=0,
            thread_id=current_thread_id(),
        )
        return episode_id, [replace(queued, span=span) for span in spans]

    def _drain_queued(self, namespace: Namespace) -> None:
        waiting = self._pending.waiting(namespace)
        self._runs.drain([entry for entry in waiting if entry.reason == QUEUED])
