"""What one bank says that another does not."""

import difflib
from dataclasses import dataclass
from itertools import chain

from langgraph_memskill.records import Skill
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.skills.folder import text_id

_CONTEXT_LINES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillDifference:
    """One skill that two banks do not have in common."""

    name: str
    kind: str
    """"added", "removed", "changed" or "record" (only statistics, times or origin differ)."""
    diff: tuple[str, ...]
    """Unified diff of description, action type and instructions; empty for a "record"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BankDifference:
    """How one bank differs from another."""

    skills: tuple[SkillDifference, ...]
    """Sorted by name."""
    settings: tuple[str, ...]
    """What else differs, in words: capacity, protection, order."""

    @property
    def is_empty(self) -> bool:
        """Whether the banks are the same."""
        return not self.skills and not self.settings


def compare_banks(before: SkillBank, after: SkillBank) -> BankDifference:
    """Say how a bank differs from an earlier one."""
    names = sorted({*before.names, *after.names})
    found = (_compare(name, before.get(name), after.get(name)) for name in names)
    skills = tuple(difference for difference in found if difference is not None)
    return BankDifference(skills=skills, settings=tuple(_settings(before, after)))


def _compare(name: str, before: Skill | None, after: Skill | None) -> SkillDifference | None:
    if before == after:
        return None
    if before is not None and after is not None:
        is_record = text_id(before) == text_id(after)
        kind = "record" if is_record else "changed"
    else:
        kind = "added" if before is None else "removed"
    old, new = _lines(before), _lines(after)
    lines = difflib.unified_diff(old, new, n=_CONTEXT_LINES, lineterm="")
    # The first two lines name files.
    return SkillDifference(name=name, kind=kind, diff=tuple(lines)[2:])


def _lines(skill: Skill | None) -> list[str]:
    if skill is None:
        return []
    head = [f"description: {skill.description}", f"action type: {skill.action_type}", ""]
    return list(chain(head, skill.instructions.splitlines()))


def _settings(before: SkillBank, after: SkillBank) -> list[str]:
    told = []
    if before.capacity != after.capacity:
        told.append(f"capacity: {before.capacity} → {after.capacity}")
    if gained := after.protected - before.protected:
        told.append(f"protected: {', '.join(sorted(gained))}")
    if lost := before.protected - after.protected:
        told.append(f"no longer protected: {', '.join(sorted(lost))}")
    common = [name for name in before.names if name in after]
    if common != [name for name in after.names if name in before]:
        told.append("the order of the skills")
    return told
