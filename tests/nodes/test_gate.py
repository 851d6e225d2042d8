"""The gate in the graph: no encoder, no model, and the run goes on."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph

from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.prompts import read_extraction
from langgraph_memskill.records import Span
from langgraph_memskill.settings import Settings
from langgraph_memskill.state import StepEvent, dump_all

Make = Callable[..., MemSkillMemory]
MIXED = ["hi!", "thanks", "remember one", "ok", "remember two", "remember three", "bye"]


def spans(*texts: str) -> list[Span]:
    return [Span(id=f"s{n}", index=n, text=text) for n, text in enumerate(texts)]


@pytest.mark.parametrize("twin", ["sync", "async"])
async def test_a_greeting_costs_nothing_and_is_no_failure(
    make_memory: Make, model: Any, encoder: Any, monkeypatch: pytest.MonkeyPatch, twin: str
) -> None:
    memory = make_memory()
    for name in ("encode", "embed_query", "embed_documents"):
        monkeypatch.setattr(encoder, name, lambda *_: pytest.fail("the encoder was called"))
    events: list[StepEvent] = []
    if twin == "sync":
        result = memory.remember("Hi there!", user_id="u", on_step=events.append)
    else:
        result = await memory.aremember("Hi there!", user_id="u", on_step=events.append)
    assert (result.actions, result.failed, result.rejected) == ((), (), ())
    assert [event.is_gated for event in events] == [True]
    assert [selection.selector for selection in result.selections] == ["gate"]
    assert model.prompts == []
    assert memory.failed() == []


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_what_is_said_in_between_is_read_in_order(
    make_memory: Make, model: Any, workers: int
) -> None:
    memory = make_memory(settings=Settings(span_workers=workers))
    events: list[StepEvent] = []
    result = memory.remember(spans(*MIXED), user_id="u", on_step=events.append)
    assert [event.span_text for event in events] == MIXED
    assert [event.is_gated for event in events] == [
        t in ("hi!", "thanks", "ok", "bye") for t in MIXED
    ]
    assert [a.content for a in result.actions] == ["one", "two", "three"]
    assert len(result.selections) == len(MIXED)
    assert len(model.prompts) == 3


def test_it_can_be_turned_off(make_memory: Make, model: Any) -> None:
    memory = make_memory(settings=Settings(gate=False))
    events: list[StepEvent] = []
    memory.remember("Hi there!", user_id="u", on_step=events.append)
    assert len(model.prompts) == 1
    assert not events[0].is_gated


def test_a_run_is_resumed_behind_what_was_passed_over(make_memory: Make, model: Any) -> None:
    memory = make_memory(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    state = {"spans": dump_all(spans(*MIXED)), "namespace": ["memories", "u"]}
    for update in memory.graph.stream(state, config, stream_mode="updates", durability="sync"):
        if update.get("store", {}).get("cursor") == 4:
            break
    final = memory.graph.invoke(None, config)
    assert final["cursor"] == len(MIXED)
    assert len(model.prompts) == 3
    assert [m.content for m in memory.memories(user_id="u")] == ["one", "two", "three"]


def test_a_thread_moves_on_past_small_talk(make_memory: Make, model: Any) -> None:
    memory = make_memory()
    builder = StateGraph(MessagesState)
    builder.add_node("remember", memory.remember_node())
    builder.add_edge(START, "remember")
    builder.add_edge("remember", END)
    graph = builder.compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t", "user_id": "u"}}
    hello = [HumanMessage("Hello!"), AIMessage("Hi! How can I help you today?")]
    graph.invoke({"messages": hello}, config)
    assert model.prompts == []
    graph.invoke({"messages": [HumanMessage("remember tea")]}, config)
    [prompt] = model.prompts
    request = read_extraction(prompt)
    assert request is not None
    assert request.span_text == "user: remember tea"


@pytest.mark.parametrize("twin", ["sync", "async"])
async def test_a_gate_of_the_applications_own(make_memory: Make, model: Any, twin: str) -> None:
    gate = lambda span: "#secret" in span.text  # noqa: E731
    memory = make_memory(settings=Settings(gate=gate))
    content = spans("hi!", "remember one #secret", "remember two")
    if twin == "sync":
        result = memory.remember(content, user_id="u")
    else:
        result = await memory.aremember(content, user_id="u")
    assert [a.content for a in result.actions] == ["two"]
    assert result.num_gated == 1
    assert len(model.prompts) == 2  # also for the greeting


def test_a_gate_that_fails_keeps_the_spans(make_memory: Make) -> None:
    def gate(span: Span) -> bool:
        raise RuntimeError("no rule for this")

    memory = make_memory(settings=Settings(gate=gate))
    result = memory.remember("remember one", user_id="u")
    assert "no rule for this" in result.failed[0].reason


def test_a_gate_that_cannot_make_up_its_mind_ends(make_memory: Make) -> None:
    answers = iter([False, True] * 50)
    memory = make_memory(settings=Settings(gate=lambda _: next(answers)))
    assert len(memory.remember(spans(*MIXED), user_id="u").selections) == len(MIXED)
