"""The reward of a single step: did what came out fit what was picked (METHOD, "Reward")."""

from collections.abc import Iterable
from dataclasses import dataclass

from langgraph_memskill.ranges import check_at_least

_NOOP = "noop"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRewardConfig:
    """How much the steps of an episode can earn besides the final reward.

    Raises:
        ConfigError: If a value is negative or not finite.
    """

    budget: float = 0.10
    """What the steps of one episode can earn or lose together, >= 0; 0 turns the rewards off."""
    failure_budget: float = 0.05
    """What they lose together if nothing of what the model wrote could be used, >= 0."""
    noop_scale: float = 0.2
    """Factor on a match that consists of noop alone, >= 0."""
    scale: float = 1.0
    """Factor on all of it, >= 0."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_at_least(self, 0.0, "budget", "failure_budget", "noop_scale", "scale")


def process_reward(
    selected: Iterable[str],
    succeeded: Iterable[str],
    *,
    num_failed: int,
    num_steps: int,
    config: ProcessRewardConfig | None = None,
) -> float:
    """Compare the picked skills' action types with the types of the actions that came out.

    Sets are compared, so three insert skills and one INSERT are a full match (QUIRK 55, kept).

    Args:
        selected: Action types of the picked skills, in any case.
        succeeded: Types of the actions that could be used, in any case; a reply that asks for
            nothing is one noop.
        num_failed: Actions, or whole replies, that could not be used.
        num_steps: Steps of the episode; values below 1 count as 1.
        config: The budgets.

    Returns:
        The step's reward, at most the step's share of the budget in size.
    """
    config = config or ProcessRewardConfig()
    wanted = {kind.lower() for kind in selected}
    done = {kind.lower() for kind in succeeded}
    length = max(num_steps, 1)
    quota = config.scale * config.budget / length
    if not done:
        return -config.scale * config.failure_budget / length if num_failed else 0.0
    shared = wanted & done
    if not shared:
        return -quota
    scale = config.noop_scale if shared == {_NOOP} else 1.0
    return quota * len(shared) / len(wanted | done) * scale
