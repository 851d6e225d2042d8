"""Memory as two nodes of a hand-written StateGraph over messages."""

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage, RemoveMessage, SystemMessage
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.runtime import Runtime

from langgraph_memskill.conversation import AgentMemory, Conversation
from langgraph_memskill.nodes.base import Node

NOTES_ID = "memskill-notes"
"""Id of the one system message that holds the recalled notes."""


class RecallMessagesNode(Node[dict[str, Any]]):
    """Recalls for the last human message.

    The notes become a system message behind the state's own leading system messages (one message,
    replaced at every run), or a text under a key of the state's.
    """

    def __init__(
        self, memory: AgentMemory, *, k: int | None = None, into: str | None = None
    ) -> None:
        """Make the node.

        Args:
            memory: The memory.
            k: Memories to recall; None takes the memory's `top_k`.
            into: A key of the state to write the notes to, "" if there are none; None puts them
                into `messages`.
        """
        self._conversation = Conversation(memory, background=False, k=k)
        self._into = into

    def __call__(self, state: dict[str, Any], runtime: Runtime[Any]) -> dict[str, Any]:
        """Recall."""
        return self._update(state["messages"], self._conversation.recall(state["messages"]))

    async def acall(self, state: dict[str, Any], runtime: Runtime[Any]) -> dict[str, Any]:
        """Like calling the node, without blocking the event loop."""
        return self._update(state["messages"], await self._conversation.arecall(state["messages"]))

    def _update(self, messages: Sequence[BaseMessage], notes: str) -> dict[str, Any]:
        if self._into is not None:
            return {self._into: notes}
        others = [message for message in messages if message.id != NOTES_ID]
        if not notes and len(others) == len(messages):
            return {}
        own = [SystemMessage(notes, id=NOTES_ID)] if notes else []
        leading = 0
        while leading < len(others) and isinstance(others[leading], SystemMessage):
            leading += 1
        # Models take system messages in front only, and LangGraph can only append: so write anew.
        renewed = [*others[:leading], *own, *others[leading:]]
        return {"messages": [RemoveMessage(REMOVE_ALL_MESSAGES), *renewed]}


class RememberMessagesNode(Node[dict[str, Any]]):
    """Remembers the messages that are new in the thread."""

    def __init__(self, memory: AgentMemory, *, background: bool = False) -> None:
        """Make the node.

        Args:
            memory: The memory.
            background: Only queue the messages (durably); the memory's own thread reads them.
        """
        self._conversation = Conversation(memory, background=background, k=None)

    def __call__(self, state: dict[str, Any], runtime: Runtime[Any]) -> dict[str, Any]:
        """Remember."""
        self._conversation.remember(state["messages"])
        return {}

    async def acall(self, state: dict[str, Any], runtime: Runtime[Any]) -> dict[str, Any]:
        """Like calling the node, without blocking the event loop."""
        await self._conversation.aremember(state["messages"])
        return {}
