"""What model calls cost: counted from the model's own report, or else estimated."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from langchain_core.messages import AIMessage, BaseMessage

from langgraph_memskill.records import Usage
from langgraph_memskill.tokens import default_tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class UserUsage:
    """What the reading of one user's spans has cost so far."""

    total: Usage = Usage()
    days: dict[str, Usage] = field(default_factory=dict)
    """The last days on which there was any, by UTC date ("2026-11-24")."""

    def on(self, day: str) -> Usage:
        """What one UTC date has cost."""
        return self.days.get(day, Usage())


def utc_day() -> str:
    """Today's UTC date."""
    return datetime.now(UTC).date().isoformat()


def usage_of(prompt: Sequence[BaseMessage], reply: object) -> Usage:
    """What one call took.

    Args:
        prompt: What the model was given.
        reply: Its message, or what `with_structured_output(include_raw=True)` makes of it.

    Returns:
        One call with the tokens that the message reports. A message without such a report, or
        something that is no message, counts as estimated: the tokens of the texts, and of the
        arguments of tool calls.
    """
    message = reply.get("raw") if isinstance(reply, dict) else reply
    if isinstance(message, AIMessage) and (reported := message.usage_metadata):
        return Usage(
            calls=1,
            input_tokens=reported["input_tokens"],
            output_tokens=reported["output_tokens"],
        )
    written = _written(message)
    tokenizer = default_tokenizer()
    return Usage(
        calls=1,
        input_tokens=sum(len(tokenizer.split(str(part.text))) for part in prompt),
        output_tokens=len(tokenizer.split(written)),
        estimated_calls=1,
    )


def _written(message: object) -> str:
    if not isinstance(message, BaseMessage):
        return str(message or "")
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    arguments = [json.dumps(call["args"], default=str, ensure_ascii=False) for call in calls]
    return "\n".join([str(message.text), *arguments])
