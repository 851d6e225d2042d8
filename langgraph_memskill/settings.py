"""How a memory cuts, selects and retrieves, with METHOD's numbers as defaults."""

from dataclasses import dataclass, fields

from langgraph_memskill.errors import ConfigError
from langgraph_memskill.spans import SpanMode


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of the construction step and of recall.

    Raises:
        ConfigError: If a value is out of its range.
    """

    skills_per_span: int = 5
    """K, the skills picked for a span (METHOD: 3 in training, 5 to 7 at evaluation), >= 1."""
    top_k: int = 20
    """Memories retrieved for a span and for a question, >= 1."""
    message_mode: SpanMode = SpanMode.TURN_PAIR
    """How a list of messages is cut into spans."""
    text_mode: SpanMode = SpanMode.FIXED
    """How plain text is cut into spans."""
    span_tokens: int = 512
    """Upper length of a span in tokens, >= 1."""
    span_overlap: int = 64
    """Tokens that consecutive fixed-length spans share, in [0, span_tokens)."""
    span_workers: int = 1
    """Spans that are read side by side against one snapshot of the memories, >= 1. With 1 every
    span sees what the span before it wrote; with more their actions are merged."""
    model_attempts: int = 3
    """Calls of the model for one span before the span is kept for `retry_failed()`, >= 1."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        for item in fields(self):
            value = getattr(self, item.name)
            if item.type is int and (isinstance(value, bool) or not isinstance(value, int)):
                raise ConfigError(f"{item.name}={value!r} must be a whole number")
        for name in ("skills_per_span", "top_k", "span_tokens", "span_workers", "model_attempts"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)!r} must be at least 1")
        if not 0 <= self.span_overlap < self.span_tokens:
            raise ConfigError(
                f"span_overlap={self.span_overlap!r} must be at least 0 and below "
                f"span_tokens={self.span_tokens!r}"
            )
