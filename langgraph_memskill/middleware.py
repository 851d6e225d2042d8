"""Memory as middleware of LangChain's `create_agent`."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, NotRequired

from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, ModelResponse
from langchain.agents.middleware.types import OmitFromInput, PrivateStateAttr
from langchain_core.messages import SystemMessage
from langgraph.runtime import Runtime

from langgraph_memskill.conversation import AgentMemory, Conversation


class MemSkillAgentState(AgentState[Any]):
    """The agent's state with what the middleware keeps in it."""

    memskill_recalled: NotRequired[Annotated[str, PrivateStateAttr]]
    """The notes recalled for this run; neither input nor output, and never a message."""
    memskill_episode_id: NotRequired[Annotated[str | None, OmitFromInput]]
    """The episode that this run's messages were remembered in, for `memory.feedback`."""


class MemSkillMiddleware(AgentMiddleware[MemSkillAgentState, Any, Any]):
    """Recalls before the model is called and remembers after the run.

    The notes are recalled afresh at every run and go into the system message of the model call, not
    into the conversation: so they are never taken for something that the user said.
    """

    state_schema = MemSkillAgentState

    def __init__(
        self,
        memory: AgentMemory,
        *,
        recall: bool = True,
        remember: bool = True,
        background: bool = False,
        k: int | None = None,
        name: str = "MemSkillMiddleware",
    ) -> None:
        """Make the middleware.

        Args:
            memory: The memory.
            recall: Whether to recall.
            remember: Whether to remember.
            background: Remember after the agent has answered, in a thread of the memory's own:
                the messages are queued durably first, and `memory.flush()` or `memory.close()`
                waits for them.
            k: Memories to recall; None takes the memory's `top_k`.
            name: Distinguishes two of them in one agent.
        """
        super().__init__()
        self._conversation = Conversation(memory, background=background, k=k)
        self._recall = recall
        self._remember = remember
        self._name = name

    @property
    def name(self) -> str:
        """The name of the middleware's nodes."""
        return self._name

    def before_agent(
        self, state: MemSkillAgentState, runtime: Runtime[Any]
    ) -> dict[str, Any] | None:
        """Recall for the last human message."""
        if not self._recall:
            return None
        return {"memskill_recalled": self._conversation.recall(state["messages"])}

    async def abefore_agent(
        self, state: MemSkillAgentState, runtime: Runtime[Any]
    ) -> dict[str, Any] | None:
        """Like `before_agent`, without blocking the event loop."""
        if not self._recall:
            return None
        return {"memskill_recalled": await self._conversation.arecall(state["messages"])}

    def wrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], ModelResponse[Any]],
    ) -> ModelResponse[Any]:
        """Put the notes into the system message."""
        return handler(_with_notes(request))

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """Put the notes into the system message."""
        return await handler(_with_notes(request))

    def after_agent(
        self, state: MemSkillAgentState, runtime: Runtime[Any]
    ) -> dict[str, Any] | None:
        """Remember the run's new messages."""
        if not self._remember:
            return None
        return {"memskill_episode_id": self._conversation.remember(state["messages"])}

    async def aafter_agent(
        self, state: MemSkillAgentState, runtime: Runtime[Any]
    ) -> dict[str, Any] | None:
        """Like `after_agent`, without blocking the event loop."""
        if not self._remember:
            return None
        return {"memskill_episode_id": await self._conversation.aremember(state["messages"])}


def _with_notes(request: ModelRequest[Any]) -> ModelRequest[Any]:
    notes = request.state.get("memskill_recalled")
    if not notes:
        return request
    before = request.system_message
    content: Any = notes
    if before is not None and isinstance(before.content, str):
        content = f"{before.content}\n\n{notes}"
    elif before is not None:
        content = [*before.content, {"type": "text", "text": notes}]
    return request.override(system_message=SystemMessage(content=content))
