"""A chat agent whose memory is middleware: it recalls before the model call, remembers after it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from langchain_core.tools import BaseTool
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.base import BaseStore
from langgraph.types import Checkpointer

from langgraph_memskill.state import MemSkillContext

SYSTEM_PROMPT = (
    "You are a helpful assistant who talks with the same person again and again. Answer briefly."
)


class LastMessages(AgentMiddleware[Any, Any, Any]):
    """Shows the model the last messages of a thread only; memory holds what came before."""

    def __init__(self, count: int) -> None:
        """Show `count` messages at most, >= 1, beginning with one of the user's."""
        super().__init__()
        self._count = count

    def wrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], ModelResponse[Any]],
    ) -> ModelResponse[Any]:
        """Leave out what is older."""
        return handler(self._shortened(request))

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """Leave out what is older."""
        return await handler(self._shortened(request))

    def _shortened(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        messages = request.messages
        humans = [i for i, message in enumerate(messages) if isinstance(message, HumanMessage)]
        recent = [i for i in humans if i >= len(messages) - self._count]
        # A run of many tool calls can be longer than that; it is never cut in two.
        start = recent[0] if recent else humans[-1] if humans else 0
        return request.override(messages=messages[start:])


def build_chat_agent(
    model: BaseChatModel,
    memory: AgentMiddleware[Any, Any, Any],
    *,
    tools: Sequence[BaseTool] = (),
    system_prompt: str = SYSTEM_PROMPT,
    last_messages: int = 20,
    checkpointer: Checkpointer = None,
    store: BaseStore | None = None,
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Compile an agent with memory.

    Args:
        model: Any chat model.
        memory: What `MemSkillMemory.middleware()` gives.
        tools: Tools of the agent, such as `MemSkillMemory.tools()`.
        system_prompt: Who the assistant is; the recalled notes are added to it at every call.
        last_messages: Messages of the thread that the model is shown at most, >= 1.
        checkpointer: Any LangGraph checkpointer, so that threads go on later.
        store: A store for the tools; the memory has its own.

    Returns:
        A graph over messages with `MemSkillContext` (or any context with a `user_id`).
    """
    return create_agent(
        model,
        list(tools),
        system_prompt=system_prompt,
        middleware=[memory, LastMessages(last_messages)],
        context_schema=MemSkillContext,
        checkpointer=checkpointer,
        store=store,
    )
