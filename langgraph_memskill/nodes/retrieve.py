"""The retrieve node: for every span of the batch, the memories nearest to it (METHOD step 1)."""

from typing import Any, cast

from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore

from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.namespaces import Namespace, NamespaceTemplate
from langgraph_memskill.nodes.base import Node, store_of
from langgraph_memskill.records import Memory, Span
from langgraph_memskill.state import AnsweringState, ConstructionState, Document, dump_all, load_all
from langgraph_memskill.stores.items import MemorySearch

DEFAULT_NAMESPACE = ("memories", "{user_id}")


class RetrieveNode(Node[ConstructionState]):
    """Reads `batch`, writes `retrieved`."""

    def __init__(
        self,
        encoder: TextEncoder,
        *,
        store: BaseStore | None = None,
        namespace: tuple[str, ...] = DEFAULT_NAMESPACE,
        top_k: int = 20,
    ) -> None:
        """Make the node.

        Args:
            encoder: Ranks the memories of a store that has no embedding index of its own.
            store: Where the memories are; None takes the graph's store.
            namespace: Template that is resolved from the run if the state has no `namespace`.
            top_k: Memories a span, >= 1.
        """
        self._encoder = encoder
        self._store = store
        self._template = NamespaceTemplate(namespace)
        self._top_k = top_k

    def __call__(self, state: ConstructionState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Find the memories of every span of the batch."""
        spans = load_all(Span, state["batch"])
        search = MemorySearch(store_of(self._store, runtime), self._encoder)
        namespace = namespace_of(state, self._template, runtime)
        found = search.search(namespace, [span.text for span in spans], self._top_k)
        return _update(found)

    async def acall(self, state: ConstructionState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Like calling the node, without blocking the event loop."""
        spans = load_all(Span, state["batch"])
        search = MemorySearch(store_of(self._store, runtime), self._encoder)
        namespace = namespace_of(state, self._template, runtime)
        found = await search.asearch(namespace, [span.text for span in spans], self._top_k)
        return _update(found)


def namespace_of(
    state: ConstructionState | AnsweringState,
    template: NamespaceTemplate,
    runtime: Runtime[Any],
) -> Namespace:
    """The namespace that the state names, or else the template filled in from the run."""
    episode = cast(Document, state).get("episode") or {}
    named = state.get("namespace") or episode.get("namespace")
    return tuple(named) if named else template.resolve(runtime=runtime)


def _update(found: list[list[Memory]]) -> dict[str, Any]:
    return {"retrieved": [dump_all(memories) for memories in found]}
