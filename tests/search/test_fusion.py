import pytest

from langgraph_memskill.search.fusion import Neighbours, best_first, fuse, spread


def test_what_two_rankings_like_comes_before_what_one_likes_best() -> None:
    # c: 1/13 + 1/11 = .16783; a: 1/11 = .09091; d and b: 1/12 = .08333
    assert fuse([["a", "b", "c"], ["c", "d"]]) == ["c", "a", "b", "d"]


def test_weights_scale_a_ranking() -> None:
    assert fuse([["a"], ["b"]], [1.0, 2.0]) == ["b", "a"]


def test_equal_ones_keep_the_order_in_which_they_come_up() -> None:
    assert fuse([["a", "b"], ["b", "a"]]) == ["a", "b"]
    assert best_first({"x": 1.0, "y": 2.0, "z": 1.0}) == ["y", "x", "z"]


def test_nothing_fuses_to_nothing() -> None:
    assert fuse([]) == []
    assert fuse([[], []]) == []


def test_weights_must_match_the_rankings() -> None:
    with pytest.raises(ValueError, match="longer"):
        fuse([["a"]], [1.0, 2.0])


def test_a_score_spreads_to_what_stands_beside() -> None:
    scores = {"b": 3.0, "d": 1.0}
    beside = {"b": Neighbours("a", "c"), "d": Neighbours("c", None)}
    # "c" stands behind "b" and before "d"; "a" before "b".
    assert spread(scores, beside, weight=0.5) == {"b": 3.0, "d": 1.0, "a": 1.5, "c": 2.0}
    assert spread(scores, beside, weight=0.0) == {"b": 3.0, "d": 1.0, "a": 0.0, "c": 0.0}


def test_what_has_no_score_counts_as_the_floor() -> None:
    scores = {"b": 0.5}
    beside = {"b": Neighbours("a", None)}
    spread_out = spread(scores, beside, weight=1.0, floor=0.25)
    # b: .5 + floor of a + floor of the end; a: floor + floor of the unknown + b
    assert spread_out == pytest.approx({"b": 1.0, "a": 1.0})
