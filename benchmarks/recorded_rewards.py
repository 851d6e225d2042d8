"""The reward that a recorded ALFWorld episode says it had."""

from collections.abc import Mapping
from typing import Any

_OWN = ("_alfworld_episode_reward", "episode_reward")
_GENERAL = ("reward", "score")
_SUCCESS = ("success", "task_success", "completed")


def recorded_reward(entry: Mapping[str, Any]) -> float:
    """Return the reward of a recorded episode (parity kit, README section 9).

    Args:
        entry: The record of an episode.

    Returns:
        The first number among the fields that may hold the reward, then the score, then the
        success; truth values count as numbers. Without one, the sum of the list `rewards`, or 0.
    """
    for field in (*_OWN, *_GENERAL, *_SUCCESS):
        value = entry.get(field)
        if isinstance(value, int | float):
            return float(value)
    rewards = entry.get("rewards")
    if isinstance(rewards, list) and all(isinstance(value, int | float) for value in rewards):
        return float(sum(rewards))
    return 0.0
