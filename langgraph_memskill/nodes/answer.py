"""The answer node: one model call answers a question from the recalled memories."""

import re
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphBubbleUp
from langgraph.runtime import Runtime

from langgraph_memskill.errors import ModelCallError
from langgraph_memskill.nodes.base import Node
from langgraph_memskill.prompts import AnswerStyle, answer_messages
from langgraph_memskill.records import Memory
from langgraph_memskill.state import AnsweringState, load_all

_CONFIG = RunnableConfig(run_name="memskill_answer")
_TAGGED = re.compile(r"<answer>(.*?)(?:</answer>|$)", re.IGNORECASE | re.DOTALL)


class AnswerNode(Node[AnsweringState]):
    """Reads `question`, `question_date`, `style` and `recalled`, writes `answer`."""

    def __init__(self, model: BaseChatModel) -> None:
        """Answer with `model`."""
        self._model = model

    def __call__(self, state: AnsweringState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Answer the question.

        Raises:
            ModelCallError: If the model cannot be called.
        """
        try:
            reply = self._model.invoke(_messages(state), _CONFIG)
        except GraphBubbleUp:
            raise
        except Exception as error:
            raise _call_error(state, error) from error
        return {"answer": answer_text(reply, _style(state))}

    async def acall(self, state: AnsweringState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Like calling the node, without blocking the event loop."""
        try:
            reply = await self._model.ainvoke(_messages(state), _CONFIG)
        except GraphBubbleUp:
            raise
        except Exception as error:
            raise _call_error(state, error) from error
        return {"answer": answer_text(reply, _style(state))}


def _messages(state: AnsweringState) -> list[BaseMessage]:
    return answer_messages(
        state["question"],
        load_all(Memory, state["recalled"]),
        style=_style(state),
        date=state.get("question_date"),
    )


def _style(state: AnsweringState) -> AnswerStyle:
    return AnswerStyle(state.get("style", AnswerStyle.PLAIN))


def answer_text(reply: BaseMessage, style: AnswerStyle) -> str:
    """The answer in a reply.

    Args:
        reply: What the model said.
        style: How it was asked to word the answer.

    Returns:
        The trimmed text; for `AnswerStyle.TAGGED` what stands between the tags, if they are there.
    """
    text = str(reply.text).strip()
    tagged = _TAGGED.search(text) if style is AnswerStyle.TAGGED else None
    return tagged[1].strip() if tagged else text


def _call_error(state: AnsweringState, error: Exception) -> ModelCallError:
    return ModelCallError(
        f"the question {state['question'][:80]!r} was not answered: "
        f"{type(error).__name__}: {str(error)[:500]}"
    )
