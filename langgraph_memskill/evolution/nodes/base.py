"""What the nodes of the evolution share."""

import asyncio
from typing import Any, cast

from langgraph.runtime import Runtime

from langgraph_memskill.evolution.state import EvolutionState
from langgraph_memskill.nodes.base import Node


class EvolutionNode(Node[EvolutionState]):
    """A node that calls no model; in an async graph it works in a thread."""

    def __call__(self, state: EvolutionState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Read the state and return the update."""
        return cast(dict[str, Any], self.work(state))

    async def acall(self, state: EvolutionState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Like calling the node, without blocking the event loop."""
        return cast(dict[str, Any], await asyncio.to_thread(self.work, state))

    def work(self, state: EvolutionState) -> EvolutionState:
        """Do what the node is for."""
        raise NotImplementedError
