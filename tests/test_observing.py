"""OpenTelemetry spans and metrics, and LangSmith runs without payloads; no network."""

import sys
import uuid
from collections.abc import Callable
from typing import Any
from unittest.mock import create_autospec

import pytest
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers import LangChainTracer
from langsmith import Client

from langgraph_memskill.errors import MissingDependencyError
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.observing import OpenTelemetryCallback, redacted_tracer
from tests.telescope import Telescope

pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is not installed")

Make = Callable[..., MemSkillMemory]


@pytest.fixture
def telescope() -> Telescope:
    return Telescope()


def test_a_remember_is_a_span_with_its_steps_and_model_calls(
    make_memory: Make, telescope: Telescope
) -> None:
    memory = make_memory()
    memory.observe(telescope.callback)
    memory.remember("remember the cat is grey", user_id="ann")
    spans = telescope.spans()
    root = spans["memskill.remember"]
    assert root.parent is None
    for step in ("split", "gate", "retrieve", "select_skills", "extract", "store"):
        assert spans[f"memskill.{step}"].parent.span_id == root.context.span_id
    assert spans["memskill.model"].parent.span_id == spans["memskill.extract"].context.span_id


def test_recall_and_answer_are_spans(make_memory: Make, telescope: Telescope) -> None:
    memory = make_memory()
    memory.save("The cat is grey.", user_id="ann")
    memory.observe(telescope.callback)
    assert [m.content for m in memory.recall("cat", user_id="ann")] == ["The cat is grey."]
    memory.answer("Which cat?", user_id="ann")
    assert {"memskill.recall", "memskill.answer", "memskill.model"} <= telescope.spans().keys()


async def test_the_async_methods_are_observed_too(make_memory: Make, telescope: Telescope) -> None:
    memory = make_memory()
    memory.observe(telescope.callback)
    await memory.aremember("remember the cat is grey", user_id="ann")
    await memory.arecall("cat", user_id="ann")
    assert {"memskill.remember", "memskill.recall", "memskill.model"} <= telescope.spans().keys()


def test_no_text_goes_into_a_span(make_memory: Make, telescope: Telescope, model: Any) -> None:
    memory = make_memory()
    memory.observe(telescope.callback)
    memory.remember("remember xyzzy", user_id="ann")
    model.failures = 1
    memory.recall("xyzzy", user_id="ann")
    seen = " ".join(span.to_json() for span in telescope.spans().values())
    assert "xyzzy" not in seen
    assert "memskill.extract" in seen


def test_calls_and_durations_are_counted(make_memory: Make, telescope: Telescope) -> None:
    memory = make_memory()
    memory.observe(telescope.callback)
    memory.remember("remember a", user_id="ann")
    memory.remember("remember b", user_id="ann")
    calls = {p.attributes["operation"]: p.value for p in telescope.points("memskill.calls")}
    assert calls["memskill.remember"] == 2
    assert calls["memskill.model"] == 2
    seconds = telescope.points("memskill.duration")
    assert all(point.sum >= 0 for point in seconds)
    assert {p.attributes["operation"] for p in seconds} == calls.keys()


def test_tokens_are_counted(make_memory: Make, telescope: Telescope) -> None:
    memory = make_memory(model="extractive")
    memory.observe(telescope.callback)
    from langchain_core.messages import AIMessage
    from langchain_core.outputs import ChatGeneration, LLMResult

    usage: Any = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
    message = AIMessage("x", usage_metadata=usage)
    run_id = uuid.uuid4()
    telescope.callback.on_chat_model_start(None, [], run_id=run_id)
    result = LLMResult(generations=[[ChatGeneration(message=message)]])
    telescope.callback.on_llm_end(result, run_id=run_id)
    tokens = {p.attributes["direction"]: p.value for p in telescope.points("memskill.tokens")}
    assert tokens == {"input": 7, "output": 3}


def test_retries_and_failed_spans_are_counted(
    make_memory: Make, telescope: Telescope, model: Any
) -> None:
    memory = make_memory()
    memory.observe(telescope.callback)
    model.failures = 3
    assert len(memory.remember("remember a", user_id="ann").failed) == 1
    assert telescope.total("memskill.failed_spans") == 1
    assert telescope.total("memskill.retries") == 2
    errors = [
        point
        for point in telescope.points("memskill.calls")
        if point.attributes == {"operation": "memskill.model", "outcome": "error"}
    ]
    assert [point.value for point in errors] == [3]


def test_a_missing_package_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(MissingDependencyError, match=r"langgraph-memskill\[otel\]"):
        OpenTelemetryCallback()


@pytest.mark.parametrize("is_redacted", [True, False])
def test_langsmith_gets_named_runs_and_payloads_only_if_wanted(
    make_memory: Make, is_redacted: bool
) -> None:
    client = create_autospec(Client, instance=True)
    client.tracing_queue = None
    memory = make_memory()
    memory.observe(redacted_tracer(client) if is_redacted else LangChainTracer(client=client))
    memory.remember("remember xyzzy", user_id="ann")
    memory.recall("xyzzy", user_id="ann")
    memory.answer("xyzzy?", user_id="ann")
    sent = [call.kwargs for call in client.create_run.call_args_list]
    updates = [call.kwargs for call in client.update_run.call_args_list]
    names = {run["name"] for run in sent}
    assert {"construction", "extract", "memskill_extract", "memskill_answer"} <= names
    assert "memskill_recall" in names
    assert updates
    assert ("xyzzy" in repr(sent) + repr(updates)) is not is_redacted


def test_a_failed_call_tells_langsmith_the_kind_of_error_only(
    make_memory: Make, model: Any
) -> None:
    client = create_autospec(Client, instance=True)
    client.tracing_queue = None
    memory = make_memory()
    memory.observe(redacted_tracer(client))
    model.failures = 3
    memory.remember("remember xyzzy", user_id="ann")
    updates = [call.kwargs for call in client.update_run.call_args_list]
    errors = {update["error"] for update in updates if update["error"]}
    assert "ConnectionError" in errors
    assert "the endpoint is down" not in repr(updates)


def test_an_error_that_is_shown_by_its_message_is_redacted_as_well() -> None:
    class BareError(Exception):
        def __repr__(self) -> str:
            return str(self)

    def fail(text: str) -> str:
        raise BareError(text)

    client = create_autospec(Client, instance=True)
    client.tracing_queue = None
    with pytest.raises(BareError):
        RunnableLambda(fail).invoke("xyzzy", {"callbacks": [redacted_tracer(client)]})
    [update] = [call.kwargs for call in client.update_run.call_args_list]
    assert update["error"] == "BareError"
    assert "xyzzy" not in repr(client.mock_calls)
