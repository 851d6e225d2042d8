"""The recall node of the answering graph: the memories that fit a question."""

from typing import Any

from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore

from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.namespaces import NamespaceTemplate
from langgraph_memskill.nodes.base import Node, store_of
from langgraph_memskill.nodes.retrieve import DEFAULT_NAMESPACE, namespace_of
from langgraph_memskill.search.hybrid import HybridSearch
from langgraph_memskill.search.settings import SearchSettings
from langgraph_memskill.state import AnsweringState, dump_all
from langgraph_memskill.stores.changes import ChangeLog


class RecallNode(Node[AnsweringState]):
    """Reads `question`, writes `recalled`."""

    def __init__(
        self,
        encoder: TextEncoder,
        *,
        store: BaseStore | None = None,
        namespace: tuple[str, ...] = DEFAULT_NAMESPACE,
        top_k: int = 20,
        search: SearchSettings | None = None,
        change_log: ChangeLog | None = None,
    ) -> None:
        """Make the node.

        Args:
            encoder: Ranks by meaning where the store cannot.
            store: Where the memories are; None takes the graph's store.
            namespace: Template that is resolved from the run if the state has no `namespace`.
            top_k: Memories a question, >= 1.
            search: How they are found; None takes the defaults.
            change_log: The store's change log; None takes the one of this process for the store.
        """
        self._encoder = encoder
        self._store = store
        self._template = NamespaceTemplate(namespace)
        self._top_k = top_k
        self._settings = SearchSettings() if search is None else search
        self._log = change_log

    def __call__(self, state: AnsweringState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Find the memories for the question."""
        namespace = namespace_of(state, self._template, runtime)
        found = self._search(runtime).search(namespace, state["question"], self._top_k)
        return {"recalled": dump_all(found)}

    async def acall(self, state: AnsweringState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Like calling the node, without blocking the event loop."""
        namespace = namespace_of(state, self._template, runtime)
        found = await self._search(runtime).asearch(namespace, state["question"], self._top_k)
        return {"recalled": dump_all(found)}

    def _search(self, runtime: Runtime[Any]) -> HybridSearch:
        store = store_of(self._store, runtime)
        return HybridSearch(store, self._encoder, self._settings, log=self._log)
