"""Bootstrap intervals for means over questions, and for differences between two ways."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from langgraph_memskill.errors import ConfigError

_RESAMPLES = 10_000
_BLOCK = 1_000_000
"""Values that are drawn at once, so that memory does not grow with their number."""
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
    tail = (1 - _LEVEL) / 2
    low, high = np.quantile(_resampled_means(numbers, seed), [tail, 1 - tail])
    return Interval(float(numbers.mean()), float(low), float(high))


def difference_interval(
    ours: Sequence[float | None], theirs: Sequence[float | None], *, seed: int = 0
) -> Interval | None:
    """The mean difference between two ways of answering the same questions, and its interval.

    Args:
        ours: One score a question; None for one without a score.
        theirs: The other way's scores of the same questions, in the same order.
        seed: Of the resampling.

    Returns:
        Ours less theirs over the questions that both have a score for; None if there is none.

    Raises:
        ConfigError: If the numbers of scores differ.
    """
    if len(ours) != len(theirs):
        raise ConfigError(f"{len(ours)} and {len(theirs)} scores cannot be paired")
    pairs = zip(ours, theirs, strict=True)
    differences = [a - b for a, b in pairs if a is not None and b is not None]
    return mean_interval(differences, seed=seed) if differences else None


def _resampled_means(numbers: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    generator = np.random.default_rng(seed)
    rows = max(1, _BLOCK // len(numbers))
    means = np.empty(_RESAMPLES)
    for start in range(0, _RESAMPLES, rows):
        block = means[start : start + rows]
        picks = generator.integers(len(numbers), size=(len(block), len(numbers)), dtype=np.int32)
        np.mean(numbers[picks], axis=1, out=block)
    return means
