"""Structured output: asked for where a model has it; who has not, is asked for text."""

from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable
from pydantic import BaseModel

_REFUSED = (400, 404, 415, 422, 501)
"""HTTP statuses with which a server says that it does not know structured output."""


def structured_output(model: BaseChatModel, schema: type[BaseModel]) -> Runnable[Any, Any] | None:
    """The model with a schema for its replies, or None if it takes none.

    Args:
        model: Any chat model.
        schema: What a reply must fit.

    Returns:
        What gives a dict with `raw`, the message, and `parsed`, None if the message does not fit.
    """
    try:
        return model.with_structured_output(schema, include_raw=True)
    except (NotImplementedError, TypeError, ValueError):
        return None


def refuses_structure(error: Exception) -> bool:
    """Whether an error says that structured output itself was refused: text may still work."""
    status = getattr(error, "status_code", None)  # the error classes of many client libraries
    return status in _REFUSED or isinstance(error, NotImplementedError)
