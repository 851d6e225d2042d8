"""Bootstrap intervals for means over questions, and for differences between two ways."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from langgraph_memskill.errors import ConfigError

_RESAMPLES = 10_000
_LEVEL = 0.95


class Interval(NamedTuple):
    """A mean with its 95% interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        """The three to three decimals."""
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def mean_interval(values: Sequence[float], *, seed: int = 0) -> Interval:
    """The mean of some values and its percentile bootstrap interval.

    Args:
        values: One a question, at least one; for a paired comparison the differences.
        seed: Of the resampling.

    Raises:
        ConfigError: If there is no value.
    """
    if not len(values):
        raise ConfigError("an interval needs at least one value")
    numbers = np.asarray(values, dtype=np.float64)
    generator = np.random.default_rng(seed)
    picks = generator.integers(len(numbers), size=(_RESAMPLES, len(numbers)))
    means = numbers[picks].mean(axis=1)
    tail = (1 - _LEVEL) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(numbers.mean()), float(low), float(high))
