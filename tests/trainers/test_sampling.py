import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_memskill.trainers.sampling import (
    category_quotas,
    read_ratio,
    sample_questions,
    sampling_seed,
    target_count,
)


@pytest.mark.parametrize(
    ("value", "ratio"),
    [(0.25, 0.25), ("0.25", 0.25), (-1, 0.0), (7, 1.0), (None, 1.0), ("all", 1.0), (math.nan, 1.0)],
)
def test_ratio(value, ratio):
    assert read_ratio(value) == ratio


def test_target_is_rounded_up_and_at_least_one():
    assert [target_count(10, ratio) for ratio in (0.0, 0.1, 0.11, 1.0)] == [1, 1, 2, 10]


def test_quotas_follow_the_sizes():
    # 2 of 6 beyond one each: 4 * 2 / 10 = 0.8 and 4 * 8 / 10 = 3.2, so the larger rest gets one.
    assert category_quotas({1: 2, 2: 8}, 6) == {1: 2, 2: 4}


def test_every_category_gets_one_even_above_the_total():
    """QUIRK 77, kept."""
    assert category_quotas({1: 30, 2: 1, 4: 5}, 1) == {1: 1, 2: 1, 4: 1}


def test_what_a_full_category_cannot_take_goes_to_the_others():
    assert category_quotas({1: 1, 2: 1, 3: 4}, 6) == {1: 1, 2: 1, 3: 4}


def test_of_equal_fractions_the_larger_category_comes_first():
    # Two beyond one each: 2 * 2 / 8 = 0.5 and 2 * 6 / 8 = 1.5, so one is left for equal fractions.
    assert category_quotas({1: 2, 2: 6}, 4) == {1: 1, 2: 3}


def test_of_equal_sizes_the_smaller_number_comes_first():
    assert category_quotas({2: 3, 1: 3}, 3) == {1: 2, 2: 1}


@given(
    st.dictionaries(st.integers(1, 9), st.integers(1, 40), min_size=1, max_size=6),
    st.integers(1, 200),
)
def test_quotas_add_up(sizes, wanted):
    total = min(wanted, sum(sizes.values()))
    quotas = category_quotas(sizes, total)
    assert list(quotas) == sorted(sizes)
    assert sum(quotas.values()) == max(total, len(sizes))
    assert all(1 <= quotas[category] <= sizes[category] for category in sizes)


CATEGORIES = [4] * 20 + [1, 1, 2, 3] * 5


def test_the_choice_can_be_repeated():
    first = sample_questions(CATEGORIES, 0.3, seed=42, conversation_id="c", inner_epoch=3)
    assert first == sample_questions(CATEGORIES, 0.3, seed=42, conversation_id="c", inner_epoch=3)
    assert len(first) == 12
    assert first == sorted(set(first))
    assert {CATEGORIES[position] for position in first} == {1, 2, 3, 4}


def test_the_choice_differs_by_seed_conversation_and_epoch():
    choices = {
        tuple(sample_questions(CATEGORIES, 0.3, seed=seed, conversation_id=name, inner_epoch=epoch))
        for seed, name, epoch in [(42, "c", 0), (43, "c", 0), (42, "d", 0), (42, "c", 1)]
    }
    assert len(choices) == 4


def test_seed_is_made_from_the_key():
    # The first 16 hex digits of SHA-256 of "42||0|0".
    assert sampling_seed(42, None, 0, 0) == 0x68825EBA00855D8F


@pytest.mark.parametrize("ratio", [1, 1.5, None])
def test_the_whole_set(ratio):
    assert sample_questions(CATEGORIES, ratio, seed=1) == list(range(40))


def test_small_sets():
    assert sample_questions([], 0.5, seed=1) == []
    assert sample_questions([4], 0.0, seed=1) == [0]
