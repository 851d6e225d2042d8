import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_memskill.benchmarks import scorers
from langgraph_memskill.benchmarks.scorers import (
    best_token_f1,
    best_token_f1_max,
    bleu_1,
    evidence_recall,
    exact_match,
    normalize,
    recall_at,
    reciprocal_rank,
    rouge_l,
    token_f1,
    token_f1_max,
)
from langgraph_memskill.errors import DataError, MissingDependencyError


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The  Blue Kayak, by a lake!", "blue kayak by lake"),
        ("Tomas and Priya", "tomas priya"),
        ("7:40", "740"),
        ("1,250", "1250"),
        ("theatre", "theatre"),
        ("the.", ""),
    ],
)
def test_normalize(text, normal):
    assert normalize(text) == normal


def test_f1_of_a_longer_prediction():
    # 2 of 4 predicted words are right, both gold words are found: 2 * 0.5 * 1 / 1.5.
    assert token_f1("behind the greenhouse near walls", "greenhouse wall") == pytest.approx(2 / 3)


def test_f1_counts_each_word_as_often_as_it_occurs():
    assert token_f1("ferry ferry ferry", "ferry") == pytest.approx(0.5)


def test_f1_of_two_empty_texts_is_zero():
    """QUIRK 68, kept."""
    assert token_f1("the", "...") == 0.0


def test_f1_max_takes_the_best_part_for_each_gold_part():
    # "ferry" is found, for "red train" the best part is "train".
    assert token_f1_max("train, ferry", "ferry, red train") == pytest.approx((1 + 2 / 3) / 2)


def test_f1_max_counts_empty_parts_as_misses():
    """QUIRK 67, kept."""
    assert token_f1_max("bus", "bus,") == pytest.approx(0.5)


def test_an_outage_text_is_scored_like_any_other():
    """QUIRK 63."""
    assert token_f1("API request error", "a request") == pytest.approx(0.5)


@pytest.mark.parametrize(("prediction", "answer"), [(None, "a"), ("a", 7), (["a"], "a")])
@pytest.mark.parametrize("score", [token_f1, token_f1_max])
def test_only_texts_are_scored(score, prediction, answer):
    with pytest.raises(DataError, match="no text"):
        score(prediction, answer)


def test_the_best_of_several_golds():
    assert best_token_f1("88 km", ["88 kilometres", "88 km"]) == 1.0
    assert best_token_f1("88 km", []) is None


@given(st.text(max_size=40), st.text(max_size=40))
def test_f1_is_symmetric_and_in_range(first, second):
    score = token_f1(first, second)
    assert 0 <= score <= 1
    assert score == pytest.approx(token_f1(second, first))
    assert token_f1(first, first) == (1.0 if normalize(first) else 0.0)


@pytest.mark.parametrize(
    ("found", "gold", "recall"),
    [
        (["D1:1", "D2:3", "D1:1"], ["D1:1"], 1.0),
        (["D1:1"], ["D1:1", "D2:3", "D2:4", "D2:5"], 0.25),
        ([], ["D1:1"], 0.0),
        (["D1:1"], [], None),
    ],
)
def test_evidence_recall(found, gold, recall):
    assert evidence_recall(found, gold) == recall


def test_exact_match_is_that_of_normal_texts():
    assert exact_match("The blue Kayak.", ["a canoe", "blue kayak"]) == 1.0
    assert exact_match("blue kayak too", ["blue kayak"]) == 0.0
    assert exact_match("blue kayak", []) is None


def test_the_best_of_several_gold_lists():
    assert best_token_f1_max("tea, milk", ["beer", "milk, tea"]) == 1.0
    assert best_token_f1_max("tea", []) is None


def test_bleu_1_is_precision_with_a_penalty_for_short_answers():
    assert bleu_1("a blue boat", ["A blue boat"]) == pytest.approx(1.0)
    assert bleu_1("a green boat", ["a blue boat"]) == pytest.approx(2 / 3)
    # Every word is right, but two of four are missing: exp(1 - 4 / 2).
    assert bleu_1("blue boat", ["a small blue boat"]) == pytest.approx(math.exp(-1))
    assert bleu_1("", ["a blue boat"]) == 0.0
    assert bleu_1("a blue boat", []) is None


def test_bleu_1_knows_all_references():
    assert bleu_1("green boat", ["blue boat", "green ship"]) == pytest.approx(1.0)


def test_rouge_l_is_f1_of_the_longest_common_subsequence_of_stems():
    assert rouge_l("he was running home", ["runs home"]) == pytest.approx(2 * 0.5 * 1 / 1.5)
    assert rouge_l("home runs", ["runs home"]) == pytest.approx(0.5)
    assert rouge_l("x", ["y", "x"]) == 1.0
    assert rouge_l("", ["y"]) == 0.0
    assert rouge_l("x", []) is None


@pytest.mark.parametrize(
    ("module", "score", "package"),
    [("sacrebleu.metrics.bleu", bleu_1, "sacrebleu"), ("rouge_score", rouge_l, "rouge_score")],
)
def test_a_missing_package_is_named_with_its_extra(monkeypatch, module, score, package):
    scorers._bleu.cache_clear()
    scorers._rouge.cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)
    with pytest.raises(MissingDependencyError, match=rf"'{package}'.*langgraph-memskill\[bench\]"):
        score("x", ["x"])


@pytest.mark.parametrize(("k", "recall"), [(1, 0.0), (2, 0.5), (3, 0.5), (4, 1.0), (20, 1.0)])
def test_recall_counts_the_first_memories(k, recall):
    ranked = [{"D1:1"}, {"D2:2", "D1:4"}, set(), {"D3:3"}]
    assert recall_at(k, ranked, ["D2:2", "D3:3"]) == recall


def test_the_reciprocal_rank_is_that_of_the_first_hit():
    assert reciprocal_rank([{"x"}, {"y"}, {"a", "x"}, {"b"}], ["a", "b"]) == pytest.approx(1 / 3)
    assert reciprocal_rank([{"x"}], ["a"]) == 0.0
    assert reciprocal_rank([], ["a"]) == 0.0


def test_a_question_without_evidence_says_nothing():
    assert recall_at(5, [{"x"}], []) is None
    assert reciprocal_rank([{"x"}], []) is None
