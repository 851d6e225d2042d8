"""Candidates of contradictions, with the real encoder."""

from datetime import UTC, datetime, timedelta

import pytest

from langgraph_memskill.checking.contradictions import find_contradictions
from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.records import Memory

AT = datetime(2025, 5, 5, tzinfo=UTC)


def memories(*texts: str) -> list[Memory]:
    return [
        Memory(
            id=f"m{n}",
            content=text,
            namespace=("memories", "ann"),
            created_at=AT + timedelta(seconds=n),
            updated_at=AT,
        )
        for n, text in enumerate(texts)
    ]


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        ("Ann likes tea.", "Ann does not like tea.", "opposite"),
        ("Ann can't swim.", "Ann can swim.", "opposite"),
        ("Ann loves jazz.", "Ann hates jazz.", "opposite"),
        ("Ann has two cats.", "Ann has 3 cats.", "'2' in one, '3' in the other"),
        ("Ann was born in 1990.", "Ann was born in 1991.", "'1990' in one"),
        ("Ann lives in Lisbon.", "Ann lives in Porto.", "'lisbon' in one, 'porto' in the other"),
        ("Ann's favourite colour is blue.", "Ann's favourite colour is green.", "'blue' in one"),
        ("The user works as a nurse.", "The user works as a teacher.", "'teacher' in the other"),
    ],
)
def test_a_contradiction_is_found(minilm: TextEncoder, one: str, other: str, why: str) -> None:
    [finding] = find_contradictions(memories(one, other, "Ann went to Rome with Ben."), minilm)
    assert (finding.kind, finding.memory_ids) == ("contradiction", ("m0", "m1"))
    assert finding.contents == (one, other)
    assert why in finding.what
    assert (finding.fix, finding.is_problem) == ("", True)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ann lives in Lisbon.", "Ben lives in Porto."),
        ("Ann likes tea.", "Ann likes coffee."),
        ("On 3 May 2023 Ann ran 5 km.", "On 5 May 2023 Ann ran 5 km."),
        ("Ann went to Rome with Ben.", "Ann went to Oslo with Ben."),
        ("Ann has two cats.", "Ann has a dog."),
        ("Ann does not like tea.", "Ann does not like coffee."),
        ("Ann likes tea.", "Ann never eats meat."),
        ("", "!!!"),
    ],
)
def test_what_goes_together_is_not(minilm: TextEncoder, one: str, other: str) -> None:
    assert find_contradictions(memories(one, other), minilm) == []


def test_many_memories_are_looked_through_by_words(minilm: TextEncoder) -> None:
    texts = [f"Ann visited place{n} with friend{n}" for n in range(2000)]
    texts += ["Ann lives in Lisbon", "Ann lives in Porto"]
    [finding] = find_contradictions(memories(*texts), minilm)
    assert finding.contents == ("Ann lives in Lisbon", "Ann lives in Porto")


def test_a_series_is_no_contradiction(minilm: TextEncoder) -> None:
    texts = [f"Lap {n} took {80 + n} seconds" for n in range(9)]
    assert find_contradictions(memories(*texts), minilm) == []
