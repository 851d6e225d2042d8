"""From rewards to returns and advantages (METHOD, "Reward and training").

Shapes: T steps of one or several episodes, one after the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from langgraph_memskill.errors import ConfigError
from langgraph_memskill.ranges import check_above, check_share

_EPSILON = 1e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class RedistributionConfig:
    """How the final reward of an episode reaches its steps.

    Raises:
        ConfigError: If a value is out of its range.
    """

    enabled: bool = True
    """Whether steps before the last one get a part of it."""
    last_share: float = 0.6
    """Share that the last step gets for itself, in [0, 1]."""
    decay: float = 0.9
    """The rest goes to all steps with weights decay^(steps to the end), > 0."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_share(self, "last_share")
        check_above(self, 0.0, "decay")


class Advantages(NamedTuple):
    """What GAE makes of rewards and values."""

    advantages: NDArray[np.float32]
    """[T], not normalised."""
    returns: NDArray[np.float64]
    """Advantages plus values, [T]."""


def redistribute(
    final_reward: float, num_steps: int, config: RedistributionConfig | None = None
) -> NDArray[np.float64]:
    """Share the final reward out over the steps of an episode.

    Args:
        final_reward: Of the episode.
        num_steps: Its steps; for 0 there is nobody to give the reward to.
        config: The shares.

    Returns:
        What each step gets, [num_steps]; it sums to the final reward.
    """
    config = config or RedistributionConfig()
    shares = np.zeros(num_steps)
    if num_steps == 0:
        return shares
    last = final_reward
    if config.enabled and num_steps > 1:
        last = final_reward * config.last_share
        weights = config.decay ** np.arange(num_steps - 1, -1, -1.0)
        shares += (final_reward - last) * weights / weights.sum()
    shares[-1] += last
    return shares


def gae(
    rewards: Sequence[float] | NDArray[np.floating],
    values: Sequence[float] | NDArray[np.floating],
    is_last: Sequence[bool] | NDArray[np.bool_],
    *,
    discount: float = 0.99,
    gae_lambda: float = 0.95,
    last_value: float = 0.0,
) -> Advantages:
    """Estimate advantages by generalised advantage estimation (Schulman et al., 2016).

    Backwards over the steps, with m_t = 0 at the last step of an episode and 1 elsewhere:
    delta_t = r_t + discount m_t V_{t+1} - V_t and A_t = delta_t + discount lambda m_t A_{t+1}.

    Args:
        rewards: [T].
        values: The critic's estimates when the steps were taken, [T].
        is_last: Where an episode ends, [T].
        discount: Of later rewards, in [0, 1].
        gae_lambda: 0 trusts the critic, 1 the rewards.
        last_value: Value of the state after the last step, if that step ends no episode.

    Returns:
        Advantages and returns; the recursion runs in float64.

    Raises:
        ConfigError: If the three are not equally long.
    """
    if not len(rewards) == len(values) == len(is_last):
        raise ConfigError(
            f"{len(rewards)} rewards, {len(values)} values and {len(is_last)} ends were given: "
            "every step has one of each"
        )
    # Plain floats: a loop over numpy scalars is several times slower.
    rows = zip(*(np.asarray(c).tolist() for c in (rewards, values, is_last)), strict=True)
    found: list[float] = []
    next_value, advantage = float(last_value), 0.0
    for reward, value, ends in reversed(list(rows)):
        carried = 0.0 if ends else discount
        delta = reward + carried * next_value - value
        advantage = delta + carried * gae_lambda * advantage
        next_value = value
        found.append(advantage)
    advantages = np.array(found[::-1], dtype=np.float32)
    return Advantages(advantages, advantages.astype(np.float64) + np.asarray(values, np.float64))


def normalised(advantages: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring advantages to mean 0 and (population) standard deviation 1 over the whole buffer.

    Returns:
        float32 [T]; a single advantage stays as it is.
    """
    if len(advantages) < 2:
        return advantages
    scaled: NDArray[np.float32] = (advantages - advantages.mean()) / (advantages.std() + _EPSILON)
    return scaled
