"""The gate node: takes the next spans of the episode, and passes over what need not be read."""

import logging
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any

from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore

from langgraph_memskill.namespaces import NamespaceTemplate
from langgraph_memskill.nodes.base import Node, store_of
from langgraph_memskill.nodes.retrieve import DEFAULT_NAMESPACE, namespace_of
from langgraph_memskill.records import Span
from langgraph_memskill.state import (
    ConstructionState,
    Outcome,
    dump_all,
    load,
    load_all,
    not_chosen,
)
from langgraph_memskill.writing.budget import BudgetKeeper
from langgraph_memskill.writing.gate import is_small_talk
from langgraph_memskill.writing.unread import GATED, UNPAID
from langgraph_memskill.writing.usage import Usage

logger = logging.getLogger(__name__)


class GateNode(Node[ConstructionState]):
    """Reads `episode`, `cursor` and `usage`; writes `batch`, `calls_left` and an empty `outcomes`.

    A batch is of one kind: spans to be read; or spans in which there is nothing worth storing; or
    spans for which no budget is left. Those of the last two kinds have their `outcomes`, `selected`
    and `selections` already and go straight to the store node: no encoder and no model is called.
    """

    def __init__(
        self,
        *,
        gate: bool = True,
        span_workers: int = 1,
        budgets: BudgetKeeper | None = None,
        store: BaseStore | None = None,
        namespace: tuple[str, ...] = DEFAULT_NAMESPACE,
    ) -> None:
        """Make the node.

        Args:
            gate: Whether to pass over greetings, thanks and the like.
            span_workers: Spans that are read side by side at most, >= 1.
            budgets: What limits the calls; None is no limit.
            store: Where a user's usage is counted; None takes the graph's store.
            namespace: Template that is resolved from the run if the state has no `namespace`.
        """
        self._gate = gate
        self._span_workers = span_workers
        self._budgets = budgets or BudgetKeeper(())
        self._store = store
        self._template = NamespaceTemplate(namespace)

    def __call__(self, state: ConstructionState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Take the next batch."""
        spans, is_gated = self._next(state)
        if is_gated:
            return self._passed_over(state, spans)
        namespace = namespace_of(state, self._template, runtime)
        reason = self._run_reason(state)
        if reason is None and self._budgets.counts_users:
            reason = self._budgets.reason(store_of(self._store, runtime), namespace)
        return self._to_read(state, spans, reason)

    async def acall(self, state: ConstructionState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Like calling the node, without blocking the event loop."""
        spans, is_gated = self._next(state)
        if is_gated:
            return self._passed_over(state, spans)
        namespace = namespace_of(state, self._template, runtime)
        reason = self._run_reason(state)
        if reason is None and self._budgets.counts_users:
            reason = await self._budgets.areason(store_of(self._store, runtime), namespace)
        return self._to_read(state, spans, reason)

    def _next(self, state: ConstructionState) -> tuple[list[Span], bool]:
        """The next spans that are of one kind, and whether there is nothing in them."""
        left = load_all(Span, state["episode"]["spans"][state["cursor"] :])
        is_gated = self._is_nothing(left[0])
        same: Callable[[Span], bool] = lambda span: self._is_nothing(span) == is_gated  # noqa: E731
        return list(takewhile(same, left)), is_gated

    def _is_nothing(self, span: Span) -> bool:
        return self._gate and is_small_talk(span)

    def _run_reason(self, state: ConstructionState) -> str | None:
        return self._budgets.run_reason(_spent(state))

    def _passed_over(self, state: ConstructionState, spans: Sequence[Span]) -> dict[str, Any]:
        outcomes = [Outcome(position=position, called=False) for position in range(len(spans))]
        return _begun(state, spans) | _done(outcomes, GATED)

    def _to_read(
        self, state: ConstructionState, spans: Sequence[Span], reason: str | None
    ) -> dict[str, Any]:
        if reason is None:
            calls_left = self._budgets.calls_left(_spent(state))
            most = self._span_workers if calls_left is None else min(self._span_workers, calls_left)
            return _begun(state, spans[:most]) | {"calls_left": calls_left, "outcomes": None}
        logger.warning("%d spans wait for retry_failed(): %s", len(spans), reason)
        outcomes = [
            Outcome(position=position, called=False, failure=reason)
            for position in range(len(spans))
        ]
        return _begun(state, spans) | _done(outcomes, UNPAID)


def _spent(state: ConstructionState) -> Usage:
    return load(Usage, state.get("usage", {})) if state["cursor"] else Usage()


def _begun(state: ConstructionState, spans: Sequence[Span]) -> dict[str, Any]:
    update: dict[str, Any] = {"batch": dump_all(spans)}
    if not state["cursor"]:
        update["usage"] = None  # the thread's last run may have left something
    return update


def _done(outcomes: list[Outcome], selector: str) -> dict[str, Any]:
    selections = dump_all([not_chosen(selector)] * len(outcomes))
    return {"outcomes": dump_all(outcomes), "selected": selections, "selections": selections}
