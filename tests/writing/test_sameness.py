"""When two memories say the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_memskill.writing.sameness import (
    Statement,
    is_same_text,
    may_say_the_same,
    says_the_same,
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ann likes tea.", "ann  likes\ntea"),
        ('"Ann likes tea"', "Ann likes tea!"),
        ("Ann’s cat", "Ann's cat"),
        ("Ｃ", "C"),
        ("?", " ? "),
    ],
)
def test_typing_makes_no_difference(one: str, other: str) -> None:
    assert is_same_text(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ann has two cats.", "Ann has 2 cats"),
        ("Ann doesn't eat meat", "Ann does not eat meat."),
        ("Ann bought a red car.", "Ann bought the red car"),
        ("On 7 May 2023, Ann moved to Paris.", "Ann moved to Paris on 7 May 2023."),
        ("On the 7th of May Ann left", "On 7 of May, Ann left"),
        ("The house costs 1,000 euros", "The house costs 1000 euros"),
        ("Ann said that she is tired.", "Ann said she is tired"),
    ],
)
def test_the_same_words_may_say_the_same(one: str, other: str) -> None:
    assert may_say_the_same(one, other)
    assert may_say_the_same(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ann has 2 cats", "Ann has 3 cats"),
        ("Ann has two cats", "Ann has three cats"),
        ("Ann has a cat", "Ann has cats"),
        ("Ann likes tea", "Bob likes tea"),
        ("Ann likes Bob", "Bob likes Ann"),
        ("Ann is taller than Bob", "Bob is taller than Ann"),
        ("Ann eats meat", "Ann doesn't eat meat"),
        ("Ann eats meat", "Ann never eats meat"),
        ("Ann works at Google", "Ann worked at Google"),
        ("Ann lives in Paris", "Ann no longer lives in Paris"),
        ("Ann came before Bob", "Ann came after Bob"),
        ("It was 3.5 degrees", "It was 35 degrees"),
        ("It was -5 degrees", "It was 5 degrees"),
        ("It costs $5", "It costs €5"),
        ("Ann writes C", "Ann writes C++"),
        ("Ann loves Polish", "Ann loves polish"),
        ("Ann feels 😀", "Ann feels 😢"),
        ("Ann has few friends", "Ann has a few friends"),
        ("Ann takes vitamin A", "Ann takes vitamin"),
        ("It was >5 degrees", "It was <5 degrees"),
        ("It weighs .5 kilos", "It weighs 5 kilos"),
        ("The field has 5² metres", "The field has 52 metres"),
        ("Ann likes tea", "Ann likes tea?"),
        ("The meeting is on 7 May 2023", "The meeting is on 8 May 2023"),
    ],
)
def test_one_word_more_or_another_one_says_something_else(one: str, other: str) -> None:
    assert not may_say_the_same(one, other)
    assert not is_same_text(one, other)


WORDS = st.lists(
    st.sampled_from(["ann", "bob", "tea", "likes", "has", "cats", "in", "red"]), min_size=2
)


@given(WORDS, st.integers(0, 20), st.sampled_from(["not", "never", "3", "Eve", "without", "no"]))
def test_a_number_a_name_or_a_negation_always_makes_a_difference(
    words: list[str], place: int, extra: str
) -> None:
    changed = list(words)
    changed.insert(place % (len(words) + 1), extra)
    swapped = [*words[:-1], extra]
    for other in (changed, swapped):
        assert not is_same_text(" ".join(words), " ".join(other))
        assert not may_say_the_same(" ".join(words), " ".join(other))


@given(st.text(max_size=40), st.text(max_size=40))
def test_sameness_is_mutual_and_never_fails(one: str, other: str) -> None:
    assert is_same_text(one, one)
    assert is_same_text(one, other) == is_same_text(other, one)
    assert may_say_the_same(one, other) == may_say_the_same(other, one)


def said(text: str, speaker: str = "", time: str = "") -> Statement:
    return Statement(
        text=text,
        speakers=frozenset([speaker] if speaker else []),
        times=frozenset([time] if time else []),
    )


def test_another_speaker_of_the_same_words_says_something_else() -> None:
    assert says_the_same(said("I have a dog", "Ann"), said("I have a dog.", "Ann"))
    assert says_the_same(said("I have a dog", "Ann"), said("I have a dog."))
    assert not says_the_same(said("I have a dog", "Ann"), said("I have a dog", "Bob"))
    assert not says_the_same(said("Tengo un perro", "Ann"), said("Tengo un perro", "Bob"))


def test_yesterday_is_another_day_on_another_day() -> None:
    text = "Ann went hiking yesterday"
    assert says_the_same(said(text, time="8 May"), said(text, time="8 May"))
    assert not says_the_same(said(text, time="8 May"), said(text, time="9 May"))
    assert not says_the_same(said(text), said(text))
    assert says_the_same(said("Ann hikes", time="8 May"), said("Ann hikes", time="9 May"))
