"""The store node: applies what was extracted, keeps what failed (METHOD steps 6 and 7)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore

from langgraph_memskill.actions import Resolution, merge_resolutions
from langgraph_memskill.namespaces import Namespace, NamespaceTemplate
from langgraph_memskill.nodes.base import Node, store_of
from langgraph_memskill.nodes.retrieve import DEFAULT_NAMESPACE, namespace_of
from langgraph_memskill.records import (
    FailedSpan,
    MemoryAction,
    Selection,
    Span,
)
from langgraph_memskill.state import (
    ConstructionState,
    Outcome,
    StepEvent,
    dump,
    dump_all,
    load_all,
)
from langgraph_memskill.stores.applying import Applied, Cause, MemoryWriter
from langgraph_memskill.stores.pending import PendingSpans
from langgraph_memskill.threads import current_thread_id


class StoreNode(Node[ConstructionState]):
    """Reads `batch`, `selected` and `outcomes`; writes to the store and moves `cursor` on.

    Running it again on the same state changes nothing: every change is known by an id.
    """

    def __init__(
        self,
        *,
        store: BaseStore | None = None,
        namespace: tuple[str, ...] = DEFAULT_NAMESPACE,
        model_name: str | None = None,
        writer: MemoryWriter | None = None,
    ) -> None:
        """Make the node.

        Args:
            store: Where the memories are; None takes the graph's store.
            namespace: Template that is resolved from the run if the state has no `namespace`.
            model_name: Goes into the provenance of what is written.
            writer: The writer that other parts of the same memory use too; None makes one.
        """
        self._store = store
        self._template = NamespaceTemplate(namespace)
        self._model_name = model_name
        self._writer = writer

    def __call__(self, state: ConstructionState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Apply the batch."""
        step = _Step(state, namespace_of(state, self._template, runtime), self._model_name)
        store = store_of(self._store, runtime)
        PendingSpans(store).add(step.failed)
        writer = self._writer or MemoryWriter(store)
        applied = writer.apply(step.namespace, step.actions, step.cause)
        return step.finish(applied, runtime)

    async def acall(self, state: ConstructionState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Like calling the node, without blocking the event loop."""
        step = _Step(state, namespace_of(state, self._template, runtime), self._model_name)
        store = store_of(self._store, runtime)
        await PendingSpans(store).aadd(step.failed)
        writer = self._writer or MemoryWriter(store)
        applied = await writer.aapply(step.namespace, step.actions, step.cause)
        return step.finish(applied, runtime)


class _SpanResult(NamedTuple):
    span: Span
    selection: Selection
    outcome: Outcome


class _Step:
    """The batch's spans with what was extracted from them, in the spans' order."""

    def __init__(
        self, state: ConstructionState, namespace: Namespace, model_name: str | None
    ) -> None:
        self.namespace = namespace
        self._cursor = state.get("cursor", 0)
        outcomes = sorted(load_all(Outcome, state["outcomes"]), key=lambda o: o.position)
        spans = load_all(Span, state["batch"])
        episode = state.get("episode")
        self._num_spans = len(episode["spans"]) if episode else len(spans)
        selections = load_all(Selection, state["selected"])
        self._results = [_SpanResult(*row) for row in zip(spans, selections, outcomes, strict=True)]
        self.cause = Cause(
            kind="span",
            model=model_name,
            spans={s.id: s for s in spans},
            thread_id=current_thread_id(),
        )
        self.actions = _merged(outcomes)
        self.failed = [
            FailedSpan(
                span=r.span,
                namespace=namespace,
                reason=r.outcome.failure,
                thread_id=self.cause.thread_id,
            )
            for r in self._results
            if r.outcome.failure is not None
        ]

    def finish(self, applied: Applied, runtime: Runtime[Any]) -> dict[str, Any]:
        rejected = [entry for r in self._results for entry in r.outcome.rejected]
        rejected += applied.rejected
        for result in self._results:
            runtime.stream_writer(dump(self._event(result, applied, self._num_spans)))
        return {
            "actions": dump_all(applied.actions),
            "rejected": dump_all(rejected),
            "failed": dump_all(self.failed),
            "outcomes": None,
            "cursor": self._cursor + len(self._results),
        }

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
            failure=result.outcome.failure,
        )


def _merged(outcomes: Sequence[Outcome]) -> tuple[MemoryAction, ...]:
    if len(outcomes) == 1:
        return outcomes[0].actions
    return merge_resolutions([Resolution(outcome.actions, ()) for outcome in outcomes])
