"""What can be remembered: text, messages in any of LangChain's forms, or ready spans."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from langchain_core.messages import BaseMessage, MessageLikeRepresentation, convert_to_messages

from langgraph_memskill.cached_encoder import encodable
from langgraph_memskill.errors import ConfigError
from langgraph_memskill.records import Span
from langgraph_memskill.settings import Settings
from langgraph_memskill.spans import spans_from_messages, spans_from_text

Rememberable = str | BaseMessage | Sequence[MessageLikeRepresentation] | Sequence[Span]


def spans_of(content: Rememberable, settings: Settings, time: str | None = None) -> list[Span]:
    """Cut content into spans by the settings.

    Args:
        content: A text, a message, messages, or spans (which are taken as they are).
        settings: How to cut.
        time: When it was said; None is today, "" is unknown.

    Returns:
        At least one span.

    Raises:
        ConfigError: If there is nothing to remember in it, or it is of another kind.
    """
    when = date.today().isoformat() if time is None else time or None
    spans = [_well_formed(span) for span in _cut(content, settings, when)]
    if not any(span.text.strip() for span in spans):
        raise ConfigError(f"there is no text to remember in {str(content)[:80]!r}")
    return spans


def _well_formed(span: Span) -> Span:
    """Replace halves of surrogate pairs (an emoji cut in two): no model or server takes them."""
    if span.text.isascii() or span.text == (text := encodable(span.text)):
        return span
    turns = tuple(replace(turn, text=encodable(turn.text)) for turn in span.turns)
    return replace(span, text=text, turns=turns)


def _cut(content: Rememberable, settings: Settings, when: str | None) -> list[Span]:
    if isinstance(content, str):
        return spans_from_text(
            content,
            mode=settings.text_mode,
            chunk_tokens=settings.span_tokens,
            overlap=settings.span_overlap,
            time=when,
        )
    parts = [content] if isinstance(content, BaseMessage) else list(content)
    spans = [part for part in parts if isinstance(part, Span)]
    if spans:
        if len(spans) != len(parts):
            raise ConfigError("spans cannot be mixed with messages in one call")
        return spans
    return spans_from_messages(
        _messages([part for part in parts if not isinstance(part, Span)]),
        mode=settings.message_mode,
        chunk_tokens=settings.span_tokens,
        overlap=settings.span_overlap,
        time=when,
    )


def _messages(parts: Sequence[MessageLikeRepresentation]) -> list[BaseMessage]:
    try:
        return convert_to_messages(parts)
    except (ValueError, NotImplementedError, TypeError) as error:
        raise ConfigError(f"these are not messages: {str(parts)[:80]!r} ({error})") from error
