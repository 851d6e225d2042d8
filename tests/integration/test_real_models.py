"""Remembering through real language models: llama.cpp in the process and behind a real endpoint."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from langgraph_memskill.errors import ModelCallError
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.models import load_model
from langgraph_memskill.models.local_model import LocalChatModel, bundled_gguf
from langgraph_memskill.records import ActionType, Skill
from langgraph_memskill.settings import Settings
from langgraph_memskill.skills.bank import SkillBank
from tests.integration.small_server import small_server

Make = Callable[..., MemSkillMemory]
pytestmark = pytest.mark.slow
TEXT = "Ann: My sister Clara moved to Lisbon in March and works there as a nurse."


def _bank() -> SkillBank:
    skill = Skill(
        name="facts",
        description="Facts about people.",
        instructions="Write each fact about a person as one sentence.",
        action_type=ActionType.INSERT,
    )
    return SkillBank([skill])


@pytest.fixture(scope="module")
def local() -> LocalChatModel:
    pytest.importorskip("xllamacpp", reason="the extra [local] brings llama.cpp")
    try:
        path = bundled_gguf()
    except ModelCallError as error:
        pytest.skip(f"no small model at hand: {error}")
    return LocalChatModel(model_path=path, max_tokens=96, n_threads=1)


def _remembered(memory: MemSkillMemory) -> None:
    """Whatever a tiny model says: a memory with provenance, a NOOP, or a span kept for retry."""
    result = memory.remember(TEXT, user_id="u", time="8 May 2023")
    assert len(result.failed) <= 1
    for stored in result.memories:
        assert stored.content.strip()
        assert stored.skills == ("facts",)
        assert stored.sources[0].span_id.startswith(result.episode_id)
    assert [f.span.text for f in memory.failed()] == [f.span.text for f in result.failed]
    assert all(action.type is ActionType.INSERT for action in result.actions)


def test_through_llama_cpp_in_the_process(make_memory: Make, local: LocalChatModel) -> None:
    memory = make_memory(model=local, skills=_bank(), settings=Settings(model_attempts=1))
    _remembered(memory)
    assert memory.answer("Where does Clara work?", user_id="u").text


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with small_server(context=4096, reply=96) as address:
        yield address


def test_through_an_openai_compatible_endpoint(
    make_memory: Make, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("langgraph_memskill.models.loading._TIMEOUT_S", 900.0)
    model = load_model(endpoint)
    memory = make_memory(model=model, skills=_bank(), settings=Settings(model_attempts=1))
    _remembered(memory)


async def test_an_endpoint_that_is_gone_keeps_the_span(make_memory: Make, model: Any) -> None:
    gone = load_model("http://127.0.0.1:9/v1#nothing")
    memory = make_memory(model=gone, settings=Settings(model_attempts=1))
    result = await memory.aremember("remember tea", user_id="u")
    assert "onnection" in result.failed[0].reason
    again = make_memory(model=model)
    assert [m.content for m in (await again.aretry_failed()).memories] == ["tea"]
