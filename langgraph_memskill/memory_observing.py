"""Observing a memory: callbacks on everything that it does."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.graph.state import CompiledStateGraph

from langgraph_memskill.construction_runs import ConstructionRuns
from langgraph_memskill.namespaces import Namespace
from langgraph_memskill.records import Memory
from langgraph_memskill.search.hybrid import HybridSearch
from langgraph_memskill.search.settings import SearchSettings
from langgraph_memskill.search.wanted import EVERYTHING, Wanted


class MemoryObserving:
    """The part of `MemSkillMemory` that tells others what it does."""

    _graph: CompiledStateGraph[Any, Any, Any, Any]
    _answering: CompiledStateGraph[Any, Any, Any, Any]
    _runs: ConstructionRuns
    _hybrid: HybridSearch
    _observers: tuple[BaseCallbackHandler, ...] = ()
    """For what has no graph of its own yet: evolutions."""

    def observe(self, *callbacks: BaseCallbackHandler) -> None:
        """Call these callbacks at every remember, recall, answer and evolve from now on.

        Args:
            callbacks: Any LangChain callbacks, such as `observing.OpenTelemetryCallback()` and
                `observing.redacted_tracer()`.
        """
        handlers = list(callbacks)
        if not handlers:
            return
        self._observers = (*self._observers, *handlers)
        self._graph = self._graph.with_config(callbacks=handlers)
        self._answering = self._answering.with_config(callbacks=handlers)
        self._runs = replace(self._runs, graph=self._graph)
        self._hybrid = _ObservedSearch(self._hybrid, handlers)


class _ObservedSearch(HybridSearch):
    """A search whose calls are runs that callbacks see."""

    def __init__(self, search: HybridSearch, callbacks: Sequence[BaseCallbackHandler]) -> None:
        self._inner = search
        self._config = RunnableConfig(callbacks=list(callbacks), run_name="memskill_recall")

    def search(
        self,
        namespace: Namespace,
        query: str,
        k: int,
        *,
        wanted: Wanted = EVERYTHING,
        settings: SearchSettings | None = None,
    ) -> list[Memory]:
        def run(asked: str) -> list[Memory]:
            return self._inner.search(namespace, asked, k, wanted=wanted, settings=settings)

        return RunnableLambda(run).invoke(query, self._config)

    async def asearch(
        self,
        namespace: Namespace,
        query: str,
        k: int,
        *,
        wanted: Wanted = EVERYTHING,
        settings: SearchSettings | None = None,
    ) -> list[Memory]:
        async def run(asked: str) -> list[Memory]:
            return await self._inner.asearch(namespace, asked, k, wanted=wanted, settings=settings)

        return await RunnableLambda(run).ainvoke(query, self._config)
