"""What the designer replied, as records: structured or as text, with the names that models use."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from pydantic import BaseModel, Field

from langgraph_memskill.errors import ParseError
from langgraph_memskill.evolution.records import (
    Analysis,
    ChangeAction,
    FailurePattern,
    ProposedChange,
    RootCause,
)
from langgraph_memskill.parsing.json_reply import read_json
from langgraph_memskill.skills.rules import show

_INSTRUCTIONS = ("instructions", "instruction_template", "instruction")
_ACTION_TYPES = ("action_type", "update_type", "type")
_REASONS = ("reason", "reasoning", "rationale")
_SUMMARIES = ("summary", "reasoning", "reason")
_NEW = ("new_skill", "new_operation")
_REFINED = ("refined_skill", "refined_operation")
_FENCE = re.compile(r"\A\s*```[A-Za-z]*\s*|\s*```\s*\Z")
_BACKTICKED = re.compile(r'"(?:[^"\\]|\\.)*"|`(.*?)`(?=\s*(?:[,}\]]|\Z))', re.DOTALL)

_OPTIONAL = Field(default_factory=str)
"""A text that may be left out; strict servers refuse a schema with a default value in it."""


class PatternItem(BaseModel):
    """One pattern in the cases."""

    name: str
    cases: list[int] = Field(default_factory=list, description="Numbers of the cases")
    root_cause: Literal["storage", "retrieval", "memory_quality"]
    explanation: str
    recommendation: str = _OPTIONAL


class AnalysisReply(BaseModel):
    """The analysis of the hard cases."""

    summary: str = _OPTIONAL
    patterns: list[PatternItem]


class CriticismReply(BaseModel):
    """Criticism of an analysis, and the improved analysis."""

    verdict: Literal["keep", "improve"]
    criticism: str = _OPTIONAL
    analysis: AnalysisReply | None = Field(
        default=None, description="The whole improved analysis; nothing if the verdict is keep"
    )


class ChangeItem(BaseModel):
    """One proposed change of a skill."""

    action: Literal["add_new", "refine_existing"]
    name: str = Field(description="The new skill's name, or the skill to refine")
    description: str | None = Field(default=None, description="Nothing keeps the present one")
    instructions: str | None = Field(default=None, description="Nothing keeps the present ones")
    action_type: Literal["insert", "update"] | None = Field(
        default=None, description="Of a new skill"
    )
    reason: str = _OPTIONAL


class ProposalReply(BaseModel):
    """The proposed changes; none means that the skills stay as they are."""

    summary: str = _OPTIONAL
    changes: list[ChangeItem] = Field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Criticism:
    """What criticism came to."""

    analysis: Analysis | None = None
    """The improved analysis; None keeps the present one."""
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What the designer wants to change."""

    changes: tuple[ProposedChange, ...] = ()
    summary: str = ""


def analysis_of(reply: BaseModel | str) -> Analysis:
    """Read an analysis.

    Args:
        reply: An `AnalysisReply`, or the text of a reply.

    Raises:
        ParseError: If no analysis is in it.
    """
    found = _objects(reply, "patterns", "summary")
    return _analysis(found[-1])


def criticism_of(reply: BaseModel | str) -> Criticism:
    """Read criticism: a `CriticismReply`, its text, or just an improved analysis.

    Raises:
        ParseError: If it is none of these.
    """
    found = _objects(reply, "verdict", "analysis", "patterns")[-1]
    text = _text(found, ("criticism", "critique")) or ""
    if str(found.get("verdict", "")).strip().lower() == "keep":
        return Criticism(text=text)
    improved = found.get("analysis", found)
    if not isinstance(improved, Mapping) or "patterns" not in improved:
        raise ParseError('the criticism holds neither the verdict "keep" nor an improved analysis')
    return Criticism(analysis=_analysis(improved), text=text)


def proposal_of(reply: BaseModel | str) -> Proposal:
    """Read proposed changes.

    Text may be fenced or stand amid prose; broken JSON means what json_repair makes of it. A list
    counts as the changes; an object holds them under "changes", or is one itself. Entries that are
    no change at all are left out.

    Args:
        reply: A `ProposalReply`, or the text of a reply.

    Returns:
        The changes as they were written, good or bad; none if the designer wants none.

    Raises:
        ParseError: If the text holds no JSON object or list.
    """
    value = reply.model_dump() if isinstance(reply, BaseModel) else _last_value(reply)
    if isinstance(value, list):
        return _proposal(_changes(value), "")
    content = cast(Mapping[str, object], value)
    summary = _text(content, _SUMMARIES) or ""
    if isinstance(listed := content.get("changes"), list) and not _is_refinement(content):
        return Proposal(changes=_changes(listed), summary=summary)
    return _proposal(_changes([content]), summary)


def _proposal(changes: tuple[ProposedChange, ...], summary: str) -> Proposal:
    if changes and not summary:
        summary = changes[0].reason
    return Proposal(changes=changes, summary=summary)


def _changes(entries: Sequence[object]) -> tuple[ProposedChange, ...]:
    return tuple(
        change
        for entry in entries
        if isinstance(entry, Mapping) and (change := _change(entry)) is not None
    )


def _change(entry: Mapping[str, object]) -> ProposedChange | None:
    action = _action(entry)
    if action is None:
        return None
    keys = _NEW if action is ChangeAction.ADD_NEW else _REFINED
    nested = next((entry[key] for key in keys if key in entry), entry)
    if not isinstance(nested, Mapping):
        return _unusable(action, f"holds {show(nested)} instead of a skill")
    texts: Mapping[str, object] = nested
    problems = []
    if action is ChangeAction.REFINE_EXISTING and "changes" in nested:
        inner = nested["changes"]
        if not isinstance(inner, Mapping):
            return _unusable(action, f"its changes are {show(inner)} instead of an object", nested)
        texts = inner
    values: dict[str, str | None] = {}
    for field, names in (
        ("description", ("description",)),
        ("instructions", _INSTRUCTIONS),
        ("action_type", _ACTION_TYPES),
    ):
        value = next((texts[name] for name in names if name in texts), None)
        if value is not None and not isinstance(value, str):
            problems.append(f"{field}: must be text, not {show(value)}")
            value = None
        values[field] = value
    name = nested.get("name", nested.get("target"))
    if not isinstance(name, str):
        problems.append("name: is missing" if name is None else f"name: is {show(name)}")
    kind = values["action_type"]
    return ProposedChange(
        action=action,
        name=name if isinstance(name, str) else "",
        description=values["description"],
        instructions=values["instructions"],
        action_type=None if kind is None else kind.strip().lower(),
        reason=_text(nested, _REASONS) or _text(entry, _REASONS) or "",
        problems=tuple(problems),
    )


def _unusable(
    action: ChangeAction, problem: str, skill: Mapping[str, object] | None = None
) -> ProposedChange:
    name = (skill or {}).get("name")
    return ProposedChange(
        action=action, name=name if isinstance(name, str) else "", problems=(problem,)
    )


def _action(entry: Mapping[str, object]) -> ChangeAction | None:
    """What kind of change an entry is: its own word for it, or else the key of its skill."""
    named = str(entry.get("action", "")).strip().lower()
    if named in tuple(ChangeAction):
        return ChangeAction(named)
    if named and named not in ("apply_changes", "multi"):
        return None
    if any(key in entry for key in _NEW):
        return ChangeAction.ADD_NEW
    if any(key in entry for key in _REFINED):
        return ChangeAction.REFINE_EXISTING
    return None


def _is_refinement(content: Mapping[str, object]) -> bool:
    """Whether an object is one flat refinement, whose "changes" are its texts."""
    return str(content.get("action", "")).strip().lower() == ChangeAction.REFINE_EXISTING


def _analysis(content: Mapping[str, object]) -> Analysis:
    listed = content.get("patterns")
    entries = listed if isinstance(listed, list) else []
    patterns = tuple(_pattern(entry) for entry in entries if isinstance(entry, Mapping))
    summary = _text(content, _SUMMARIES) or ""
    if not patterns and not summary:
        raise ParseError("the analysis holds neither a pattern nor a summary")
    return Analysis(patterns=patterns, summary=summary)


def _pattern(entry: Mapping[str, object]) -> FailurePattern:
    cause = str(entry.get("root_cause", "")).strip().lower().replace(" ", "_")
    numbers = entry.get("cases")
    return FailurePattern(
        name=_text(entry, ("name", "pattern", "title")) or "unnamed",
        cases=tuple(_numbers(numbers if isinstance(numbers, list) else [numbers])),
        # Of a cause that is none of the three it is at least known that the memory was no help.
        root_cause=RootCause(cause) if cause in tuple(RootCause) else RootCause.MEMORY_QUALITY,
        explanation=_text(entry, ("explanation", "description")) or "",
        recommendation=_text(entry, ("recommendation", "fix")) or "",
    )


def _numbers(entries: Sequence[object]) -> Iterator[int]:
    for entry in entries:
        if isinstance(entry, int) and not isinstance(entry, bool):
            yield entry
        elif isinstance(entry, str):
            yield from map(int, re.findall(r"\b[0-9]{1,4}\b", entry))


def _objects(reply: BaseModel | str, *keys: str) -> list[Mapping[str, object]]:
    """The objects of a reply that have one of the keys; at least one."""
    if isinstance(reply, BaseModel):
        return [reply.model_dump()]
    values = _values(reply)
    found = [value for value in values if isinstance(value, dict) and any(k in value for k in keys)]
    if not found:
        raise ParseError(f"no JSON object with {' or '.join(map(repr, keys))} in {show(reply)}")
    return cast(list[Mapping[str, object]], found)


def _last_value(text: str) -> object:
    values = _values(text)
    if not values:
        raise ParseError(f"no JSON object or list in {show(text)}")
    return values[-1]


def _values(text: str) -> tuple[object, ...]:
    bare = _FENCE.sub("", text)
    quoted = _BACKTICKED.sub(_quoted, bare) if "`" in bare else bare
    reply = read_json(quoted)
    if reply.values:
        return reply.values
    return (reply.partial,) if reply.partial else ()


def _quoted(match: re.Match[str]) -> str:
    """Double quotes for a text in backticks; texts in double quotes stay as they are."""
    inner = match[1]
    return match[0] if inner is None else '"' + inner.replace('"', '\\"') + '"'


def _text(content: Mapping[str, object], names: Sequence[str]) -> str | None:
    return next(
        (value for name in names if isinstance(value := content.get(name), str)),
        None,
    )
