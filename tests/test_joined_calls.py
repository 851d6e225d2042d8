from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest

from langgraph_memskill.joined_calls import JoinedCalls

_LIMIT_S = 60


class SlowModel:
    """Waits in its first call until it is let go; refuses the text "bad"."""

    def __init__(self):
        self.calls, self.is_called, self.may_go = [], Event(), Event()

    def compute(self, texts):
        self.calls.append(list(texts))
        if len(self.calls) == 1:
            self.is_called.set()
            assert self.may_go.wait(_LIMIT_S)
        if "bad" in texts:
            raise ValueError("bad text")
        return {text: np.array([len(text)], np.float32) for text in texts}


@pytest.fixture
def model():
    return SlowModel()


@pytest.fixture
def joined(model):
    return JoinedCalls(model.compute)


@pytest.fixture
def pool():
    with ThreadPoolExecutor(8) as threads:
        yield threads


def _wait(joined, model, pool, *wishes):
    """Begin one call, and the others while it lasts; let it go when all of them wait."""
    first = pool.submit(joined.vectors, ["first"])
    assert model.is_called.wait(_LIMIT_S)
    others = []
    for number, wish in enumerate(wishes, 1):
        others.append(pool.submit(joined.vectors, wish))
        while len(joined._wishes) < number:
            assert not others[-1].done()
    model.may_go.set()
    assert first.result(_LIMIT_S)["first"] == 5
    return others


def test_threads_that_wait_share_the_next_call(joined, model, pool):
    others = _wait(joined, model, pool, ["a", "bb"], ["bb", "ccc"], ["dddd"])
    found = [other.result(_LIMIT_S) for other in others]
    assert [sorted(vectors) for vectors in found] == [["a", "bb"], ["bb", "ccc"], ["dddd"]]
    assert all(row == [len(text)] for vectors in found for text, row in vectors.items())
    assert len(model.calls) == 2
    assert sorted(model.calls[1]) == ["a", "bb", "ccc", "dddd"]


def test_a_failure_is_that_of_its_own_texts_only(joined, model, pool):
    good, bad, fine = _wait(joined, model, pool, ["a"], ["bad"], ["ccc"])
    assert good.result(_LIMIT_S)["a"] == 1
    assert fine.result(_LIMIT_S)["ccc"] == 3
    with pytest.raises(ValueError, match="bad text"):
        bad.result(_LIMIT_S)
    assert joined.vectors(["later"])["later"] == 5


def test_one_call_takes_a_bounded_number_of_other_texts(joined, model, pool):
    wishes = [[f"{number}-{n}" for n in range(600)] for number in range(3)]
    for wish, other in zip(wishes, _wait(joined, model, pool, *wishes), strict=True):
        assert list(other.result(_LIMIT_S)) == wish
    assert max(map(len, model.calls)) <= 600 + 1024
    assert len(model.calls) == 3
