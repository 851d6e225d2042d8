"""How the statistics of a skill change (MemSkill, METHOD "Skill bank")."""

import math
from collections.abc import Mapping
from dataclasses import replace

from langgraph_memskill.errors import ConfigError, SkillError
from langgraph_memskill.records import SkillStatistics
from langgraph_memskill.skills.rules import MAX_RECENT_REWARDS

EMA_ALPHA = 0.1
"""Weight of one step in the moving average of being picked."""


def with_reward(statistics: SkillStatistics, reward: float) -> SkillStatistics:
    """Count one use and its reward: running mean, and the last 20 rewards.

    Args:
        statistics: Those before the use.
        reward: A finite number.

    Returns:
        Those after the use.

    Raises:
        SkillError: The reward is not finite.
    """
    if isinstance(reward, bool) or not math.isfinite(reward):
        raise SkillError(f"the reward of a skill must be a finite number, not {reward!r}")
    count = statistics.usage_count + 1
    # A weighted sum cannot overflow, the difference of two rewards could.
    mean = statistics.mean_reward * (statistics.usage_count / count) + reward / count
    return replace(
        statistics,
        usage_count=count,
        mean_reward=mean,
        recent_rewards=(*statistics.recent_rewards, float(reward))[-MAX_RECENT_REWARDS:],
    )


def check_usage(counts: Mapping[str, int], total: int, *, alpha: float) -> None:
    """Hold the arguments of a usage update to their ranges.

    Args:
        counts: In how many of the steps each skill was picked.
        total: Number of steps.
        alpha: Weight of one step.

    Raises:
        ConfigError: alpha is outside [0, 1], total is negative, or a count is outside [0, total].
    """
    if not 0 <= alpha <= 1:
        raise ConfigError(f"alpha must be from 0 to 1, not {alpha!r}")
    if total < 0:
        raise ConfigError(f"total must be 0 or more steps, not {total!r}")
    for name, count in counts.items():
        if not 0 <= count <= total:
            raise ConfigError(f"{name!r} cannot be picked {count!r} times in {total!r} steps")


def with_usage(
    statistics: SkillStatistics, count: int, total: int, *, alpha: float
) -> SkillStatistics:
    """Move the usage average by several steps, as if the picks were spread evenly over them.

    With d = (1 - alpha) ** total: x <- count / total * (1 - d) + x * d. For one step this is the
    plain average x <- alpha * picked + (1 - alpha) * x.

    Args:
        statistics: Those before the steps.
        count: In how many of the steps the skill was picked, at most `total`.
        total: Number of steps; 0 changes nothing.
        alpha: Weight of one step, in [0, 1].

    Returns:
        Those after the steps.
    """
    if total == 0:
        return statistics
    decay = (1 - alpha) ** total
    usage = count / total * (1 - decay) + statistics.usage_ema * decay
    # Rounding can lead just outside of the range that the statistic has by definition.
    return replace(statistics, usage_ema=min(1.0, usage))
