"""Evolution on a LangGraph server: runs that wait for a person, and who may start them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from langgraph_memskill.errors import ConfigError, ModelCallError, NamespaceError
from langgraph_memskill.evolution.gate import HeldOutGate
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.server_evolution import PERMISSION, build_server_evolution
from langgraph_memskill.testing.designer import RuleDesigner

THREAD = {"configurable": {"thread_id": "t"}}


class LoggedIn:
    identity = "ann"
    is_authenticated = True

    def __init__(self, *permissions: str) -> None:
        self.permissions = permissions


@pytest.fixture
def memory(tmp_path: Path, model: Any, encoder: Any) -> Iterator[MemSkillMemory]:
    with MemSkillMemory.open(tmp_path / "m", model, encoder=encoder) as memory:
        episode = memory.remember("remember Clara rides daily", user_id="clara").episode_id
        question = "Where does Clara keep her bicycle?"
        memory.feedback(episode, 0.0, question=question, expected="in the old shed")
        yield memory


@pytest.fixture
def graph(memory: MemSkillMemory) -> Any:
    return build_server_evolution(memory, RuleDesigner(), checkpointer=InMemorySaver())


async def test_without_approval_a_run_changes_the_skills(graph: Any, memory: Any) -> None:
    names = set(memory.skills.names)
    final = await graph.ainvoke({}, THREAD)
    assert final["status"] == "applied"
    assert {change["name"] for change in final["changes"]} - names <= set(memory.skills.names)
    assert set(memory.skills.names) > names


async def test_a_run_waits_for_a_person_and_shows_the_changes(graph: Any, memory: Any) -> None:
    names = set(memory.skills.names)
    waiting = await graph.ainvoke({"approve": True}, THREAD)
    (question,) = waiting["__interrupt__"]
    assert question.value["changes"]
    assert set(memory.skills.names) == names
    accepted = list(range(1, len(question.value["changes"]) + 1))
    final = await graph.ainvoke(Command(resume={"accept": accepted}), THREAD)
    assert final["status"] == "applied"
    assert set(memory.skills.names) > names


async def test_a_refusal_changes_nothing(graph: Any, memory: Any) -> None:
    names = set(memory.skills.names)
    waiting = await graph.ainvoke({"approve": True}, THREAD)
    refused = list(range(1, len(waiting["changes"]) + 1))
    final = await graph.ainvoke(Command(resume={"refuse": refused}), THREAD)
    assert final["status"] == "rejected"
    assert set(memory.skills.names) == names


@pytest.mark.parametrize("answer", ["yes", {"accept": ["all"]}, {"accept": [99]}], ids=str)
async def test_a_bad_decision_is_refused_and_can_be_made_again(graph: Any, answer: Any) -> None:
    waiting = await graph.ainvoke({"approve": True}, THREAD)
    (first,) = waiting["__interrupt__"]
    assert first.value["problem"] is None
    (again,) = (await graph.ainvoke(Command(resume=answer), THREAD))["__interrupt__"]
    assert "decision" in again.value["problem"] or "99" in again.value["problem"]
    accepted = list(range(1, len(waiting["changes"]) + 1))
    final = await graph.ainvoke(Command(resume={"accept": accepted}), THREAD)
    assert final["status"] == "applied"


async def test_the_state_holds_nothing_of_the_cases(graph: Any) -> None:
    waiting = await graph.ainvoke({"approve": True}, THREAD)
    assert "shed" not in str(waiting)
    assert "rides daily" not in str(waiting)


async def test_who_is_logged_in_needs_the_permission(graph: Any, memory: Any) -> None:
    names = memory.skills.names
    ann = {"configurable": {"thread_id": "t", "langgraph_auth_user": LoggedIn("other")}}
    with pytest.raises(NamespaceError, match="may not change the skills"):
        await graph.ainvoke({}, ann)
    assert memory.skills.names == names
    allowed = {"configurable": {"thread_id": "u", "langgraph_auth_user": LoggedIn(PERMISSION)}}
    assert (await graph.ainvoke({}, allowed))["status"] == "applied"


async def test_a_model_that_is_no_designer_is_refused(memory: Any) -> None:
    graph: Any = build_server_evolution(memory, "extractive", checkpointer=InMemorySaver())
    with pytest.raises(ConfigError, match="cannot design skills"):
        await graph.ainvoke({}, THREAD)


async def test_a_second_run_takes_up_what_waits(graph: Any, memory: Any) -> None:
    waiting = await graph.ainvoke({"approve": True}, THREAD)
    other = {"configurable": {"thread_id": "other"}}
    again = await graph.ainvoke({"approve": True}, other)
    assert again["evolution_id"] == waiting["evolution_id"]
    refused = list(range(1, len(again["changes"]) + 1))
    assert (await graph.ainvoke(Command(resume={"refuse": refused}), other))["status"] == "rejected"
    late = await graph.ainvoke(Command(resume={"accept": refused}), THREAD)
    assert late["status"] == "decided"


async def test_a_run_that_failed_behind_the_decision_goes_on(
    graph: Any, memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = await graph.ainvoke({"approve": True}, THREAD)
    accepted = list(range(1, len(waiting["changes"]) + 1))

    def down(*args: Any) -> str | None:
        raise ModelCallError("the gate's model is down")

    with monkeypatch.context() as patched:
        patched.setattr(HeldOutGate, "__call__", down)
        with pytest.raises(ModelCallError):
            await graph.ainvoke(Command(resume={"accept": accepted}), THREAD)
    assert (await graph.ainvoke(None, THREAD))["status"] == "applied"
