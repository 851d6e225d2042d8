"""The store node: applies what was extracted, keeps what failed (METHOD steps 6 and 7)."""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore

from langgraph_memskill.actions import Resolution, merge_resolutions
from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.namespaces import Namespace, NamespaceTemplate
from langgraph_memskill.nodes.base import Node, store_of
from langgraph_memskill.nodes.retrieve import DEFAULT_NAMESPACE, namespace_of
from langgraph_memskill.records import OUTDATED, FailedSpan, MemoryAction, Selection, Span
from langgraph_memskill.state import (
    ConstructionState,
    Outcome,
    StepEvent,
    dump,
    dump_all,
    load,
    load_all,
)
from langgraph_memskill.stores.applying import Applied, Cause, MemoryWriter
from langgraph_memskill.stores.outdated import OVERTAKEN
from langgraph_memskill.stores.pending import PendingSpans
from langgraph_memskill.threads import current_thread_id
from langgraph_memskill.traces.recording import Choice, RecordedSpan, TraceRecorder
from langgraph_memskill.writing.duplicates import DuplicateMerger

_CONFLICT = f"{OUTDATED}: {OVERTAKEN}"


class StoreNode(Node[ConstructionState]):
    """Reads `batch`, `selected` and `outcomes`; writes to the store and moves `cursor` on.

    Running it again on the same state changes nothing: every change is known by an id. A span that
    would change a memory which somebody else has changed since the model saw it is not applied; it
    fails with a reason that begins with `OUTDATED` and waits for `retry_failed()`.
    """

    def __init__(
        self,
        *,
        store: BaseStore | None = None,
        namespace: tuple[str, ...] = DEFAULT_NAMESPACE,
        model_name: str | None = None,
        writer: MemoryWriter | None = None,
        merging: TextEncoder | None = None,
        recorder: TraceRecorder | None = None,
    ) -> None:
        """Make the node.

        Args:
            store: Where the memories are; None takes the graph's store.
            namespace: Template that is resolved from the run if the state has no `namespace`.
            model_name: Goes into the provenance of what is written.
            writer: The writer that other parts of the same memory use too; None makes one.
            merging: The encoder that helps to find what is known already, so that it is not
                inserted once more; None inserts everything.
            recorder: Writes the traces of the run; None writes none.
        """
        self._recorder = recorder
        self._store = store
        self._template = NamespaceTemplate(namespace)
        self._model_name = model_name
        self._writer = writer
        self._encoder = merging

    def __call__(self, state: ConstructionState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Apply the batch."""
        step, store = self._step(state, runtime), store_of(self._store, runtime)
        pending, writer = PendingSpans(store), self._writer or MemoryWriter(store)
        pending.add(step.failed)
        applied = writer.apply(step.namespace, step.actions, step.cause, merger=self._merger(store))
        outdated = step.outdated(applied)
        pending.add(outdated)
        if self._recorder is not None:
            step.record(self._recorder, applied)
        return step.finish(applied, outdated, runtime)

    async def acall(self, state: ConstructionState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Like calling the node, without blocking the event loop."""
        step, store = self._step(state, runtime), store_of(self._store, runtime)
        pending, writer = PendingSpans(store), self._writer or MemoryWriter(store)
        await pending.aadd(step.failed)
        applied = await writer.aapply(
            step.namespace, step.actions, step.cause, merger=self._merger(store)
        )
        outdated = step.outdated(applied)
        await pending.aadd(outdated)
        if self._recorder is not None:
            await asyncio.to_thread(step.record, self._recorder, applied)
        return step.finish(applied, outdated, runtime)

    def _step(self, state: ConstructionState, runtime: Runtime[Any]) -> "_Step":
        namespace = namespace_of(state, self._template, runtime)
        return _Step(state, namespace, self._model_name, repeats=self._encoder is not None)

    def _merger(self, store: BaseStore) -> DuplicateMerger | None:
        return None if self._encoder is None else DuplicateMerger.of(store, self._encoder)


class _SpanResult(NamedTuple):
    span: Span
    selection: Selection
    outcome: Outcome

    def failure(self, applied: Applied) -> str | None:
        return _CONFLICT if self.span.id in applied.outdated else self.outcome.failure


class _Step:
    """The batch's spans with what was extracted from them, in the spans' order."""

    def __init__(
        self,
        state: ConstructionState,
        namespace: Namespace,
        model_name: str | None,
        *,
        repeats: bool,
    ) -> None:
        self.namespace = namespace
        self._cursor = state.get("cursor", 0)
        outcomes = sorted(load_all(Outcome, state["outcomes"]), key=lambda o: o.position)
        spans = load_all(Span, state["batch"])
        episode = state.get("episode")
        self._num_spans = len(episode["spans"]) if episode else len(spans)
        self._span_ids = [span["id"] for span in (episode["spans"] if episode else state["batch"])]
        self._choices = state.get("choices") or ()
        selections = load_all(Selection, state["selected"])
        self._results = [_SpanResult(*row) for row in zip(spans, selections, outcomes, strict=True)]
        self.cause = Cause(
            kind="span",
            model=model_name,
            spans={s.id: s for s in spans},
            thread_id=current_thread_id(),
        )
        self.actions = _merged(outcomes, repeats)
        self.failed = [
            self._failed(r.span, r.outcome.failure)
            for r in self._results
            if r.outcome.failure is not None
        ]

    def outdated(self, applied: Applied) -> list[FailedSpan]:
        """The spans that were not applied because somebody else has changed their memories."""
        spans = [r.span for r in self._results if r.span.id in applied.outdated]
        return [self._failed(span, _CONFLICT) for span in spans]

    def finish(
        self, applied: Applied, outdated: Sequence[FailedSpan], runtime: Runtime[Any]
    ) -> dict[str, Any]:
        rejected = [entry for r in self._results for entry in r.outcome.rejected]
        rejected += applied.rejected
        for result in self._results:
            runtime.stream_writer(dump(self._event(result, applied, self._num_spans)))
        return {
            "actions": dump_all(applied.actions),
            "rejected": dump_all(rejected),
            "failed": dump_all([*self.failed, *outdated]),
            "outcomes": None,
            "cursor": self._cursor + len(self._results),
        }

    def record(self, recorder: TraceRecorder, applied: Applied) -> None:
        """Write the traces of the batch, but for spans that no skills were chosen for."""
        chosen = [result for result in self._results if result.selection.skills]
        recorder.record(
            [
                RecordedSpan(
                    span=result.span,
                    selection=result.selection,
                    choice=load(Choice, choice),
                    actions=result.outcome.actions,
                    rejected=result.outcome.rejected,
                    failure=result.failure(applied),
                    usage=result.outcome.usage,
                    extract_s=result.outcome.extract_s,
                )
                # Empty if the choices could not be noted, or before a batch that was passed over.
                for result, choice in zip(chosen, self._choices, strict=False)
            ],
            applied.actions,
            span_ids=self._span_ids,
            thread_id=self.cause.thread_id,
            is_end=self._cursor + len(self._results) >= self._num_spans,
        )

    def _failed(self, span: Span, reason: str) -> FailedSpan:
        return FailedSpan(
            span=span,
            namespace=self.namespace,
            reason=reason,
            thread_id=self.cause.thread_id,
        )

    @staticmethod
    def _event(result: _SpanResult, applied: Applied, num_spans: int) -> StepEvent:
        own = tuple(a for a in applied.actions if a.span_id == result.span.id)
        return StepEvent(
            span_index=result.span.index,
            num_spans=num_spans,
            span_text=result.span.text,
            selection=result.selection,
            actions=own,
            rejected=result.outcome.rejected,
            failure=result.failure(applied),
        )


def _merged(outcomes: Sequence[Outcome], repeats: bool) -> tuple[MemoryAction, ...]:
    if len(outcomes) == 1:
        return outcomes[0].actions
    resolutions = [Resolution(outcome.actions, ()) for outcome in outcomes]
    return merge_resolutions(resolutions, repeats=repeats)
