"""Bootstrap intervals."""

import numpy as np
import pytest

from langgraph_memskill.benchmarks.intervals import difference_interval, mean_interval
from langgraph_memskill.errors import ConfigError


def test_equal_values_have_no_width() -> None:
    assert mean_interval([0.5] * 10) == (0.5, 0.5, 0.5)


def test_the_width_is_that_of_the_normal_approximation() -> None:
    values = np.random.default_rng(0).normal(size=400)
    found = mean_interval(values.tolist())
    half = 1.96 * values.std() / 20
    assert found.high - found.mean == pytest.approx(half, rel=0.1)
    assert found.mean - found.low == pytest.approx(half, rel=0.1)


def test_nothing_has_no_interval() -> None:
    with pytest.raises(ConfigError, match="at least one"):
        mean_interval([])


def test_differences_are_paired() -> None:
    """The second is always .1 below the first, however far the questions lie apart."""
    ours = [0.9, 0.5, 0.1, 0.7]
    theirs = [0.8, 0.4, 0.0, 0.6]
    found = difference_interval(ours, theirs)
    assert found == pytest.approx((0.1, 0.1, 0.1))


def test_questions_that_one_side_has_no_score_for_are_in_no_pair() -> None:
    found = difference_interval([1.0, None, 1.0], [0.5, 0.0, None])
    assert found == (0.5, 0.5, 0.5)


def test_without_a_pair_there_is_no_difference() -> None:
    assert difference_interval([1.0, None], [None, 1.0]) is None


def test_pairs_need_equal_lengths() -> None:
    with pytest.raises(ConfigError, match="2 and 1"):
        difference_interval([1.0, 0.0], [1.0])


def test_many_values_are_resampled_in_little_memory() -> None:
    found = mean_interval([0.0, 1.0] * 5000)
    assert found.mean == 0.5
    assert 0.48 < found.low < 0.5 < found.high < 0.52
