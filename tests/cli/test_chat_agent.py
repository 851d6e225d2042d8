"""The agent of `memskill chat`."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver

from langgraph_memskill.graphs.chat_agent import SYSTEM_PROMPT, LastMessages, build_chat_agent
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.state import MemSkillContext

MakeMemory = Callable[..., MemSkillMemory]
ANN = MemSkillContext(user_id="ann")


def shown(messages: list[AnyMessage], count: int) -> list[AnyMessage]:
    """What a model is shown of a thread."""

    class Request:
        def __init__(self, messages: list[AnyMessage]) -> None:
            self.messages = messages

        def override(self, *, messages: list[AnyMessage]) -> "Request":
            return Request(messages)

    request: Any = Request(messages)
    seen: list[Any] = []
    handler: Any = seen.append
    LastMessages(count).wrap_model_call(request, handler)
    return list(seen[0].messages)


def test_the_last_messages_begin_with_the_user() -> None:
    thread: list[AnyMessage] = []
    for number in range(3):
        thread += [HumanMessage(f"q{number}"), AIMessage(f"a{number}")]
    assert shown(thread, 4) == thread[2:]
    assert shown(thread, 3) == thread[4:]
    assert shown(thread, 100) == thread


def test_a_long_run_of_tool_calls_is_not_cut() -> None:
    call = AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "1"}])
    result = ToolMessage("seen", tool_call_id="1")
    thread: list[AnyMessage] = [HumanMessage("old"), AIMessage("old"), HumanMessage("new")]
    thread += [call, result] * 5
    assert shown(thread, 4) == thread[2:]
    assert shown([AIMessage("hello")], 1) == [AIMessage("hello")]


@pytest.mark.parametrize("in_async", [False, True])
async def test_the_agent_recalls_remembers_and_shortens(
    make_memory: MakeMemory, model: Any, in_async: bool
) -> None:
    memory = make_memory()
    agent = build_chat_agent(
        memory.model, memory.middleware(), last_messages=1, checkpointer=InMemorySaver()
    )

    async def say(text: str, thread: str) -> None:
        message = {"messages": [("user", text)]}
        config: Any = {"configurable": {"thread_id": thread}}
        if in_async:
            await agent.ainvoke(message, config, context=ANN)
        else:
            agent.invoke(message, config, context=ANN)

    await say("remember the cat is grey", "one")
    await say("Which colour is the cat?", "one")
    [asked] = [p for p in model.prompts if p[-1].text == "Which colour is the cat?"]
    assert [message.type for message in asked] == ["system", "human"]
    assert asked[0].text.startswith(SYSTEM_PROMPT)
    assert "the cat is grey" in asked[0].text
    assert [m.content for m in memory.memories(user_id="ann")] == ["the cat is grey"]
