import numpy as np
import pytest

from langgraph_memskill.controller.state import fuse_state
from langgraph_memskill.errors import ConfigError


def test_mean_is_appended_to_the_span():
    state = fuse_state([1.0, 2.0], [[0.0, 4.0], [2.0, 0.0]])
    assert state.tolist() == [1.0, 2.0, 1.0, 2.0]
    assert state.dtype == np.float32


@pytest.mark.parametrize("memories", [None, [], np.zeros((0, 2))])
@pytest.mark.parametrize("mode", ["mean", "sim_weighted"])
def test_no_memories_fuse_to_zeros(memories, mode):
    assert fuse_state([1.0, 2.0], memories, mode=mode).tolist() == [1.0, 2.0, 0.0, 0.0]


def test_similarity_weights_are_a_softmax_of_cosines_over_tau():
    # Cosines 1 and 0 with tau 0.5 give weights e^2/(e^2+1) and 1/(e^2+1).
    state = fuse_state([1.0, 0.0], [[3.0, 0.0], [0.0, 1.0]], mode="sim_weighted", tau=0.5)
    share = np.e**2 / (np.e**2 + 1)
    np.testing.assert_allclose(state, [1.0, 0.0, 3 * share, 1 - share], rtol=1e-6)


def test_a_tiny_temperature_takes_the_most_similar_memory():
    state = fuse_state([1.0, 0.0], [[0.5, 0.5], [2.0, 0.1]], mode="sim_weighted", tau=-1.0)
    np.testing.assert_allclose(state[2:], [2.0, 0.1], rtol=1e-6)


def test_one_memory_may_be_given_as_a_row():
    assert fuse_state([[1.0, 0.0]], [3.0, 5.0]).tolist() == [1.0, 0.0, 3.0, 5.0]


def test_bad_input_is_refused():
    with pytest.raises(ConfigError, match="width 2"):
        fuse_state([1.0, 0.0], [[1.0, 2.0, 3.0]])
    with pytest.raises(ConfigError, match="'median'"):
        fuse_state([1.0], [[1.0]], mode="median")
