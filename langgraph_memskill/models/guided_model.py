"""The base of chat models whose replies can be held to a JSON schema while they are written."""

from typing import Any, Literal

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.runnables import Runnable, RunnableLambda, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema
from pydantic import BaseModel

from langgraph_memskill.errors import ConfigError
from langgraph_memskill.models.checked_model import CheckedChatModel


class GuidedChatModel(CheckedChatModel):
    """A chat model that takes OpenAI's `response_format` with a JSON schema and enforces it."""

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        include_raw: bool = False,
        method: Literal["json_schema"] = "json_schema",
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Make the model answer with JSON that fits a schema; a grammar enforces it.

        Args:
            schema: A pydantic model, TypedDict or JSON schema.
            include_raw: Return a dict of raw message, parsed value and parsing error.
            method: Only "json_schema".
            **kwargs: "strict" is accepted, because a grammar is always strict; nothing else is.

        Returns:
            A runnable that gives an instance of a pydantic `schema`, otherwise a dict.

        Raises:
            ConfigError: If another method or an unknown argument is asked for.
        """
        unknown = sorted(set(kwargs) - {"strict"})
        if method != "json_schema" or unknown:
            raise ConfigError(
                f"{type(self).__name__} takes only method='json_schema', not {method!r}; unknown "
                f"arguments: {unknown!r}"
            )
        json_schema = convert_to_json_schema(schema)
        name = str(json_schema.get("title", "reply"))
        model = self.bind(
            response_format={
                "type": "json_schema",
                "json_schema": {"name": name, "schema": json_schema},
            },
            ls_structured_output_format={"kwargs": {"method": method}, "schema": json_schema},
        )
        parser: Runnable[Any, Any] = JsonOutputParser()
        if isinstance(schema, type) and issubclass(schema, BaseModel):
            parser = PydanticOutputParser(pydantic_object=schema)
        parser = RunnableLambda(_whole) | parser
        if not include_raw:
            return model | parser
        parsed = RunnablePassthrough.assign(
            parsed=(lambda reply: reply["raw"]) | parser, parsing_error=lambda _: None
        )
        unparsed = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=model) | parsed.with_fallbacks(
            [unparsed], exception_key="parsing_error"
        )


def _whole(message: AIMessage) -> AIMessage:
    """Refuse JSON that was cut off: it can often be parsed, with half a memory at its end."""
    if message.response_metadata.get("finish_reason") == "length":
        raise OutputParserException(
            "the structured answer was cut off; raise max_tokens", llm_output=str(message.text)
        )
    return message
