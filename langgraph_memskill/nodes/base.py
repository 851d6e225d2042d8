"""What all nodes share: one object that LangGraph can run in a sync and in an async graph."""

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.runtime import Runtime, get_runtime
from langgraph.store.base import BaseStore

from langgraph_memskill.errors import ConfigError

StateT = TypeVar("StateT")


class Node(Runnable[StateT, dict[str, Any]], ABC, Generic[StateT]):
    """A node `(state, runtime) -> update` with an async twin.

    Add it to any StateGraph with `builder.add_node("name", node)`, or call it as a function.
    """

    @abstractmethod
    def __call__(self, state: StateT, runtime: Runtime[Any]) -> dict[str, Any]:
        """Read the state and return the update."""

    @abstractmethod
    async def acall(self, state: StateT, runtime: Runtime[Any]) -> dict[str, Any]:
        """Like calling the node, without blocking the event loop."""

    def invoke(
        self, input: StateT, config: RunnableConfig | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Run inside of a graph; LangGraph calls this."""
        return self(input, get_runtime())

    async def ainvoke(
        self, input: StateT, config: RunnableConfig | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Run inside of an async graph; LangGraph calls this."""
        return await self.acall(input, get_runtime())


def store_of(own: BaseStore | None, runtime: Runtime[Any]) -> BaseStore:
    """The store that a node was made with, or else the graph's.

    Raises:
        ConfigError: If there is neither.
    """
    store = own if own is not None else runtime.store
    if store is None:
        raise ConfigError(
            "this node has no store: pass store=... to it, or compile the graph with store=..."
        )
    return store
