"""Which skill goes when a full bank gets a new one (MemSkill, METHOD "Skill bank")."""

from collections.abc import Collection, Sequence

from langgraph_memskill.errors import SkillError
from langgraph_memskill.records import Skill


def choose_victim(skills: Sequence[Skill], protected: Collection[str]) -> Skill:
    """Choose the skill that makes room.

    Args:
        skills: All skills of the bank, in bank order.
        protected: Names of skills that stay.

    Returns:
        The used skill with the lowest mean reward; if none was used, the first; among equals the
        first in bank order.

    Raises:
        SkillError: Everything is protected.
    """
    free = [skill for skill in skills if skill.name not in protected]
    if not free:
        raise SkillError(
            f"the bank is full ({len(skills)} skills) and all of them are protected; "
            "raise the capacity or remove a skill"
        )
    used = [skill for skill in free if skill.statistics.usage_count > 0]
    if used:
        return min(used, key=lambda skill: skill.statistics.mean_reward)
    return free[0]
