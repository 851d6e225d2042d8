"""The recall node of the answering graph: the memories nearest to a question."""

from typing import Any

from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore

from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.namespaces import NamespaceTemplate
from langgraph_memskill.nodes.base import Node, store_of
from langgraph_memskill.nodes.retrieve import DEFAULT_NAMESPACE, namespace_of
from langgraph_memskill.state import AnsweringState, dump_all
from langgraph_memskill.stores.items import MemorySearch


class RecallNode(Node[AnsweringState]):
    """Reads `question`, writes `recalled`."""

    def __init__(
        self,
        encoder: TextEncoder,
        *,
        store: BaseStore | None = None,
        namespace: tuple[str, ...] = DEFAULT_NAMESPACE,
        top_k: int = 20,
    ) -> None:
        """Make the node; the arguments are those of `RetrieveNode`."""
        self._encoder = encoder
        self._store = store
        self._template = NamespaceTemplate(namespace)
        self._top_k = top_k

    def __call__(self, state: AnsweringState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Find the memories for the question."""
        search = MemorySearch(store_of(self._store, runtime), self._encoder)
        namespace = namespace_of(state, self._template, runtime)
        [found] = search.search(namespace, [state["question"]], self._top_k)
        return {"recalled": dump_all(found)}

    async def acall(self, state: AnsweringState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Like calling the node, without blocking the event loop."""
        search = MemorySearch(store_of(self._store, runtime), self._encoder)
        namespace = namespace_of(state, self._template, runtime)
        [found] = await search.asearch(namespace, [state["question"]], self._top_k)
        return {"recalled": dump_all(found)}
