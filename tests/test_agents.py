"""Memory inside of agents: create_agent with middleware, a hand-written StateGraph, tools."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from langgraph_memskill.errors import NamespaceError, StoreError
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.middleware import MemSkillMiddleware
from langgraph_memskill.settings import Settings
from tests.loops import Rounds

Make = Callable[..., MemSkillMemory]


@dataclass
class Context:
    user_id: str


def _config(thread: str) -> dict[str, Any]:
    return {"configurable": {"thread_id": thread}}


def _say(text: str) -> dict[str, Any]:
    return {"messages": [("user", text)]}


def _agent(memory: MemSkillMemory, model: Any, **options: Any) -> Any:
    return create_agent(
        model,
        [],
        system_prompt="Be brief.",
        middleware=[memory.middleware(**options)],
        context_schema=Context,
        checkpointer=InMemorySaver(),
    )


@pytest.mark.parametrize("background", [False, True])
def test_an_agent_recalls_in_a_second_thread(
    make_memory: Make, model: Any, background: bool
) -> None:
    memory = make_memory()
    agent = _agent(memory, model, background=background)
    ann, bob = Context("ann@example.org"), Context("bob")
    agent.invoke(_say("remember Ann likes green tea"), _config("1"), context=ann)
    assert memory.flush(300)
    reply = agent.invoke(_say("What tea does Ann like?"), _config("2"), context=ann)
    assert "Ann likes green tea" in reply["messages"][-1].text
    assert "Be brief." in reply["messages"][-1].text
    other = agent.invoke(_say("What tea does Ann like?"), _config("3"), context=bob)
    assert "green tea" not in other["messages"][-1].text


@pytest.mark.parametrize("background", [False, True])
async def test_an_async_agent_recalls_in_a_second_thread(
    make_memory: Make, model: Any, background: bool
) -> None:
    memory = make_memory()
    agent = _agent(memory, model, background=background)
    users = [Context(f"user {n}") for n in range(3)]
    await asyncio.gather(
        *(
            agent.ainvoke(_say(f"remember my number is {n}"), _config(f"a{n}"), context=user)
            for n, user in enumerate(users)
        )
    )
    assert await memory.aflush(300)
    replies = await asyncio.gather(
        *(
            agent.ainvoke(_say("What is my number?"), _config(f"b{n}"), context=user)
            for n, user in enumerate(users)
        )
    )
    for n, reply in enumerate(replies):
        assert f"my number is {n}" in reply["messages"][-1].text


def test_notes_are_private_and_never_remembered_again(make_memory: Make, model: Any) -> None:
    memory = make_memory()
    agent = _agent(memory, model)
    ann = Context("ann")
    agent.invoke(_say("remember Ann likes tea"), _config("1"), context=ann)
    for n in range(3):
        out = agent.invoke(_say(f"question {n}"), _config("2"), context=ann)
        assert [m for m in out["messages"] if isinstance(m, SystemMessage)] == []
        assert "memskill_recalled" not in out
    assert [m.content for m in memory.memories(user_id="ann")] == ["Ann likes tea"]
    extraction_prompts = [
        str(p[-1].content) for p in model.prompts if "<span" in str(p[-1].content)
    ]
    spans = [prompt.rpartition("<span")[2] for prompt in extraction_prompts]
    assert all("user: " in span for span in spans)


def test_recall_is_fresh_at_every_run_of_a_thread(make_memory: Make, model: Any) -> None:
    memory = make_memory()
    agent = _agent(memory, model)
    ann = Context("ann")
    agent.invoke(_say("remember Ann lives in Oslo"), _config("1"), context=ann)
    agent.invoke(_say("Where does Ann live?"), _config("1"), context=ann)
    [known] = memory.memories(user_id="ann")
    memory.save("Ann lives in Rome", memory_id=known.id, user_id="ann")
    reply = agent.invoke(_say("Where does Ann live?"), _config("1"), context=ann)
    assert "Rome" in reply["messages"][-1].text


def test_every_message_of_a_thread_is_remembered_once(make_memory: Make, model: Any) -> None:
    memory = make_memory()
    agent = _agent(memory, model)
    ann = Context("ann")
    for n in range(4):
        agent.invoke(_say(f"remember fact {n}"), _config("1"), context=ann)
    assert [m.content for m in memory.memories(user_id="ann")] == [f"fact {n}" for n in range(4)]


def test_without_a_thread_only_the_last_exchange_is_remembered(
    make_memory: Make, model: Any
) -> None:
    memory = make_memory()
    agent = create_agent(model, [], middleware=[memory.middleware()], context_schema=Context)
    history = [HumanMessage("remember fact 0"), AIMessage("ok")]
    agent.invoke({"messages": history}, context=Context("ann"))
    agent.invoke({"messages": [*history, HumanMessage("remember fact 1")]}, context=Context("ann"))
    assert [m.content for m in memory.memories(user_id="ann")] == ["fact 0", "fact 1"]


def test_the_episode_id_comes_out_for_feedback(make_memory: Make, model: Any) -> None:
    memory = make_memory()
    out = _agent(memory, model).invoke(
        _say("remember Ann likes tea"), _config("1"), context=Context("ann")
    )
    memory.feedback(out["memskill_episode_id"], 1.0)
    [known] = memory.memories(user_id="ann")
    assert known.sources[0].span_id.startswith(out["memskill_episode_id"])


def test_a_memory_that_fails_does_not_take_the_agent_with_it(
    make_memory: Make, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = make_memory()
    agent = _agent(memory, model)
    ann = Context("ann")

    def broken(*_: Any, **__: Any) -> Any:
        raise StoreError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(memory._search, "search", broken)
        patch.setattr(memory._runs.graph, "stream", broken, raising=False)
        patch.setattr(type(memory), "remember", broken)
        out = agent.invoke(_say("remember Ann likes tea"), _config("1"), context=ann)
    assert out["messages"][-1].text.startswith("I see")
    agent.invoke(_say("hello"), _config("1"), context=ann)
    assert [m.content for m in memory.memories(user_id="ann")] == ["Ann likes tea"]


def test_a_missing_user_is_an_error_not_a_shared_memory(make_memory: Make, model: Any) -> None:
    agent = create_agent(model, [], middleware=[make_memory().middleware()])
    with pytest.raises(NamespaceError, match="user_id"):
        agent.invoke(_say("hello"))


def test_the_user_may_come_from_the_config(make_memory: Make, model: Any) -> None:
    memory = make_memory()
    agent = create_agent(model, [], middleware=[memory.middleware()])
    agent.invoke(_say("remember tea"), {"configurable": {"user_id": 42}})
    assert [m.content for m in memory.memories(user_id=42)] == ["tea"]


def test_two_middlewares_can_stand_in_one_agent(make_memory: Make, model: Any) -> None:
    team = make_memory(namespace=("team", "{user_id}"))
    own = make_memory()
    agent = create_agent(
        model,
        [],
        middleware=[
            MemSkillMiddleware(own),
            MemSkillMiddleware(team, recall=False, name="TeamMemory"),
        ],
        context_schema=Context,
    )
    agent.invoke(_say("remember tea"), context=Context("ann"))
    assert [len(m.memories(user_id="ann")) for m in (own, team)] == [1, 1]


def _graph(memory: MemSkillMemory, model: Any) -> Any:
    def talk(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    builder = StateGraph(MessagesState, context_schema=Context)
    builder.add_node("recall", memory.recall_node())
    builder.add_node("talk", talk)
    builder.add_node("remember", memory.remember_node())
    for before, after in [
        (START, "recall"),
        ("recall", "talk"),
        ("talk", "remember"),
        ("remember", END),
    ]:
        builder.add_edge(before, after)
    return builder.compile(checkpointer=InMemorySaver())


def test_a_state_graph_recalls_in_a_second_thread(make_memory: Make, model: Any) -> None:
    memory = make_memory()
    graph = _graph(memory, model)
    ann = Context("ann")
    graph.invoke(_say("remember Ann likes green tea"), _config("1"), context=ann)
    for _ in range(3):
        out = graph.invoke(_say("What tea does Ann like?"), _config("2"), context=ann)
        assert "Ann likes green tea" in out["messages"][-1].text
        kinds = [type(message) for message in out["messages"]]
        assert kinds.count(SystemMessage) == 1
        assert kinds[0] is SystemMessage
    assert len(memory.memories(user_id="ann")) == 1


async def test_an_async_state_graph_recalls_in_a_second_thread(
    make_memory: Make, model: Any
) -> None:
    graph = _graph(make_memory(), model)
    ann = Context("ann")
    await graph.ainvoke(_say("remember Ann likes green tea"), _config("1"), context=ann)
    out = await graph.ainvoke(_say("What tea does Ann like?"), _config("2"), context=ann)
    assert "Ann likes green tea" in out["messages"][-1].text


def test_notes_can_go_into_a_key_of_the_users_own(make_memory: Make) -> None:
    class State(MessagesState):
        notes: str

    memory = make_memory()
    memory.save("Ann likes tea", user_id="ann")
    builder = StateGraph(State, context_schema=Context)
    builder.add_node("recall", memory.recall_node(into="notes"))
    builder.add_edge(START, "recall")
    builder.add_edge("recall", END)
    out = builder.compile().invoke(_say("What does Ann like?"), context=Context("ann"))
    assert "Ann likes tea" in out["notes"]
    assert len(out["messages"]) == 1


def test_the_tools_search_and_save_for_the_user_of_the_run(make_memory: Make) -> None:
    memory = make_memory()
    builder = StateGraph(MessagesState, context_schema=Context)
    builder.add_node("tools", ToolNode(memory.tools()))
    builder.add_edge(START, "tools")
    graph = builder.compile()

    def call(name: str, user: str, **arguments: Any) -> str:
        request = AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": "1"}])
        out = graph.invoke({"messages": [request]}, context=Context(user))
        return str(out["messages"][-1].content)

    assert "Noted" in call("save_memory", "ann", content="Ann likes tea")
    [tea] = memory.memories(user_id="ann")
    assert f"[{tea.id}]" in call("search_memory", "ann", query="tea")
    assert "no notes" in call("search_memory", "bob", query="tea")
    assert "did not work" in call("save_memory", "bob", content="x", memory_id=tea.id)
    assert "Noted" in call("save_memory", "ann", content="Ann likes milk", memory_id=tea.id)
    assert "did not work" in call("save_memory", "ann", content="  ")
    assert tea.id in call("save_memory", "ann", content="Ann likes milk.")
    assert [m.content for m in memory.memories(user_id="ann")] == ["Ann likes milk"]


async def test_the_tools_work_async_and_outside_of_graphs(make_memory: Make) -> None:
    memory = make_memory()
    search, save = memory.tools()
    config = {"configurable": {"user_id": "ann"}}
    await save.ainvoke({"content": "Ann likes tea"}, config)
    assert "Ann likes tea" in await search.ainvoke({"query": "tea"}, config)
    assert "Ann likes tea" in search.invoke({"query": "tea"}, config)
    with pytest.raises(NamespaceError):
        search.invoke({"query": "tea"})


async def test_memory_operations_do_not_block_the_loop(
    make_memory: Make, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that takes its time in a thread leaves the loop free to do other things."""
    memory, rounds = make_memory(settings=Settings(model_attempts=1)), Rounds()
    kind = type(model)
    monkeypatch.setattr(kind, "_generate", rounds.holding_up(kind._generate, rounds=10))
    await rounds.during(memory.aremember("remember tea", user_id="u"))
    await rounds.during(memory.aanswer("tea?", user_id="u"))
    assert rounds.held_up == [True, True]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_every_durability_of_the_agents_run(
    make_memory: Make, model: Any, durability: Any
) -> None:
    memory = make_memory()
    agent, ann = _agent(memory, model), Context("ann")
    agent.invoke(_say("remember Ann likes tea"), _config("1"), context=ann, durability=durability)
    await agent.ainvoke(
        _say("remember Ann likes figs"), _config("2"), context=ann, durability=durability
    )
    assert not memory.failed()
    assert len(memory.memories(user_id="ann")) == 2


@pytest.mark.parametrize("durability", ["sync", "exit"])
def test_answering_inside_of_a_run_with_every_durability(
    make_memory: Make, durability: Any
) -> None:
    memory = make_memory()
    memory.remember("remember Ann likes tea", user_id="ann")

    def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(memory.answer("tea?", user_id="ann").text)]}

    builder = StateGraph(MessagesState)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    builder.add_edge("ask", END)
    graph = builder.compile(checkpointer=InMemorySaver())
    final = graph.invoke(_say("?"), _config("1"), durability=durability)
    assert "tea" in final["messages"][-1].text
