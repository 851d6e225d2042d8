"""Calling the designer's model: structure, text, repeats and what they cost."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableLambda

from langgraph_memskill.errors import ConfigError, ParseError
from langgraph_memskill.evolution.designer import Designer, Request
from langgraph_memskill.evolution.replies import AnalysisReply

GOOD = '{"summary": "all is well", "patterns": []}'


class Model:
    """Stands in for a chat model; says what it is told to, or raises it."""

    def __init__(self, *said: object, structured: list[object] | None = None) -> None:
        self.said, self.structured = list(said), structured
        self.prompts: list[list[BaseMessage]] = []

    def invoke(self, prompt: list[BaseMessage], config: Any = None) -> AIMessage:
        self.prompts.append(prompt)
        return self._next(self.said)

    async def ainvoke(self, prompt: list[BaseMessage], config: Any = None) -> AIMessage:
        return self.invoke(prompt)

    def with_structured_output(self, schema: Any, **options: Any) -> Any:
        if self.structured is None:
            raise NotImplementedError
        replies = self.structured

        def fill(prompt: list[BaseMessage]) -> dict[str, Any]:
            self.prompts.append(prompt)
            raw = self._next(replies)
            return {"raw": raw, "parsed": None, "parsing_error": None}

        return RunnableLambda(fill)

    @staticmethod
    def _next(replies: list[object]) -> AIMessage:
        reply = replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, AIMessage) else AIMessage(str(reply))


class Refused(Exception):
    status_code = 400


def designer(model: Model) -> Designer:
    made = Designer(None, pause_s=0.0)
    made._model = model  # type: ignore[assignment]  # what it is asked for is all here
    return made


def parse(reply: Any) -> str:
    if "summary" not in str(reply):
        raise ParseError(f"nothing in {reply!r}")
    return str(reply)


REQUEST = Request(
    messages=lambda structured: [SystemMessage("schema" if structured else "text")],
    schema=AnalysisReply,
    parse=parse,
)


async def ask(model: Model, attempts: int, *, is_async: bool) -> Any:
    asked = designer(model)
    return await asked.aask(REQUEST, attempts) if is_async else asked.ask(REQUEST, attempts)


both = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


@both
async def test_text_where_there_is_no_structure(is_async: bool) -> None:
    model = Model(GOOD)
    assert (await ask(model, 1, is_async=is_async)).value == GOOD
    assert model.prompts[0][0].text == "text"


@both
async def test_an_unreadable_reply_is_quoted_with_what_was_wrong(is_async: bool) -> None:
    model = Model("I think so.", GOOD)
    reply = await ask(model, 3, is_async=is_async)
    assert (reply.value, reply.failure, reply.usage.calls) == (GOOD, None, 2)
    _, said, correction = model.prompts[1]
    assert said.text == "I think so."
    assert isinstance(correction, HumanMessage)
    assert "could not be read" in correction.text


@both
async def test_calls_are_limited(is_async: bool) -> None:
    model = Model(ConnectionError("down"), "no", "no", GOOD)
    reply = await ask(model, 3, is_async=is_async)
    assert reply.value is None
    assert reply.failure is not None
    assert reply.failure.startswith("ParseError")
    assert reply.usage.calls == 3


@both
async def test_a_server_that_knows_no_structure_gets_text(is_async: bool) -> None:
    model = Model(GOOD, structured=[Refused("no schema")])
    asked = designer(model)
    first = await asked.aask(REQUEST, 2) if is_async else asked.ask(REQUEST, 2)
    assert first.value == GOOD
    assert [prompt[0].text for prompt in model.prompts] == ["schema", "text"]
    model.said.append(GOOD)
    assert asked.ask(REQUEST, 1).value == GOOD, "it is not tried again"


@both
async def test_a_structured_reply_that_failed_is_asked_for_as_text(is_async: bool) -> None:
    model = Model(GOOD, structured=[RuntimeError("the length limit was reached")])
    assert (await ask(model, 2, is_async=is_async)).value == GOOD


def test_arguments_that_do_not_fit_the_schema_are_read_as_text() -> None:
    call = {"name": "AnalysisReply", "args": {"summary": "half"}, "id": "1"}
    model = Model(structured=[AIMessage("", tool_calls=[call])])
    assert designer(model).ask(REQUEST, 1).value == '{"summary": "half"}'


def test_an_empty_reply_is_a_failure() -> None:
    assert designer(Model(" ")).ask(REQUEST, 1).failure == "ParseError: the reply is empty"


def test_without_a_model_asking_is_an_error() -> None:
    with pytest.raises(ConfigError, match="name a language model"):
        Designer(None).ask(REQUEST, 1)
