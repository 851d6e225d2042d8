"""A model that changes what it reads."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import PrivateAttr

from langgraph_memskill.prompts import read_extraction

START = "The tally is:"


class TallyModel(BaseChatModel):
    """Obeys "add X": the memory with the tally gets X at its end. It also obeys "note X"."""

    _meanwhile: list[Callable[[], object]] = PrivateAttr(default_factory=list)
    _num_calls: int = PrivateAttr(default=0)

    @property
    def _llm_type(self) -> str:
        return "tally"

    @property
    def num_calls(self) -> int:
        return self._num_calls

    def meanwhile(self, do: Callable[[], object]) -> None:
        """Do something during the next call, after the memories were read."""
        self._meanwhile.append(do)

    def with_structured_output(self, schema: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        self._num_calls += 1
        if self._meanwhile:
            self._meanwhile.pop(0)()
        request = read_extraction(messages)
        assert request is not None
        blocks = []
        for line in request.span_text.splitlines():
            order, _, what = line.partition(" ")
            if order == "note":
                blocks.append(f"ACTION: INSERT\nMEMORY_ITEM: {what}")
            tally = [m for m in request.memories if m.content.startswith(START)]
            if order == "add" and tally:
                text = f"MEMORY_INDEX: {tally[0].index}\nUPDATED_MEMORY: {tally[0].content} {what}"
                blocks.append(f"ACTION: UPDATE\n{text}")
        reply = AIMessage("\n\n".join(blocks) or "ACTION: NOOP")
        return ChatResult(generations=[ChatGeneration(message=reply)])


@pytest.fixture
def tally() -> TallyModel:
    return TallyModel()
