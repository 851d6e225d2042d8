"""The merge_duplicates node: what is known already is not inserted once more."""

from dataclasses import replace
from typing import Any

from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore

from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.namespaces import NamespaceTemplate
from langgraph_memskill.nodes.base import Node, store_of
from langgraph_memskill.nodes.retrieve import DEFAULT_NAMESPACE, namespace_of
from langgraph_memskill.records import MemoryAction
from langgraph_memskill.state import ConstructionState, Outcome, dump_all, load_all
from langgraph_memskill.stores.items import MemorySearch
from langgraph_memskill.writing.duplicates import DuplicateMerger


class MergeDuplicatesNode(Node[ConstructionState]):
    """Reads and writes `outcomes`, between the extract and the store node."""

    def __init__(
        self,
        encoder: TextEncoder,
        *,
        store: BaseStore | None = None,
        namespace: tuple[str, ...] = DEFAULT_NAMESPACE,
    ) -> None:
        """Make the node; the arguments are those of `RetrieveNode`."""
        self._encoder = encoder
        self._store = store
        self._template = NamespaceTemplate(namespace)

    def __call__(self, state: ConstructionState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Merge the duplicates of the batch."""
        outcomes = _outcomes(state)
        merged = self._merger(runtime).merge(
            namespace_of(state, self._template, runtime), [o.actions for o in outcomes]
        )
        return _update(outcomes, merged)

    async def acall(self, state: ConstructionState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Like calling the node, without blocking the event loop."""
        outcomes = _outcomes(state)
        merged = await self._merger(runtime).amerge(
            namespace_of(state, self._template, runtime), [o.actions for o in outcomes]
        )
        return _update(outcomes, merged)

    def _merger(self, runtime: Runtime[Any]) -> DuplicateMerger:
        search = MemorySearch(store_of(self._store, runtime), self._encoder)
        return DuplicateMerger(search, self._encoder)


def _outcomes(state: ConstructionState) -> list[Outcome]:
    return sorted(load_all(Outcome, state["outcomes"]), key=lambda outcome: outcome.position)


def _update(outcomes: list[Outcome], merged: list[tuple[MemoryAction, ...]]) -> dict[str, Any]:
    changed = [
        replace(outcome, actions=actions)
        for outcome, actions in zip(outcomes, merged, strict=True)
        if actions != outcome.actions
    ]
    return {"outcomes": dump_all(changed)}
