"""Runs the construction graph over spans and gathers what it did; drains the retry queue."""

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphBubbleUp
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.base import BaseStore, GetOp, Item, Op

from langgraph_memskill.errors import ConfigError
from langgraph_memskill.namespaces import Namespace, running_for
from langgraph_memskill.records import (
    OUTDATED,
    ActionType,
    FailedSpan,
    MemoryAction,
    RejectedAction,
    RememberResult,
    Selection,
    Span,
    Usage,
)
from langgraph_memskill.state import ConstructionState, StepEvent, dump_all, load, load_all
from langgraph_memskill.stores.items import memory_of
from langgraph_memskill.stores.outdated import OVERTAKEN
from langgraph_memskill.stores.pending import PendingSpans
from langgraph_memskill.threads import THREAD_KEY, current_thread_id

logger = logging.getLogger(__name__)

OnStep = Callable[[StepEvent], None]
"""Called after every span of a run."""

QUEUED = "waiting for the background writer"
"""Reason of a span in the retry queue that has not been tried yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstructionRuns:
    """The construction graph with the store it writes to."""

    graph: CompiledStateGraph[Any, Any, Any, Any]
    store: BaseStore
    pending: PendingSpans
    rereads: int = 2
    """How often spans are read once more at once if somebody else changed their memories; 0 where
    runs have a budget, for each reading is a run that begins to count anew."""

    def run(
        self,
        spans: Sequence[Span],
        namespace: Namespace,
        *,
        episode_id: str,
        config: RunnableConfig | None = None,
        on_step: OnStep | None = None,
    ) -> RememberResult:
        """Remember spans, in order.

        Args:
            spans: What to read.
            namespace: Whose memories.
            episode_id: Identifier of the run.
            config: A LangGraph config, with a thread id if the graph has a checkpointer.
            on_step: Called after every span.

        Returns:
            What was done. A span that failed is in the retry queue; if the run itself broke off
            (an encoder or a store that fails), all spans that were not read yet are.

        Raises:
            ConfigError: If the set-up is wrong.
            Exception: What broke the run off, if the retry queue cannot be written either.
        """
        result = self._run(spans, namespace, episode_id, config, on_step)
        for _ in range(self.rereads):
            if not (overtaken := _overtaken(result)):
                break
            unread = [entry.span for entry in overtaken]
            again = self._run(unread, namespace, episode_id, config, on_step)
            self.pending.remove(_done(overtaken, again.failed))
            result = _read_again(result, again)
        return result

    async def arun(
        self,
        spans: Sequence[Span],
        namespace: Namespace,
        *,
        episode_id: str,
        config: RunnableConfig | None = None,
        on_step: OnStep | None = None,
    ) -> RememberResult:
        """Like `run`, without blocking the event loop."""
        result = await self._arun(spans, namespace, episode_id, config, on_step)
        for _ in range(self.rereads):
            if not (overtaken := _overtaken(result)):
                break
            unread = [entry.span for entry in overtaken]
            again = await self._arun(unread, namespace, episode_id, config, on_step)
            await self.pending.aremove(_done(overtaken, again.failed))
            result = _read_again(result, again)
        return result

    def _run(
        self,
        spans: Sequence[Span],
        namespace: Namespace,
        episode_id: str,
        config: RunnableConfig | None,
        on_step: OnStep | None,
    ) -> RememberResult:
        final: ConstructionState = {}
        state = _input(spans, namespace, episode_id)
        failures: list[Exception] = []
        stream = self.graph.stream(state, config, stream_mode=["custom", "values"])
        with running_for(namespace):
            for mode, chunk in _until_failure(stream, failures):
                final = _consume(mode, chunk, final, on_step)
        unread = _unread(spans, namespace, final, failures)
        with _or_raise(failures):
            self.pending.add(unread)
            found = self.store.batch(_reads(final, namespace))
        return _result(episode_id, final, found, unread)

    async def _arun(
        self,
        spans: Sequence[Span],
        namespace: Namespace,
        episode_id: str,
        config: RunnableConfig | None,
        on_step: OnStep | None,
    ) -> RememberResult:
        final: ConstructionState = {}
        state = _input(spans, namespace, episode_id)
        failures: list[Exception] = []
        stream = self.graph.astream(state, config, stream_mode=["custom", "values"])
        with running_for(namespace):
            async for mode, chunk in _auntil_failure(stream, failures):
                final = _consume(mode, chunk, final, on_step)
        unread = _unread(spans, namespace, final, failures)
        with _or_raise(failures):
            await self.pending.aadd(unread)
            found = await self.store.abatch(_reads(final, namespace))
        return _result(episode_id, final, found, unread)

    def drain(self, waiting: Sequence[FailedSpan]) -> RememberResult:
        """Remember spans of the retry queue; those that succeed leave it.

        Args:
            waiting: What `PendingSpans.waiting` gave, in its order.

        Returns:
            What was done over all namespaces; `failed` holds the spans that stay in the queue.
        """
        results = []
        for namespace, spans in _runs(waiting):
            result = self.run(
                [w.span for w in spans],
                namespace,
                episode_id=_episode(spans),
                config=_config(spans),
            )
            again = _again(spans, result)
            self.pending.add(again)
            self.pending.remove(_done(spans, again))
            results.append(replace(result, failed=tuple(again)))
        return _together(results)

    async def adrain(self, waiting: Sequence[FailedSpan]) -> RememberResult:
        """Like `drain`, without blocking the event loop."""
        results = []
        for namespace, spans in _runs(waiting):
            result = await self.arun(
                [w.span for w in spans],
                namespace,
                episode_id=_episode(spans),
                config=_config(spans),
            )
            again = _again(spans, result)
            await self.pending.aadd(again)
            await self.pending.aremove(_done(spans, again))
            results.append(replace(result, failed=tuple(again)))
        return _together(results)


def _input(spans: Sequence[Span], namespace: Namespace, episode_id: str) -> ConstructionState:
    return {
        "spans": dump_all(spans),
        "namespace": list(namespace),
        "episode_id": episode_id,
    }


def _until_failure(stream: Iterator[Any], failures: list[Exception]) -> Iterator[tuple[str, Any]]:
    """Pass the stream on; what breaks it off goes into `failures`."""
    try:
        yield from stream
    except (GraphBubbleUp, ConfigError):
        raise
    except Exception as error:
        logger.exception("a construction run broke off; its unread spans are kept")
        failures.append(error)


async def _auntil_failure(
    stream: AsyncIterator[Any], failures: list[Exception]
) -> AsyncIterator[tuple[str, Any]]:
    """Pass the stream on; what breaks it off goes into `failures`."""
    try:
        async for entry in stream:
            yield entry
    except (GraphBubbleUp, ConfigError):
        raise
    except Exception as error:
        logger.exception("a construction run broke off; its unread spans are kept")
        failures.append(error)


def _unread(
    spans: Sequence[Span],
    namespace: Namespace,
    final: ConstructionState,
    failures: Sequence[Exception],
) -> list[FailedSpan]:
    if not failures:
        return []
    reason = f"{type(failures[0]).__name__}: {str(failures[0])[:500]}"
    return [
        FailedSpan(span=span, namespace=namespace, reason=reason, thread_id=current_thread_id())
        for span in spans[final.get("cursor", 0) :]
    ]


@contextmanager
def _or_raise(failures: Sequence[Exception]) -> Iterator[None]:
    """If the retry queue cannot be written either, the caller sees what broke the run off."""
    try:
        yield
    except Exception as error:
        raise (failures[0] if failures else error) from error


def _consume(
    mode: str, chunk: Any, final: ConstructionState, on_step: OnStep | None
) -> ConstructionState:
    if mode == "values":
        values: ConstructionState = chunk
        return values
    if on_step is not None:
        on_step(load(StepEvent, chunk))
    return final


def _actions(final: ConstructionState) -> list[MemoryAction]:
    return load_all(MemoryAction, final.get("actions", []))


def _reads(final: ConstructionState, namespace: Namespace) -> list[Op]:
    touched = (a.memory_id for a in _actions(final) if a.type is not ActionType.DELETE)
    return [GetOp(namespace, key) for key in dict.fromkeys(touched) if key is not None]


def _result(
    episode_id: str,
    final: ConstructionState,
    found: Sequence[object],
    unread: Sequence[FailedSpan],
) -> RememberResult:
    return RememberResult(
        episode_id=episode_id,
        actions=tuple(_actions(final)),
        memories=tuple(memory_of(item) for item in found if isinstance(item, Item)),
        failed=(*load_all(FailedSpan, final.get("failed", [])), *unread),
        rejected=tuple(load_all(RejectedAction, final.get("rejected", []))),
        selections=tuple(load_all(Selection, final.get("selections", []))),
        usage=load(Usage, final.get("usage", {})),
    )


def _runs(waiting: Sequence[FailedSpan]) -> list[tuple[Namespace, list[FailedSpan]]]:
    """One run a namespace, or more where the spans come from several threads, in order."""
    groups: dict[Namespace, list[FailedSpan]] = {}
    for entry in waiting:
        groups.setdefault(entry.namespace, []).append(entry)
    return [
        (namespace, list(spans))
        for namespace, entries in groups.items()
        for _, spans in groupby(entries, key=lambda entry: entry.thread_id)
    ]


def _config(waiting: Sequence[FailedSpan]) -> RunnableConfig | None:
    thread = waiting[0].thread_id
    return None if thread is None else {"configurable": {THREAD_KEY: thread}}


def _episode(waiting: Sequence[FailedSpan]) -> str:
    return waiting[-1].span.id.partition("/")[0]


def _again(waiting: Sequence[FailedSpan], result: RememberResult) -> list[FailedSpan]:
    attempts = {entry.span.id: entry.attempts for entry in waiting}
    threads = {entry.span.id: entry.thread_id for entry in waiting}
    return [
        replace(f, attempts=attempts[f.span.id] + 1, thread_id=threads[f.span.id])
        for f in result.failed
    ]


def _done(waiting: Sequence[FailedSpan], again: Sequence[FailedSpan]) -> list[FailedSpan]:
    failed = {entry.span.id for entry in again}
    return [entry for entry in waiting if entry.span.id not in failed]


def _overtaken(result: RememberResult) -> list[FailedSpan]:
    return [entry for entry in result.failed if entry.reason.startswith(OUTDATED)]


def _read_again(before: RememberResult, again: RememberResult) -> RememberResult:
    both = _together([before, again])
    memories = {memory.id: memory for memory in both.memories}
    left = [entry for entry in before.failed if not entry.reason.startswith(OUTDATED)]
    rejected = [entry for entry in before.rejected if entry.reason != OVERTAKEN]
    return replace(
        both,
        memories=tuple(memories.values()),
        failed=(*left, *again.failed),
        rejected=(*rejected, *again.rejected),
    )


def _together(results: Sequence[RememberResult]) -> RememberResult:
    return RememberResult(
        episode_id=results[-1].episode_id if results else "",
        actions=tuple(action for r in results for action in r.actions),
        memories=tuple(memory for r in results for memory in r.memories),
        failed=tuple(failed for r in results for failed in r.failed),
        rejected=tuple(rejected for r in results for rejected in r.rejected),
        selections=tuple(selection for r in results for selection in r.selections),
        usage=sum((r.usage for r in results), Usage()),
    )
