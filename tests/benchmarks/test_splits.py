import pytest

from langgraph_memskill.benchmarks.splits import read_split_file, split_at, split_by_share
from langgraph_memskill.errors import DataError


def test_fixed_positions_beyond_the_end_give_empty_sets():
    assert split_at("abcde", 2, 4, 6) == (["a", "b"], ["c", "d"], ["e"])
    assert split_at("a", 2, 4, 6) == (["a"], [], [])


def test_what_comes_after_the_last_position_is_in_no_set():
    assert split_at("abcde", 1, 2, 3).test == ["c"]


def test_shares_are_rounded_down():
    splits = split_by_share(range(13), 0.8, 0.9)
    assert [len(part) for part in splits] == [10, 1, 2]


def test_a_split_file(write_json):
    path = write_json({"train": [2], "val": [], "test": [0, 3]})
    assert read_split_file(path, "abcd") == (["c"], [], ["a", "d"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([0, 1], "holds a list; expected an object"),
        ({"train": [0], "val": [1]}, "the field 'test' is missing"),
        ({"train": 0, "val": [], "test": []}, "the field 'train' is the number 0"),
        ({"train": [0], "val": [4], "test": []}, "4 in 'val' is not a position from 0 to 3"),
        ({"train": [-1], "val": [], "test": []}, "-1 in 'train' is not a position"),
        ({"train": [0], "val": [0], "test": []}, "0 in 'val' is not a position .* occurs once"),
        ({"train": ["0"], "val": [], "test": []}, "'0' in 'train' is not a position"),
        ({"train": [True], "val": [], "test": []}, "True in 'train' is not a position"),
    ],
)
def test_a_split_file_that_does_not_fit(content, message, write_json):
    with pytest.raises(DataError, match=rf"records\.json(:)? {message}"):
        read_split_file(write_json(content), "abcd")
