"""A chat model without a language model behind it; the same input gives the same output."""

import html
import re
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from pydantic import Field, PrivateAttr

from langgraph_memskill.embedding import TextEncoder, load_encoder
from langgraph_memskill.extractive.actions import Change, extract
from langgraph_memskill.extractive.answers import find_answer
from langgraph_memskill.extractive.notes import drafts_of
from langgraph_memskill.models.checked_model import CheckedChatModel
from langgraph_memskill.prompts import (
    AnswerRequest,
    AnswerStyle,
    MemoryText,
    read_answer,
    read_extraction,
    restore,
)
from langgraph_memskill.records import ActionType, Span

_NOTE = re.compile(r'<memory(?: date="(?P<date>[^"]*)")?>(?P<content>.*?)</memory>', re.DOTALL)
_QUESTION = re.compile(
    r"\?|\A\s*(?:who|whose|what|when|where|which|why|how|do|does|did|is|are|was|were|can|tell)\b",
    re.IGNORECASE,
)
_UNKNOWN = {
    AnswerStyle.PLAIN: "The memories do not say.",
    AnswerStyle.SHORT: "No information available",
    AnswerStyle.TAGGED: "No memory fits the question. <answer>unknown</answer>",
}
# What a parser of action blocks could take for a new action, inside somebody's words.
_MARK = re.compile(
    r"\b(ACTION)([*`]*\s*[:=-]?\s*[*`]*\s*)(?=(?:INSERT|UPDATE|DELETE|NOOP)\b)", re.IGNORECASE
)
_FIELD_NAME = re.compile(
    r"\b(?:MEMORY_(?:ITEM|INDEX|ID)|(?:UPDATED|NEW)_MEMORY|REASONING)(?=\s*[:=])"
)


class ExtractiveChatModel(CheckedChatModel):
    """A deterministic baseline that needs no LLM, no key and no network.

    It reads this package's own prompts. From a span it keeps the sentences that fit the picked
    skills, by embedding similarity to the skills' own texts, attributes them to their speaker and
    writes the meaning of relative dates behind them. A question it answers with the words of the
    memory that fits best. In any other conversation it quotes its notes, or says what it is.

    It understands nothing: it is there so that demos, tests and the training of a controller run
    anywhere, and as the number that a real model has to beat.
    """

    encoder: Any = Field(default=None, exclude=True, repr=False)
    """What `load_encoder` takes; None is the bundled MiniLM, loaded when first needed."""

    notes_per_skill: int | None = Field(default=None, ge=1)
    """Notes that each picked skill takes from a span at most, those that fit it best first; None
    sets no limit. With a limit, a long span leaves skills something to choose."""

    notice: ClassVar[str] = (
        "I am the extractive baseline, not a language model: I can only quote what I have noted. "
        "Choose a model with --model or MEMSKILL_MODEL for real answers."
    )
    """What the model says of itself."""

    _loaded: TextEncoder | None = PrivateAttr(default=None)

    @property
    def model_name(self) -> str:
        """The name in provenance and traces."""
        return "extractive"

    @property
    def _llm_type(self) -> str:
        return "extractive"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_name, "notes_per_skill": self.notes_per_skill}

    def read_ahead(self, spans: Sequence[Span]) -> None:
        """Embed the notes that many spans may give in large batches, faster than span by span.

        Args:
            spans: What the model will be asked to read, with the same encoder.
        """
        drafts = [draft for span in spans for draft in drafts_of(span.text, span.time)]
        notes = [note for draft in drafts if draft.words for note in (draft.full, draft.brief)]
        self._text_encoder().encode(list(dict.fromkeys(notes)))

    def _text_encoder(self) -> TextEncoder:
        if self._loaded is None:
            self._loaded = load_encoder(self.encoder)
        return self._loaded

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        message = AIMessage(
            content=self._reply(messages), response_metadata={"model_name": self.model_name}
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _reply(self, messages: Sequence[BaseMessage]) -> str:
        extraction = read_extraction(messages)
        if extraction is not None:
            changes = extract(
                extraction, self._text_encoder(), notes_per_skill=self.notes_per_skill
            )
            return "\n\n".join(map(_block, changes)) or "ACTION: NOOP"
        question = read_answer(messages)
        if question is not None:
            return self._answer(question)
        return self._chat(messages)

    def _answer(self, request: AnswerRequest) -> str:
        found = find_answer(request.question, request.memories, self._text_encoder())
        if found is None:
            return _UNKNOWN[request.style]
        if request.style is AnswerStyle.SHORT:
            return found.phrase
        if request.style is AnswerStyle.TAGGED:
            return f"{found.statement} <answer>{found.phrase}</answer>"
        if re.search(rf"\b{re.escape(found.phrase)}\b", found.statement):
            return found.statement
        return f"{found.phrase[0].upper()}{found.phrase[1:]}. {found.statement}"

    def _chat(self, messages: Sequence[BaseMessage]) -> str:
        said = next((str(m.text) for m in reversed(messages) if isinstance(m, HumanMessage)), "")
        if not _QUESTION.search(said):
            return f"I have read that. {self.notice}"
        notes = [
            MemoryText(
                index=index,
                content=restore(match["content"]),
                date=html.unescape(match["date"]) if match["date"] else None,
            )
            for message in messages
            if isinstance(message, SystemMessage)
            for index, match in enumerate(_NOTE.finditer(str(message.text)))
        ]
        found = find_answer(said, notes, self._text_encoder())
        if found is None:
            return f"None of my notes answers that. {self.notice}"
        return f"From my notes: {found.statement}"

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Ignore tools: the model never calls any.

        Args:
            tools: Not used.
            tool_choice: Not used.
            **kwargs: Not used.

        Returns:
            The model itself, so that it can stand in as an agent's model.
        """
        return self

    def with_structured_output(
        self, schema: dict[str, Any] | type, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """Refuse: the model writes action blocks.

        Raises:
            NotImplementedError: Always, as LangChain expects of models that cannot do it.
        """
        raise NotImplementedError("the extractive model writes text; parse its action blocks")


def _block(change: Change) -> str:
    content = _as_value(change.content)
    if change.type is ActionType.INSERT:
        return f"ACTION: INSERT\nMEMORY_ITEM: {content}"
    if change.type is ActionType.UPDATE:
        head = f"ACTION: UPDATE\nMEMORY_INDEX: {change.memory_index}"
        return f"{head}\nUPDATED_MEMORY: {content}"
    return f"ACTION: DELETE\nMEMORY_INDEX: {change.memory_index}"


def _as_value(text: str) -> str:
    """Write somebody's words so that they stay the value of one field of one action block."""
    line = " ".join(text.split()).replace("```", "'''")
    line = _FIELD_NAME.sub(lambda match: match[0].lower(), line)
    return _MARK.sub(r"\1, ", line)
