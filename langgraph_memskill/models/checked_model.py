"""The base of our own chat models: a bad argument is a ConfigError that repeats no secret."""

from typing import Any

from langchain_core.language_models import BaseChatModel
from pydantic import ConfigDict, ValidationError

from langgraph_memskill.errors import ConfigError


class CheckedChatModel(BaseChatModel):
    """A chat model that takes only known arguments and reports bad ones in our words."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    def __init__(self, **arguments: Any) -> None:
        """Check and take the fields.

        Args:
            **arguments: The class's fields.

        Raises:
            ConfigError: If an argument is unknown, of the wrong kind or out of range.
        """
        try:
            super().__init__(**arguments)
        except ValidationError as error:
            # pydantic's own text repeats the input, and the input may hold keys.
            problems = "; ".join(_describe(problem) for problem in error.errors())
            raise ConfigError(f"{type(self).__name__}: {problems}") from None


def _describe(problem: Any) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
