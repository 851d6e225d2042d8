"""When a build is saved: seldom enough to cost little."""

import pytest

from langgraph_memskill.benchmarks.running import saving
from langgraph_memskill.benchmarks.running.saving import SavePace


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(saving, "monotonic", lambda: now[0])
    return now


def test_the_first_save_is_due_after_the_least_time(clock):
    pace = SavePace()
    assert not pace.is_due
    clock[0] += 2.0
    assert pace.is_due


@pytest.mark.parametrize(("took", "wait"), [(0.001, 2.0), (1.0, 50.0)])
def test_saves_take_a_fiftieth_of_the_time_at_most(clock, took, wait):
    pace = SavePace()
    with pace.saving():
        clock[0] += took
    assert not pace.is_due
    clock[0] += wait - 1.0
    assert not pace.is_due
    clock[0] += 1.0
    assert pace.is_due


def test_a_save_that_fails_is_due_at_once_again(clock):
    pace = SavePace()
    clock[0] += 2.0
    with pytest.raises(OSError, match="full"), pace.saving():
        raise OSError("full")
    assert pace.is_due
