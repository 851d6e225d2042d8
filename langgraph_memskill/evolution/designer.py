"""Calls the designer's model: structured where it can, text where it cannot, again if need be."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.constants import TAG_NOSTREAM
from langgraph.errors import GraphBubbleUp
from pydantic import BaseModel

from langgraph_memskill.errors import ConfigError, ParseError
from langgraph_memskill.models import model_name
from langgraph_memskill.models.structured import refuses_structure, structured_output
from langgraph_memskill.records import Usage
from langgraph_memskill.writing.usage import usage_of

logger = logging.getLogger(__name__)

ReplyT = TypeVar("ReplyT")

_MAX_QUOTED_CHARS = 2000
# The designer may run beside somebody's chat: its tokens must not show up in that chat's stream.
_CONFIG = RunnableConfig(tags=[TAG_NOSTREAM], run_name="memskill_designer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Generic[ReplyT]):
    """One thing to ask the designer."""

    messages: Callable[[bool], list[BaseMessage]]
    """The prompt; True asks for structured output."""
    schema: type[BaseModel]
    parse: Callable[[BaseModel | str], ReplyT]
    """Raises ParseError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply(Generic[ReplyT]):
    """What came of it."""

    value: ReplyT | None = None
    failure: str | None = None
    """Why there is no value: the last error."""
    usage: Usage = Usage()


class Designer:
    """A chat model that is asked until its reply can be read, within limits."""

    def __init__(self, model: BaseChatModel | None, *, pause_s: float = 0.5) -> None:
        """Take a model.

        Args:
            model: Any chat model that can write; None for an evolution that only waits to be
                decided, in which asking is an error.
            pause_s: Seconds before a failed call is repeated, doubled each time.

        Raises:
            ConfigError: If it is the extractive model, which cannot write skills.
        """
        from langgraph_memskill.extractive.model import ExtractiveChatModel

        if isinstance(model, ExtractiveChatModel):
            raise ConfigError(
                "the extractive model cannot design skills: it quotes sentences and writes nothing "
                "of its own. Name a language model, such as model='openai:gpt-4.1-mini' "
                "(memskill evolve --model openai:gpt-4.1-mini)"
            )
        self._model = model
        self.name = "" if model is None else model_name(model)
        self._pause_s = pause_s
        self._without_structure: set[type[BaseModel]] = set()

    def ask(self, request: Request[ReplyT], attempts: int) -> Reply[ReplyT]:
        """Ask until the reply can be read.

        Args:
            request: What to ask.
            attempts: Calls at most, >= 1.

        Returns:
            The reply read, or why there is none.
        """
        dialogue = _Dialogue(request, self._structured(request.schema))
        for attempt in range(attempts):
            caller, prompt = dialogue.next_call(self._named())
            try:
                answer = caller.invoke(prompt, _CONFIG)
            except GraphBubbleUp:
                raise
            except Exception as error:  # noqa: BLE001
                if self._failed(dialogue, error) and attempt + 1 < attempts:
                    time.sleep(self._pause_s * 2**attempt)
            else:
                if dialogue.take(answer, prompt):
                    break
        return dialogue.reply()

    async def aask(self, request: Request[ReplyT], attempts: int) -> Reply[ReplyT]:
        """Like `ask`, without blocking the event loop."""
        dialogue = _Dialogue(request, self._structured(request.schema))
        for attempt in range(attempts):
            caller, prompt = dialogue.next_call(self._named())
            try:
                answer = await caller.ainvoke(prompt, _CONFIG)
            except GraphBubbleUp:
                raise
            except Exception as error:  # noqa: BLE001
                if self._failed(dialogue, error) and attempt + 1 < attempts:
                    await asyncio.sleep(self._pause_s * 2**attempt)
            else:
                if dialogue.take(answer, prompt):
                    break
        return dialogue.reply()

    def _named(self) -> BaseChatModel:
        if self._model is None:
            raise ConfigError(
                "the evolution still has to ask its designer: name a language model (--model)"
            )
        return self._model

    def _structured(self, schema: type[BaseModel]) -> Runnable[Any, Any] | None:
        if schema in self._without_structure:
            return None
        return structured_output(self._named(), schema)

    def _failed(self, dialogue: "_Dialogue[Any]", error: Exception) -> bool:
        """Note a failed call; whether a pause may help."""
        no_structure = dialogue.is_structured and refuses_structure(error)
        dialogue.note_failure(error)
        if dialogue.is_structured:
            # What a schema made fail, such as a reply that was cut off, may be readable as text.
            dialogue.use_text()
        if no_structure:
            logger.info("the model has no structured output (%s): using text", type(error).__name__)
            self._without_structure.add(dialogue.request.schema)
            return False
        logger.warning("a call of the designer failed: %s", type(error).__name__)
        return True


class _Dialogue(Generic[ReplyT]):
    """The calls for one reply."""

    def __init__(self, request: Request[ReplyT], structured: Runnable[Any, Any] | None) -> None:
        self.request = request
        self._structured = structured
        self._corrections: list[BaseMessage] = []
        self._value: ReplyT | None = None
        self._failure: str | None = None
        self._usage = Usage()

    @property
    def is_structured(self) -> bool:
        return self._structured is not None

    def use_text(self) -> None:
        self._structured = None
        self._corrections = []

    def next_call(self, model: BaseChatModel) -> tuple[Runnable[Any, Any], list[BaseMessage]]:
        prompt = [*self.request.messages(self.is_structured), *self._corrections]
        return self._structured or model, prompt

    def note_failure(self, error: Exception) -> None:
        self._usage += Usage(calls=1)
        self._failure = f"{type(error).__name__}: {str(error)[:500]}"

    def take(self, answer: object, prompt: Sequence[BaseMessage]) -> bool:
        """Read an answer; whether it could be read."""
        self._usage += usage_of(prompt, answer)
        try:
            self._value = self.request.parse(_content(answer))
        except ParseError as error:
            logger.warning("a reply of the designer was not readable: %s", error)
            self._failure = f"ParseError: {error}"
            self._correct(answer, error)
            return False
        self._failure = None
        return True

    def reply(self) -> Reply[ReplyT]:
        return Reply(value=self._value, failure=self._failure, usage=self._usage)

    def _correct(self, answer: object, error: ParseError) -> None:
        """Say what was wrong: a model that is asked the same again would say the same again."""
        said = _text(answer)
        quoted = [AIMessage(said[:_MAX_QUOTED_CHARS])] if said.strip() else []
        self._corrections = [
            *quoted,
            HumanMessage(
                f"That could not be read: {error}. Answer again, with exactly the JSON that was "
                "asked for and nothing else."
            ),
        ]


def _content(answer: object) -> BaseModel | str:
    """The structured reply, or else the text that a parser may read.

    Raises:
        ParseError: If there is neither.
    """
    if isinstance(answer, dict) and isinstance(answer.get("parsed"), BaseModel):
        parsed: BaseModel = answer["parsed"]
        return parsed
    text = _text(answer)
    if not text.strip():
        raise ParseError("the reply is empty")
    return text


def _text(answer: object) -> str:
    message = answer.get("raw") if isinstance(answer, dict) else answer
    if not isinstance(message, AIMessage):
        return ""
    if message.tool_calls:
        # Its arguments are JSON that does not fit the schema; the parser takes what fits.
        return json.dumps(message.tool_calls[0]["args"])
    broken = [call["args"] or "" for call in message.invalid_tool_calls]
    return "\n".join([str(message.text), *broken])
