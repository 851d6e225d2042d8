"""Bootstrap intervals."""

import numpy as np
import pytest

from langgraph_memskill.benchmarks.learning.intervals import mean_interval
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
