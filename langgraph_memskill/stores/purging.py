"""Removes memories with all that was ever said in them."""

import asyncio
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from langgraph.store.base import PutOp

from langgraph_memskill.namespaces import Namespace
from langgraph_memskill.records import Change, ChangeKind, FailedSpan, Memory
from langgraph_memskill.search.lexical import LexicalIndexes
from langgraph_memskill.stores.applying import MemoryWriter
from langgraph_memskill.stores.change_history import TICK
from langgraph_memskill.stores.change_plans import State, reads, state_of
from langgraph_memskill.stores.changes import Known
from langgraph_memskill.stores.pending import PendingSpans
from langgraph_memskill.stores.scrubbing import scrub_store
from langgraph_memskill.stores.tombstones import remove_tombstone

PURGE = "purge"


class Purger:
    """Purges memories: items, tombstones, texts in log and lexical index, queued spans, the bytes.

    The store goes first and the log second: so what a crash leaves can still be named and purged
    again.
    """

    def __init__(self, writer: MemoryWriter) -> None:
        self._writer = writer
        self._pending = PendingSpans(writer.store)

    def purge(self, namespace: Namespace, ids: Sequence[str], *, all_spans: bool = False) -> None:
        """Purge memories of a namespace.

        Args:
            namespace: Whose memories.
            ids: Which.
            all_spans: Drop every queued span of the namespace, not only the memories' sources.
        """
        with self._writer.hold(namespace):
            state = state_of(ids, self._writer.store.batch(reads(namespace, ids)))
            spans = None if all_spans else self._spans(namespace, ids, state)
            self._pending.remove(_chosen(self._pending.waiting(namespace), spans))
            self._writer.store.batch(_removals(namespace, ids))
            self._finish(namespace, ids)
        scrub_store(self._writer.store)

    async def apurge(
        self, namespace: Namespace, ids: Sequence[str], *, all_spans: bool = False
    ) -> None:
        """Like `purge`, without blocking the event loop."""

        async def do() -> None:
            state = state_of(ids, await self._writer.store.abatch(reads(namespace, ids)))
            spans = None
            if not all_spans:
                spans = await asyncio.to_thread(self._spans, namespace, ids, state)
            waiting = await self._pending.awaiting(namespace)
            await self._pending.aremove(_chosen(waiting, spans))
            await self._writer.store.abatch(_removals(namespace, ids))
            await asyncio.to_thread(self._finish, namespace, ids)

        await self._writer.ahold_and(namespace, do)
        await asyncio.to_thread(scrub_store, self._writer.store)

    def _spans(self, namespace: Namespace, ids: Sequence[str], state: State) -> set[str]:
        memories: list[Memory] = [*state.live.values(), *state.deleted.values()]
        found = {source.span_id for memory in memories for source in memory.sources}
        for memory_id in ids:
            for change in self._writer.log.entries(namespace, memory_id=memory_id):
                sources = change.after.sources if change.after else ()
                found |= {source.span_id for source in sources} | {change.span_id or ""}
        return found

    def _finish(self, namespace: Namespace, ids: Sequence[str]) -> None:
        log = self._writer.log
        known = log.look(namespace, ids)
        log.purge(namespace, [_mark(namespace, memory_id, known) for memory_id in ids])
        LexicalIndexes.beside(log).drop(namespace)
        log.scrub()


def _mark(namespace: Namespace, memory_id: str, known: Known) -> Change:
    last = known.last.get(memory_id)
    now = datetime.now(UTC)
    at = now if last is None else max(now, last.at + TICK)
    return Change(
        id=uuid.uuid4().hex,
        memory_id=memory_id,
        namespace=namespace,
        version=1 if last is None else last.version + 1,
        kind=ChangeKind.DELETE,
        cause=PURGE,
        at=at,
        purged_at=at,
    )


def _chosen(waiting: Iterable[FailedSpan], spans: set[str] | None) -> list[FailedSpan]:
    return [entry for entry in waiting if spans is None or entry.span.id in spans]


def _removals(namespace: Namespace, ids: Sequence[str]) -> list[PutOp]:
    items = [PutOp(namespace, memory_id, None) for memory_id in ids]
    return items + [remove_tombstone(namespace, memory_id) for memory_id in ids]
