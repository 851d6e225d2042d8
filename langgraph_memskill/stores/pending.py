"""The durable queue of spans that are still to be remembered, kept in the store itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from langgraph.store.base import BaseStore, Op, PutOp, SearchItem

from langgraph_memskill.namespaces import Namespace, internal_namespace
from langgraph_memskill.records import FailedSpan
from langgraph_memskill.state import dump, load
from langgraph_memskill.stores.items import aread_items, read_items

_NAMESPACE = internal_namespace("pending")


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingSpan:
    """A span in the queue."""

    failed: FailedSpan
    queued_at: datetime


class PendingSpans:
    """Spans that failed, or that a background writer has taken on.

    They live in the same store as the memories, in one namespace of their own: whatever keeps the
    memories keeps them, and another process can drain them after a crash.
    """

    def __init__(self, store: BaseStore) -> None:
        self._store = store

    def add(self, spans: Sequence[FailedSpan]) -> None:
        """Queue spans; one that is queued already takes the new reason and moves back."""
        if spans:
            self._store.batch(_puts(spans))

    async def aadd(self, spans: Sequence[FailedSpan]) -> None:
        """Like `add`, without blocking the event loop."""
        if spans:
            await self._store.abatch(_puts(spans))

    def remove(self, spans: Sequence[FailedSpan]) -> None:
        """Take spans out of the queue."""
        if spans:
            self._store.batch(_removals(spans))

    async def aremove(self, spans: Sequence[FailedSpan]) -> None:
        """Like `remove`, without blocking the event loop."""
        if spans:
            await self._store.abatch(_removals(spans))

    def waiting(self, namespace: Namespace | None = None) -> list[FailedSpan]:
        """The queued spans of a namespace, or of all, oldest first."""
        return _ordered(read_items(self._store, _NAMESPACE), namespace)

    async def awaiting(self, namespace: Namespace | None = None) -> list[FailedSpan]:
        """Like `waiting`, without blocking the event loop."""
        return _ordered(await aread_items(self._store, _NAMESPACE), namespace)


def _puts(spans: Sequence[FailedSpan]) -> list[Op]:
    now = datetime.now(UTC)
    return [
        PutOp(
            _NAMESPACE,
            span.span.id,
            dump(PendingSpan(failed=span, queued_at=now)),
            index=False,
        )
        for span in spans
    ]


def _removals(spans: Sequence[FailedSpan]) -> list[Op]:
    return [PutOp(_NAMESPACE, span.span.id, None) for span in spans]


def _ordered(items: Sequence[SearchItem], namespace: Namespace | None) -> list[FailedSpan]:
    pending = [load(PendingSpan, item.value) for item in items]
    wanted = [p for p in pending if namespace is None or p.failed.namespace == namespace]
    wanted.sort(key=lambda p: (p.queued_at, p.failed.span.index))
    return [p.failed for p in wanted]
