"""The gate node: takes the next spans of the episode, and passes over what need not be read."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, takewhile
from typing import Any

from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore

from langgraph_memskill.namespaces import NamespaceTemplate
from langgraph_memskill.nodes.base import Node, store_of
from langgraph_memskill.nodes.retrieve import DEFAULT_NAMESPACE, namespace_of
from langgraph_memskill.records import GATED, UNPAID, Span, Usage
from langgraph_memskill.state import ConstructionState, Outcome, dump_all, load, not_chosen
from langgraph_memskill.writing.budget import BudgetKeeper
from langgraph_memskill.writing.gate import is_small_talk

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
        gate: bool | Callable[[Span], bool] = True,
        span_workers: int = 1,
        budgets: BudgetKeeper | None = None,
        store: BaseStore | None = None,
        namespace: tuple[str, ...] = DEFAULT_NAMESPACE,
    ) -> None:
        """Make the node.

        Args:
            gate: Says whether to pass over a span; True passes over greetings, thanks and the like,
                False nothing.
            span_workers: Spans that are read side by side at most, >= 1.
            budgets: What limits the calls; None is no limit.
            store: Where a user's usage is counted; None takes the graph's store.
            namespace: Template that is resolved from the run if the state has no `namespace`.
        """
        self._is_nothing = gate if callable(gate) else is_small_talk if gate else _never
        self._span_workers = span_workers
        self._budgets = budgets or BudgetKeeper(())
        self._store = store
        self._template = NamespaceTemplate(namespace)

    def __call__(self, state: ConstructionState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Take the next batch."""
        if passed_over := self._passed_over(state):
            return passed_over
        reason = self._budgets.run_reason(_spent(state))
        if reason is None and self._budgets.counts_users:
            namespace = namespace_of(state, self._template, runtime)
            reason = self._budgets.reason(store_of(self._store, runtime), namespace)
        return self._to_read(state) if reason is None else self._unpaid(state, reason)

    async def acall(self, state: ConstructionState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Like calling the node, without blocking the event loop."""
        # A gate of the application's own may take its time.
        if passed_over := await asyncio.to_thread(self._passed_over, state):
            return passed_over
        reason = self._budgets.run_reason(_spent(state))
        if reason is None and self._budgets.counts_users:
            namespace = namespace_of(state, self._template, runtime)
            reason = await self._budgets.areason(store_of(self._store, runtime), namespace)
        if reason is None:
            return await asyncio.to_thread(self._to_read, state)
        return await asyncio.to_thread(self._unpaid, state, reason)

    def _passed_over(self, state: ConstructionState) -> dict[str, Any]:
        """The next spans as far as there is nothing in them; {} if the next one is to be read."""
        spans = list(takewhile(self._is_nothing, _left(state)))
        return _done(spans, GATED, None) if spans else {}

    def _to_read(self, state: ConstructionState) -> dict[str, Any]:
        calls_left = self._budgets.calls_left(_spent(state))
        most = self._span_workers if calls_left is None else min(self._span_workers, calls_left)
        spans = list(islice(self._worth_reading(state), most))
        return {"batch": dump_all(spans), "calls_left": calls_left, "outcomes": None}

    def _unpaid(self, state: ConstructionState, reason: str) -> dict[str, Any]:
        spans = list(self._worth_reading(state))
        logger.warning("%d spans wait for retry_failed(): %s", len(spans), reason)
        return _done(spans, UNPAID, reason)

    def _worth_reading(self, state: ConstructionState) -> Iterator[Span]:
        """The next span, which `_passed_over` has asked about already, and those like it."""
        left = _left(state)
        yield next(left)
        yield from takewhile(lambda span: not self._is_nothing(span), left)


def _never(_: Span) -> bool:
    return False


def _left(state: ConstructionState) -> Iterator[Span]:
    documents = islice(state["episode"]["spans"], state["cursor"], None)
    return (load(Span, document) for document in documents)


def _spent(state: ConstructionState) -> Usage:
    return load(Usage, state.get("usage", {}))


def _done(spans: Sequence[Span], selector: str, reason: str | None) -> dict[str, Any]:
    outcomes = [
        Outcome(position=position, called=False, failure=reason) for position in range(len(spans))
    ]
    selections = dump_all([not_chosen(selector)] * len(outcomes))
    return {
        "batch": dump_all(spans),
        "outcomes": dump_all(outcomes),
        "selected": selections,
        "selections": selections,
    }
