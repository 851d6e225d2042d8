"""Skills as plain values: the one form behind both SKILL.md files and a bank's JSON."""

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple, cast

from langgraph_memskill.errors import SkillError
from langgraph_memskill.records import ActionType, Skill, SkillStatistics
from langgraph_memskill.skills.rules import (
    Problem,
    clean_text,
    raise_problems,
    record_problems,
    show,
    text_problems,
)


class FieldsReading(NamedTuple):
    """What `read_fields` made of plain values."""

    skill: Skill | None
    """The skill; None if there are problems."""
    problems: tuple[Problem, ...]


def skill_fields(skill: Skill) -> dict[str, object]:
    """Write a skill as plain values that share nothing with it, so that a snapshot never changes.

    Args:
        skill: Any skill, valid or not.

    Returns:
        Text, numbers, lists and one inner dict, under the names of `Skill`.
    """
    statistics = skill.statistics
    return {
        "name": skill.name,
        "description": skill.description,
        "instructions": skill.instructions,
        "action_type": str(skill.action_type),
        "origin": skill.origin,
        "created_at": skill.created_at,
        "modified_at": skill.modified_at,
        "statistics": {
            "usage_count": statistics.usage_count,
            "mean_reward": statistics.mean_reward,
            "recent_rewards": list(statistics.recent_rewards),
            "usage_ema": statistics.usage_ema,
        },
    }


def read_fields(fields: Mapping[str, object]) -> FieldsReading:
    """Read a skill from plain values, with every broken rule rather than the first.

    The name, the texts and the action type must be there; other fields may be absent and then take
    their defaults. Unknown names are not looked at. The texts are trimmed at both ends.

    Args:
        fields: Values of any kind under the names of `Skill`.

    Returns:
        The skill, or the problems.
    """
    times = {
        # YAML turns an unquoted time into an object of its own.
        field: value.isoformat()
        for field in ("created_at", "modified_at")
        if isinstance(value := fields.get(field), date)
    }
    values = {**fields, **times}
    problems = [
        *text_problems(
            name=values.get("name"),
            description=values.get("description"),
            instructions=values.get("instructions"),
            action_type=values.get("action_type"),
            evolved=values.get("origin") == "designer",
        ),
        *record_problems(values),
    ]
    if problems:
        return FieldsReading(None, tuple(problems))
    return FieldsReading(_build(values), ())


def read_fields_list(entries: object) -> list[Skill]:
    """Read several skills from plain values.

    Args:
        entries: What should be a list of mappings as `skill_fields` writes them.

    Returns:
        The skills in the order of the list.

    Raises:
        SkillError: A rule is broken; the message names every place and field.
    """
    if not isinstance(entries, list | tuple):
        raise SkillError(f"skill bank: skills: must be a list, not {show(entries)}")
    skills: list[Skill] = []
    problems: list[Problem] = []
    for index, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            problems.append(Problem(f"skills[{index}]", f"must be an object, not {show(entry)}"))
            continue
        skill, found = read_fields(entry)
        problems += [Problem(f"skills[{index}].{field}", text) for field, text in found]
        skills += [] if skill is None else [skill]
    raise_problems(problems, of="skill bank")
    return skills


def checked(skill: Skill) -> Skill:
    """Hold a skill to all rules.

    Args:
        skill: Any skill.

    Returns:
        The skill with trimmed texts and with numbers of the declared types.

    Raises:
        SkillError: A rule is broken; the message names the skill and every field concerned.
    """
    reading = read_fields(skill_fields(skill))
    raise_problems(reading.problems, of=f"skill {skill.name!r}")
    return cast(Skill, reading.skill)  # there is one, as there are no problems


def _build(values: Mapping[str, object]) -> Skill:
    """Make the record from values that have passed every check."""
    default = SkillStatistics()
    statistics = cast(Mapping[str, object], values.get("statistics", {}))
    rewards = cast(list[float], statistics.get("recent_rewards", []))
    return Skill(
        name=str(values["name"]),
        description=clean_text(str(values["description"])),
        instructions=clean_text(str(values["instructions"])),
        action_type=ActionType(str(values["action_type"])),
        origin=str(values.get("origin", "person")),
        created_at=str(values.get("created_at", "initial")),
        modified_at=str(values.get("modified_at", "initial")),
        statistics=SkillStatistics(
            usage_count=cast(int, statistics.get("usage_count", default.usage_count)),
            mean_reward=float(cast(float, statistics.get("mean_reward", default.mean_reward))),
            recent_rewards=tuple(float(reward) for reward in rewards),
            usage_ema=float(cast(float, statistics.get("usage_ema", default.usage_ema))),
        ),
    )
