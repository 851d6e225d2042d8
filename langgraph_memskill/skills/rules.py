"""What makes a skill valid (problems) and what makes it good (advice).

One set of rules serves everything that takes a skill in: SKILL.md files, banks read from JSON,
changes to a bank, the acceptance check of the evolution (METHOD, "Accept a change only if") and the
linter. The problem functions take any value, because files and model replies may hold any value.
"""

import math
import re
import reprlib
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from langgraph_memskill.errors import SkillError
from langgraph_memskill.records import ActionType, Skill

MAX_NAME_CHARS = 64
MAX_DESCRIPTION_CHARS = 1024
MAX_INSTRUCTIONS_CHARS = 100_000
MAX_CAPACITY = 1_000_000  # more skills than any bank holds
MAX_RECENT_REWARDS = 20
EVOLVED_ACTION_TYPES = frozenset({ActionType.INSERT, ActionType.UPDATE})
"""What a skill written by the designer may do (METHOD, "Skill bank")."""
SECTIONS = ("Purpose", "When to use", "How to apply", "Constraints", "Action")
"""The parts that the instructions of a skill should have."""

_ADVISED_DESCRIPTION_CHARS = (40, 600)
_ADVISED_INSTRUCTIONS_CHARS = (120, 6000)
_SAME_DESCRIPTION_OVERLAP = 0.8
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_SNAKE_CASE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_PLACEHOLDER = re.compile(r"\{\s*([A-Za-z_][\w.]*)\s*(?:[!:][^{}\n]*)?\}")
_CONTEXT_NAMES = frozenset(
    {"session_text", "input_text", "span", "span_text", "chunk", "chunk_text", "text_chunk"}
    | {"conversation", "conversation_text", "dialogue", "dialogue_text", "transcript", "context"}
    | {"history", "chat_history", "memories", "retrieved_memories", "retrieved_memory"}
    | {"existing_memories", "memory_bank", "memory_items", "memory_list"}
)
_ACTION_WORD = re.compile(r"\b(INSERT|UPDATE|DELETE|NOOP)\b")


class Problem(NamedTuple):
    """One broken rule."""

    field: str
    """Name of the field, as in `Skill`; a statistic is "statistics.<name>"."""
    message: str
    """What is wrong and what is expected, to be read after the field's name."""


class LintLevel(StrEnum):
    """How serious a finding of the linter is."""

    ERROR = "error"
    """The skill cannot be loaded or used."""
    ADVICE = "advice"
    """The skill works, but would probably work better otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LintIssue:
    """One finding of `lint`."""

    level: LintLevel
    skill: str
    """Name of the skill, or of its folder if the name could not be read."""
    field: str
    message: str
    file: Path | None = None
    """The SKILL.md (or bank.json) concerned; None for a skill that is not in a file."""

    def __str__(self) -> str:
        """One line for people: level, place, field, message."""
        place = self.file if self.file is not None else f"skill {self.skill!r}"
        return f"{self.level}: {place}: {self.field}: {self.message}"


def show(value: object) -> str:
    """Shorten the repr of a value that may be large or hostile, for use in a message."""
    shortener = reprlib.Repr()
    shortener.maxstring = shortener.maxother = 60
    return shortener.repr(value)


def clean_text(text: str) -> str:
    """Unify line ends to one form and trim both ends, so that a text equals its copy on disk."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def context_placeholders(text: str) -> tuple[str, ...]:
    """Find placeholders that stand for the span, the conversation or the retrieved memories.

    Nothing fills them: the prompt shows the span and the memories by itself, so a skill that holds
    one would show the executor the bare placeholder (METHOD, "Accept a change only if").

    Args:
        text: Instructions of a skill.

    Returns:
        The names between the braces, as written, in order of first appearance.
    """
    names = (match.group(1) for match in _PLACEHOLDER.finditer(text))
    return tuple(dict.fromkeys(name for name in names if name.lower() in _CONTEXT_NAMES))


def name_problem(value: object) -> str | None:
    """Say what is wrong with a skill's name; None if nothing is."""
    if not isinstance(value, str):
        return f"must be text, not {show(value)}"
    if len(value) > MAX_NAME_CHARS:
        return f"has {len(value)} characters, at most {MAX_NAME_CHARS} are allowed: {show(value)}"
    if not _NAME.fullmatch(value):
        return (
            "must be letters a-z, digits and underscores, starting with a letter or digit "
            f"(it is also the folder's name), not {show(value)}"
        )
    return None


def description_problem(value: object) -> str | None:
    """Say what is wrong with a skill's description; None if nothing is."""
    return _text_problem(value, MAX_DESCRIPTION_CHARS)


def instructions_problem(value: object) -> str | None:
    """Say what is wrong with a skill's instructions; None if nothing is."""
    problem = _text_problem(value, MAX_INSTRUCTIONS_CHARS)
    if problem is not None or not isinstance(value, str):
        return problem
    found = context_placeholders(value)
    if found:
        listed = ", ".join(f"{{{name}}}" for name in found)
        return (
            f"must not hold the context placeholder {listed}: nothing fills it, so say it in words"
        )
    return None


def action_type_problem(value: object, *, evolved: bool = False) -> str | None:
    """Say what is wrong with an action type; None if nothing is.

    Args:
        value: What was given.
        evolved: Whether the skill comes from the designer, which may only write insert and update.
    """
    allowed = [kind.value for kind in ActionType if not evolved or kind in EVOLVED_ACTION_TYPES]
    if isinstance(value, str) and value in allowed:
        return None
    who = "for a skill of the designer " if evolved else ""
    return f"must be one of {', '.join(allowed)} {who}(lower case), not {show(value)}"


def text_problems(
    *,
    name: object,
    description: object,
    instructions: object,
    action_type: object,
    evolved: bool = False,
) -> list[Problem]:
    """Check the four parts that say what a skill is (METHOD, "Accept a change only if").

    Args:
        name: The proposed name; a missing part is given as None.
        description: The proposed description.
        instructions: The proposed instructions.
        action_type: The proposed action type.
        evolved: Whether the skill comes from the designer.

    Returns:
        Every broken rule, in the order of the arguments; empty if the texts can be used.
    """
    found = {
        "name": name_problem(name),
        "description": description_problem(description),
        "instructions": instructions_problem(instructions),
        "action_type": action_type_problem(action_type, evolved=evolved),
    }
    return [Problem(field, message) for field, message in found.items() if message is not None]


def record_problems(fields: Mapping[str, object]) -> list[Problem]:
    """Check everything else that a skill carries: origin, times and statistics.

    Args:
        fields: Plain values under the names of `Skill`; a field that is absent is not checked.

    Returns:
        Every broken rule; empty if there is none.
    """
    problems = _checked(fields, _RECORD_CHECKS, prefix="")
    statistics = fields.get("statistics", {})
    if isinstance(statistics, Mapping):
        return problems + _checked(statistics, _STATISTICS_CHECKS, prefix="statistics.")
    return [*problems, Problem("statistics", f"must be a mapping, not {show(statistics)}")]


def raise_problems(problems: Sequence[Problem], *, of: str) -> None:
    """Turn broken rules into the error for a single skill.

    Args:
        problems: What was found; nothing happens if it is empty.
        of: What was checked, as the start of the message: a file, or "skill 'x'".

    Raises:
        SkillError: There is at least one problem; the message names each field.
    """
    if problems:
        raise SkillError(f"{of}: " + "; ".join(f"{field}: {text}" for field, text in problems))


def advice(skill: Skill) -> list[Problem]:
    """Judge a valid skill: length, name style, sections, placeholders, action.

    Args:
        skill: A skill without problems.

    Returns:
        Suggestions, each with the field it is about.
    """
    found = [
        ("name", _name_advice(skill.name)),
        ("description", _length_advice(skill.description, _ADVISED_DESCRIPTION_CHARS)),
        ("instructions", _length_advice(skill.instructions, _ADVISED_INSTRUCTIONS_CHARS)),
        ("instructions", _section_advice(skill.instructions)),
        ("instructions", _placeholder_advice(skill.instructions)),
        ("instructions", _action_advice(skill)),
    ]
    return [Problem(field, message) for field, message in found if message is not None]


def similar_descriptions(skills: Sequence[Skill]) -> list[tuple[Skill, Skill]]:
    """Find pairs whose descriptions use nearly the same words.

    The controller tells skills apart by their descriptions alone, so such a pair competes for the
    same spans. Texts count as near duplicates when 80 % of their distinct words are shared.

    Args:
        skills: The skills of one bank.

    Returns:
        The pairs, in bank order.
    """
    words = [frozenset(re.findall(r"\w+", skill.description.casefold())) for skill in skills]
    pairs = combinations(range(len(skills)), 2)
    return [(skills[i], skills[j]) for i, j in pairs if _overlap(words[i], words[j])]


def _overlap(first: frozenset[str], second: frozenset[str]) -> bool:
    shared, distinct = len(first & second), len(first | second)
    return distinct > 0 and shared >= _SAME_DESCRIPTION_OVERLAP * distinct


def _text_problem(value: object, limit: int) -> str | None:
    if value is None:
        return "is missing"
    if not isinstance(value, str):
        return f"must be text, not {show(value)}"
    if not value.strip():
        return "is empty"
    if len(value) > limit:
        return f"has {len(value)} characters, at most {limit} are allowed"
    odd = next(
        (c for c in value if c not in "\n\r\t" and unicodedata.category(c) in {"Cc", "Cs"}), None
    )
    return None if odd is None else f"holds the character {odd!r}, which no text file should hold"


def _origin_problem(value: object) -> str | None:
    if isinstance(value, str) and _NAME.fullmatch(value) and len(value) <= MAX_NAME_CHARS:
        return None
    return f"must be one word such as seed, pack, designer or person, not {show(value)}"


def _time_problem(value: object) -> str | None:
    if value == "initial":
        return None
    try:
        datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        return (
            f'must be an ISO time such as "2026-01-31T09:30:00Z", or "initial", not {show(value)}'
        )
    return None


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    # An int beyond float's range raises instead of becoming infinite.
    return -1e300 < value < 1e300 and math.isfinite(value)


def _number_problem(value: object) -> str | None:
    return None if _is_number(value) else f"must be a finite number, not {show(value)}"


def _count_problem(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63:
        return None
    return f"must be a whole number, 0 or more, not {show(value)}"


def _rewards_problem(value: object) -> str | None:
    if not isinstance(value, list | tuple):
        return f"must be a list of numbers, not {show(value)}"
    if len(value) > MAX_RECENT_REWARDS:
        return f"has {len(value)} entries, at most the last {MAX_RECENT_REWARDS} are kept"
    odd = [entry for entry in value if not _is_number(entry)]
    return f"must hold finite numbers only, not {show(odd[0])}" if odd else None


def _share_problem(value: object) -> str | None:
    if isinstance(value, int | float) and _is_number(value) and 0 <= value <= 1:
        return None
    return f"must be a number from 0 to 1, not {show(value)}"


_RECORD_CHECKS: Mapping[str, Callable[[object], str | None]] = {
    "origin": _origin_problem,
    "created_at": _time_problem,
    "modified_at": _time_problem,
}
_STATISTICS_CHECKS: Mapping[str, Callable[[object], str | None]] = {
    "usage_count": _count_problem,
    "mean_reward": _number_problem,
    "recent_rewards": _rewards_problem,
    "usage_ema": _share_problem,
}


def _checked(
    values: Mapping[str, object],
    checks: Mapping[str, Callable[[object], str | None]],
    *,
    prefix: str,
) -> list[Problem]:
    found = ((field, check(values[field])) for field, check in checks.items() if field in values)
    return [Problem(prefix + field, message) for field, message in found if message is not None]


def _name_advice(name: str) -> str | None:
    return None if _SNAKE_CASE.fullmatch(name) else f"{name!r} is not in snake_case"


def _length_advice(text: str, limits: tuple[int, int]) -> str | None:
    low, high = limits
    if len(text) < low:
        return f"has only {len(text)} characters; say more precisely what to do and when"
    if len(text) > high:
        return (
            f"has {len(text)} characters; above {high} it crowds the prompt or is cut by encoders"
        )
    return None


def _section_advice(instructions: str) -> str | None:
    missing = [
        section
        for section in SECTIONS
        if not re.search(rf"^\W*{section}\b", instructions, re.IGNORECASE | re.MULTILINE)
    ]
    return f"no section {', '.join(missing)}" if missing else None


def _placeholder_advice(instructions: str) -> str | None:
    names = dict.fromkeys(match.group(0) for match in _PLACEHOLDER.finditer(instructions))
    return f"nothing fills placeholders such as {next(iter(names))}" if names else None


def _action_advice(skill: Skill) -> str | None:
    action_part = re.split(r"(?im)^\W*Action\b", skill.instructions)[-1]
    named = {word.lower() for word in _ACTION_WORD.findall(action_part)}
    if named and skill.action_type.value not in named:
        return f"speak of {', '.join(sorted(named))}, but the action type is {skill.action_type}"
    return None
