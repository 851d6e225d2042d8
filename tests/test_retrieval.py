import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_memskill.errors import ConfigError
from langgraph_memskill.retrieval import rank


def test_scores_are_cosines_best_first():
    ranking = rank([3.0, 0.0], [[0.0, 2.0], [5.0, 0.0], [1.0, 1.0], [-1.0, 0.0]], 4)
    assert ranking.indices.tolist() == [1, 2, 0, 3]
    np.testing.assert_allclose(ranking.scores, [1.0, np.sqrt(0.5), 0.0, -1.0], atol=1e-7)
    assert ranking.scores.dtype == np.float32


def test_equal_rows_keep_their_order_wherever_the_cut_is():
    rows = np.tile(np.array([[0.3, -0.1, 0.7]], np.float32), (50, 1))
    rows[10] = [1.0, 0.0, 0.0]
    for k in (1, 7, 50, 80):
        assert (
            rank([1.0, 0.0, 0.0], rows, k).indices.tolist()
            == ([10, *range(10), *range(11, 50)])[:k]
        )


def test_rows_without_an_embedding_come_after_the_most_dissimilar_one():
    ranking = rank([1.0, 0.0], [[0.0, 0.0], [-1.0, 0.0], [0.0, 0.0], [1.0, 0.1]], 4)
    assert ranking.indices.tolist() == [3, 1, 0, 2]
    assert ranking.scores[2:].tolist() == [-1.0, -1.0]


def test_a_query_of_zeros_scores_every_row_zero():
    ranking = rank(np.zeros(2), [[1.0, 0.0], [0.0, 1.0]], 2)
    assert ranking.indices.tolist() == [0, 1]
    assert ranking.scores.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("rows", [[], np.zeros((0, 3)), np.zeros((0, 0))])
def test_no_rows_give_no_results(rows):
    assert rank([1.0, 2.0, 3.0], rows, 5).indices.tolist() == []


def test_k_of_zero_gives_nothing():
    assert rank([1.0], [[1.0]], 0).scores.shape == (0,)


@pytest.mark.parametrize(
    ("query", "rows", "k", "message"),
    [
        ([1.0], [[1.0]], -1, "k=-1"),
        ([1.0, 2.0], [[1.0], [2.0]], 1, "width 2"),
        ([1.0], [1.0, 2.0], 1, "shape"),
        ([np.nan], [[1.0]], 1, "finite"),
        ([1.0], [[np.inf]], 1, "finite"),
    ],
)
def test_bad_input_is_refused(query, rows, k, message):
    with pytest.raises(ConfigError, match=message):
        rank(query, rows, k)


def test_many_rows_are_ranked_like_few():
    rows = np.random.default_rng(0).normal(size=(20_000, 4))
    query = np.array([0.5, -1.0, 0.25, 2.0])
    expected = rows @ query / np.linalg.norm(rows, axis=1)
    assert rank(query, rows, 10).indices.tolist() == np.argsort(-expected)[:10].tolist()


@given(
    st.lists(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=3), max_size=20),
    st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=3),
    st.integers(0, 25),
)
def test_results_are_distinct_rows_with_falling_scores(rows, query, k):
    ranking = rank(query, np.array(rows).reshape(-1, 3), k)
    indices = ranking.indices.tolist()
    assert len(indices) == len(set(indices)) == min(k, len(rows))
    scores = ranking.scores.tolist()
    assert scores == sorted(scores, reverse=True)
    assert all(-1 <= score <= 1 for score in scores)
