"""The paper's skills as ours: `instruction_template`, `update_type` and `meta_info` renamed."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from pydantic import JsonValue

from langgraph_memskill.errors import CheckpointError
from langgraph_memskill.skills.bank import DEFAULT_CAPACITY, SkillBank
from langgraph_memskill.skills.fields import read_fields
from langgraph_memskill.skills.rules import (
    EVOLVED_ACTION_TYPES,
    MAX_NAME_CHARS,
    MAX_RECENT_REWARDS,
    context_placeholders,
    name_problem,
    show,
)

_SEEDS = frozenset({"insert", "update", "delete", "noop"})


class BankReading(NamedTuple):
    """What `read_bank` made of the paper's skill bank."""

    bank: SkillBank
    adaptations: tuple[str, ...]
    """What is worded differently from the checkpoint, in sentences."""


def read_bank(content: JsonValue, new_names: JsonValue) -> BankReading:
    """Read the paper's skill bank.

    Args:
        content: `operation_bank` of a checkpoint.
        new_names: Names of the skills that were new when it was saved.

    Returns:
        Our bank in the same order, the new skills marked as new.

    Raises:
        CheckpointError: If it is no skill bank, or skills break a rule that no rewriting meets; the
            message names every one of them.
        SkillError: If two names become equal.
    """
    if not isinstance(content, dict) or not isinstance(content.get("operations"), dict):
        raise CheckpointError("its operation_bank is no dict with a dict of operations")
    operations = content["operations"]
    adaptations: list[str] = []
    skills, problems = [], []
    names: dict[str, str] = {}
    for key, operation in operations.items():  # type: ignore[union-attr]  # checked above
        if not isinstance(operation, dict):
            problems.append(f"{show(key)} is no skill but {show(operation)}")
            continue
        fields, changes = _adapted(operation)
        names[key] = str(fields["name"])
        adaptations += [f"skill {key!r}: {change}" for change in changes]
        skill, found = read_fields(fields)
        problems += [f"{show(key)}: {problem.field} {problem.message}" for problem in found]
        skills += [skill] if skill else []
    if problems:
        raise CheckpointError("its skills cannot be used: " + "; ".join(problems))
    capacity = content.get("max_ops")
    is_capacity = isinstance(capacity, int) and not isinstance(capacity, bool) and capacity > 0
    bank = SkillBank(skills, capacity=capacity if is_capacity else DEFAULT_CAPACITY)  # type: ignore[arg-type]  # is_capacity
    listed = new_names if isinstance(new_names, list) else []
    bank.set_new(names.get(str(name), str(name)) for name in listed)
    return BankReading(bank, tuple(adaptations))


def _adapted(operation: Mapping[str, JsonValue]) -> tuple[dict[str, object], list[str]]:
    """One skill under our field names, and what was changed besides."""
    changes: list[str] = []
    name, instructions = operation.get("name"), operation.get("instruction_template")
    if isinstance(name, str) and name_problem(name):
        safe = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[:MAX_NAME_CHARS]
        changes.append(f"called {safe!r} here, as names are also folders")
        name = safe
    if isinstance(instructions, str) and (found := context_placeholders(instructions)):
        for placeholder in found:
            words = f"the {placeholder.replace('_', ' ')}"
            instructions = re.sub(rf"\{{\s*{re.escape(placeholder)}[^}}]*\}}", words, instructions)
        changes.append(f"its placeholders {', '.join(found)} became words; nothing fills them here")
    meta = operation.get("meta_info")
    statistics = meta if isinstance(meta, dict) else {}
    rewards = statistics.get("recent_rewards", [])
    action_type = operation.get("update_type")
    fields: dict[str, object] = {
        "name": name,
        "description": operation.get("description"),
        "instructions": instructions,
        "action_type": action_type,
        "origin": _origin(operation, statistics),
        "statistics": {
            "usage_count": statistics.get("usage_count", 0),
            "mean_reward": statistics.get("avg_reward", 0.0),
            "recent_rewards": rewards[-MAX_RECENT_REWARDS:] if isinstance(rewards, list) else [],
            "usage_ema": statistics.get("recent_usage_ema", 0.0),
        },
    }
    return fields, changes


def _origin(operation: Mapping[str, JsonValue], meta: Mapping[str, JsonValue]) -> str:
    """Who wrote the skill; the paper's code has words, not times, in created_at."""
    evolved = "designer" in (meta.get("created_at"), meta.get("last_modified"))
    if evolved and operation.get("update_type") in EVOLVED_ACTION_TYPES:
        return "designer"
    return "seed" if operation.get("name") in _SEEDS else "pack"
