"""When a build is saved: seldom enough to cost little."""

import pytest

from langgraph_memskill.benchmarks.running import saving
from langgraph_memskill.benchmarks.running.saving import SavePace


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(saving, "monotonic", lambda: now[0])
    return now


def test_a_quick_save_comes_again_after_the_least_time(clock):
    pace = SavePace(2.0)
    assert not pace.is_due
    clock[0] += 2.0
    assert pace.is_due
    with pace.saving():
        clock[0] += 0.001
    assert not pace.is_due
    clock[0] += 2.0
    assert pace.is_due


def test_saves_take_a_fiftieth_of_the_time_at_most(clock):
    pace = SavePace(2.0)
    with pace.saving():
        clock[0] += 1.0
    clock[0] += 49.0
    assert not pace.is_due
    clock[0] += 1.0
    assert pace.is_due


def test_a_save_that_fails_is_due_at_once_again(clock):
    pace = SavePace(2.0)
    clock[0] += 2.0
    with pytest.raises(OSError, match="full"), pace.saving():
        raise OSError("full")
    assert pace.is_due
