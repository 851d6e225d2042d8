"""Bootstrap intervals for means over questions, and for differences between two ways."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from langgraph_memskill.errors import ConfigError

_RESAMPLES = 10_000
_BLOCK = 1_000_000
"""Values that are drawn at once, so that memory does not grow with their number."""
_KEPT = 40_000_000
"""Bytes of draws that are kept for the next mean over as many values."""
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
    """The mean of each resample, from how often it takes each value."""
    size = len(numbers)
    is_kept = size * _RESAMPLES <= _KEPT
    blocks = _kept_counts(size, seed) if is_kept else _counts(size, seed)
    return np.concatenate([block.astype(np.float64) @ numbers for block in blocks]) / size


@lru_cache(maxsize=4)
def _kept_counts(size: int, seed: int) -> tuple[NDArray[np.uint8], ...]:
    """The same for all metrics and rows of the same questions, so they are drawn once."""
    return tuple(_counts(size, seed))


def _counts(size: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    """How often each resample takes each value, in blocks of resamples."""
    generator = np.random.default_rng(seed)
    rows = max(1, _BLOCK // size)
    for start in range(0, _RESAMPLES, rows):
        num = min(rows, _RESAMPLES - start)
        picks = generator.integers(size, size=(num, size), dtype=np.int32)
        picks += np.arange(num, dtype=np.int32)[:, None] * size
        counts = np.bincount(picks.ravel(), minlength=num * size)
        # No value is drawn 256 times: that has a chance of about 1e-500.
        yield counts.astype(np.uint8).reshape(num, size)
