"""What the three nodes that ask the designer share."""

from abc import abstractmethod
from typing import Any, Generic, TypeVar, cast

from langgraph.runtime import Runtime

from langgraph_memskill.evolution.designer import Designer, Reply, Request
from langgraph_memskill.evolution.state import EvolutionState, settings_of
from langgraph_memskill.nodes.base import Node
from langgraph_memskill.state import dump

ReplyT = TypeVar("ReplyT")


class DesigningNode(Node[EvolutionState], Generic[ReplyT]):
    """Asks the designer one thing and adds what it cost to `usage`."""

    def __init__(self, designer: Designer) -> None:
        """Ask this designer."""
        self._designer = designer

    def __call__(self, state: EvolutionState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Ask."""
        reply = self._designer.ask(self.request(state), settings_of(state).attempts)
        return self._update(state, reply)

    async def acall(self, state: EvolutionState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Like calling the node, without blocking the event loop."""
        reply = await self._designer.aask(self.request(state), settings_of(state).attempts)
        return self._update(state, reply)

    def _update(self, state: EvolutionState, reply: Reply[ReplyT]) -> dict[str, Any]:
        update = self.take(state, reply)
        return cast(dict[str, Any], {**update, "usage": dump(reply.usage)})

    @abstractmethod
    def request(self, state: EvolutionState) -> Request[ReplyT]:
        """What to ask."""

    @abstractmethod
    def take(self, state: EvolutionState, reply: Reply[ReplyT]) -> EvolutionState:
        """What the reply, or its absence, changes."""
