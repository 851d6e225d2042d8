"""What is asked of a pool: tools, structured output, ready models, settings that fit."""

import pytest
from langchain_core.language_models import BaseChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import tool
from pydantic import BaseModel, PrivateAttr, SecretStr

from langgraph_memskill.errors import ConfigError
from langgraph_memskill.models.endpoints import mask_key, public_url
from langgraph_memskill.models.key_pool import KeyPool

KEY_1, KEY_2, KEY_3 = (f"sk-test-0123456789-key{n}" for n in (1, 2, 3))


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def test_bound_tools_reach_whichever_endpoint_answers(server, make_pool):
    server[1].rules = {KEY_1: (500, (), "no")}
    reply = make_pool().bind_tools([add]).invoke("add")
    assert reply.tool_calls[0]["args"] == {"a": 1, "b": 2}
    assert [body["tools"][0]["function"]["name"] for _, body in server[1].requests] == ["add"] * 2


class Person(BaseModel):
    name: str
    age: int


def test_structured_output_goes_through_the_pool(server, make_pool):
    server[1].rules = {KEY_1: (500, (), "no")}
    structured = make_pool().with_structured_output(Person)
    assert structured.invoke("who?") == Person(name="Ann", age=3)
    assert server[1].calls == {KEY_1: 1, KEY_2: 1}
    assert server[1].requests[1][1]["response_format"]["type"] == "json_schema"


def test_structured_output_with_the_raw_message(server, make_pool):
    server[1].rules = {KEY_1: (500, (), "no")}
    reply = make_pool().with_structured_output(Person, include_raw=True).invoke("who?")
    assert reply["parsed"] == Person(name="Ann", age=3)
    assert reply["parsing_error"] is None
    assert reply["raw"].text == '{"name": "Ann", "age": 3}'


def test_structured_output_by_tool_call(server, make_pool):
    schema = {
        "title": "sum",
        "description": "a sum",
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
    }
    structured = make_pool().with_structured_output(schema, method="function_calling")
    assert structured.invoke("add") == {"a": 1, "b": 2}


def test_keys_and_urls_belong_together_in_order(serving):
    with serving() as (url_1, answers_1), serving() as (url_2, answers_2):
        pool = KeyPool(model="m", keys=[KEY_1, KEY_2], base_urls=[url_1, url_2])
        for _ in range(4):
            pool.invoke("hi")
    assert answers_1.calls == {KEY_1: 2}
    assert answers_2.calls == {KEY_2: 2}


def test_one_key_serves_all_urls_and_none_is_fine(serving):
    with serving() as (url_1, answers_1), serving() as (url_2, answers_2):
        KeyPool(model="m", keys=[KEY_1], base_urls=[url_1, url_2]).batch(["a", "b"])
        KeyPool(model="m", base_urls=[url_1, url_2]).batch(["a", "b"])
    assert sum((answers_1.calls + answers_2.calls).values()) == 4
    assert set(answers_1.calls) | set(answers_2.calls) == {KEY_1, "EMPTY"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "m"}, "neither keys nor base_urls"),
        ({"keys": [KEY_1]}, "model name"),
        ({"model": "m", "keys": [KEY_1, "  "]}, "empty"),
        ({"model": "m", "keys": [KEY_1, KEY_2], "base_urls": ["http://a"] * 3}, "2 keys and 3"),
        ({"model": "m", "base_urls": ["localhost:8000"]}, "https://host"),
        ({"model": "m", "keys": [KEY_1], "rest_s": 0}, "rest_s"),
        ({"model": "m", "keys": [KEY_1], "wait": 3}, "wait"),
        ({"model": "m", "keys": 7}, "keys"),
    ],
)
def test_contradictory_settings_are_refused_without_naming_keys(options, message):
    with pytest.raises(ConfigError, match=message) as caught:
        KeyPool(**options)
    assert KEY_1 not in str(caught.value)


def test_keys_show_in_no_representation(make_pool):
    pool = make_pool()
    assert KEY_1 not in f"{pool!r} {pool} {pool.endpoints} {pool.asdict()} {pool.to_json()}"


class Flaky(BaseChatModel):
    """A ready model; fails while told so."""

    name: str = "flaky"
    _failures: list[Exception] = PrivateAttr(default_factory=list)

    @property
    def _llm_type(self):
        return "flaky"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        if self._failures:
            raise self._failures.pop()
        return ChatResult(generations=[ChatGeneration(message=AIMessage(self.name))])


class Streaming(Flaky):
    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        yield ChatGenerationChunk(message=AIMessageChunk("one "))
        yield ChatGenerationChunk(message=AIMessageChunk("two"))


def test_ready_models_can_be_pooled():
    first, second = Flaky(name="first"), Flaky(name="second")
    first._failures.append(ConnectionResetError("gone"))
    pool = KeyPool(models=[first, second])
    assert pool.invoke("hi").text == "second"
    assert pool.endpoints[0].reason == "ConnectionResetError"


def test_ready_models_without_streaming_answer_in_one_piece():
    assert [chunk.text for chunk in KeyPool(models=[Flaky()]).stream("hi")] == ["flaky"]


def test_ready_models_with_streaming_stream():
    texts = [chunk.text for chunk in KeyPool(models=[Streaming()]).stream([HumanMessage("hi")])]
    assert [text for text in texts if text] == ["one ", "two"]


def test_an_error_of_the_code_itself_is_no_reason_to_move_on():
    first, second = Flaky(name="first"), Flaky(name="second")
    first._failures.append(KeyError("bug"))
    pool = KeyPool(models=[first, second])
    with pytest.raises(KeyError, match="bug"):
        pool.invoke("hi")
    assert pool.endpoints[1].calls == 0


def test_models_of_two_classes_are_refused():
    with pytest.raises(ConfigError, match=r"'Flaky', 'GenericFakeChatModel'"):
        KeyPool(models=[Flaky(), GenericFakeChatModel(messages=iter(()))])


def test_models_and_keys_exclude_each_other():
    with pytest.raises(ConfigError, match="not both"):
        KeyPool(models=[Flaky()], keys=[KEY_1])


def test_short_keys_are_masked_altogether():
    assert mask_key(SecretStr("abc123")) == "…"
    assert mask_key(SecretStr("0123456789abcdef")) == "…cdef"


def test_public_urls_hold_no_password():
    assert public_url("https://me:secret@host:80/v1?key=1") == "host:80/v1"
