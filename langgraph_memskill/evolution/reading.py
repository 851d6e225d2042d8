"""Reads the designer's prompts back: what a model was asked, for fakes and baselines."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

from langgraph_memskill.evolution.prompts import TAGS


class DesignerTask(StrEnum):
    """What the designer is asked for."""

    ANALYSE = "analyse"
    CRITICISE = "criticise"
    PROPOSE = "propose"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownSkill:
    """A skill as the designer was shown it."""

    name: str
    action_type: str
    description: str
    instructions: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCase:
    """A hard case as the designer was shown it."""

    number: int
    kind: str
    question: str
    expected: str | None
    answered: str
    cause: str | None
    """Of the diagnosis, if there is one."""
    evidence: str
    memories: tuple[str, ...]
    num_retrieved: int
    """How many memories there were; more than are listed, perhaps."""
    trajectory: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPattern:
    """A pattern of the analysis that the designer was shown."""

    name: str
    cases: tuple[int, ...]
    root_cause: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignerRequest:
    """What a prompt of the designer asks for."""

    task: DesignerTask
    skills: tuple[ShownSkill, ...]
    cases: tuple[ShownCase, ...]
    patterns: tuple[ShownPattern, ...] = ()
    tried: tuple[str, ...] = ()
    """Names of skills whose changes were tried before."""
    rejected: tuple[str, ...] = ()
    """Names of skills whose proposals were rejected."""
    max_changes: int = 0
    refine_only: bool = False
    is_interactive: bool = False
    structured: bool = False


_SKILL = re.compile(
    r'<skill name="([^"]*)" action="([^"]*)"[^>]*>\n<description>(.*?)</description>\n'
    r"<instructions>\n(.*?)\n</instructions>\n</skill>",
    re.DOTALL,
)
_CASE = re.compile(r'<case number="(\d+)" kind="([^"]*)"[^>]*>\n(.*?)\n</case>', re.DOTALL)
_MEMORY = re.compile(r"<memory number=[^>]*>(.*?)</memory>", re.DOTALL)
_RETRIEVED = re.compile(r'<retrieved shown="\d+" of="(\d+)">')
_DIAGNOSIS = re.compile(r'<diagnosis cause="([^"]*)">(.*?)</diagnosis>', re.DOTALL)
_PATTERN = re.compile(
    r'<pattern name="([^"]*)" cases="([^"]*)" root_cause="([^"]*)">\n(.*?)\n</pattern>', re.DOTALL
)
_CHANGE = re.compile(r'<change action="[^"]*" name="([^"]*)">')
_PROPOSAL = re.compile(r'<proposal action="[^"]*" name="([^"]*)">')
_LIMITS = re.compile(r'<limits max_changes="(\d+)" refine_only="(yes|no)">')
_TASKS = {
    "\nAnalyse the cases.": DesignerTask.ANALYSE,
    "\nCriticise the <analysis>": DesignerTask.CRITICISE,
    "\nPropose changes of the skills": DesignerTask.PROPOSE,
}


def read_designer(messages: Sequence[BaseMessage]) -> DesignerRequest | None:
    """Read a prompt of the designer back.

    Args:
        messages: What a chat model was called with; a repeated question may stand behind it.

    Returns:
        The request with the data's original texts, or None if this is no prompt of the designer.
    """
    if len(messages) < 2:
        return None
    system, human = messages[:2]
    if not isinstance(system, SystemMessage) or not isinstance(human, HumanMessage):
        return None
    rules, text = system.text, human.text
    task = next((task for mark, task in _TASKS.items() if mark in rules), None)
    if task is None or not text.startswith("<skills>"):
        return None
    limits = _LIMITS.search(text)
    return DesignerRequest(
        task=task,
        skills=tuple(_skill(match) for match in _SKILL.finditer(text)),
        cases=tuple(_case(match) for match in _CASE.finditer(text)),
        patterns=tuple(_pattern(match) for match in _PATTERN.finditer(text)),
        tried=tuple(map(html.unescape, _CHANGE.findall(text))),
        rejected=tuple(map(html.unescape, _PROPOSAL.findall(text))),
        max_changes=int(limits[1]) if limits else 0,
        refine_only=limits is not None and limits[2] == "yes",
        is_interactive="<trajectory> is what it saw" in rules,
        structured="filling the given schema" in rules,
    )


def _skill(match: re.Match[str]) -> ShownSkill:
    name, action, description, instructions = match.groups()
    return ShownSkill(
        name=html.unescape(name),
        action_type=html.unescape(action),
        description=TAGS.restore(description),
        instructions=TAGS.restore(instructions),
    )


def _case(match: re.Match[str]) -> ShownCase:
    number, kind, body = match.groups()
    diagnosis = _DIAGNOSIS.search(body)
    retrieved = _RETRIEVED.search(body)
    return ShownCase(
        number=int(number),
        kind=html.unescape(kind),
        question=_part("asked", body) or "",
        expected=_part("expected", body),
        answered=_part("answered", body) or "",
        cause=html.unescape(diagnosis[1]) if diagnosis else None,
        evidence=TAGS.restore(diagnosis[2]) if diagnosis else "",
        memories=tuple(map(TAGS.restore, _MEMORY.findall(body))),
        num_retrieved=int(retrieved[1]) if retrieved else 0,
        trajectory=_part("trajectory", body),
    )


def _part(tag: str, body: str) -> str | None:
    found = re.search(rf"<{tag}>\n?(.*?)\n?</{tag}>", body, re.DOTALL)
    return TAGS.restore(found[1]) if found else None


def _pattern(match: re.Match[str]) -> ShownPattern:
    name, cases, root_cause, text = match.groups()
    return ShownPattern(
        name=html.unescape(name),
        cases=tuple(int(number) for number in cases.split(", ") if number),
        root_cause=html.unescape(root_cause),
        text=TAGS.restore(text),
    )
