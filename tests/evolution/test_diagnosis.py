"""What became of the needed fact, found out from memories, their sources and their past."""

import weakref
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from langgraph_memskill.evolution.diagnosis import (
    GivenMemories,
    case_memories,
    diagnose,
    diagnose_all,
    stems,
)
from langgraph_memskill.evolution.records import CaseOrigin, FailureCause, HardCase
from langgraph_memskill.records import Memory, Source

NOW = datetime(2026, 1, 31, tzinfo=UTC)


def memory(content: str, turn: str = "D1:1", time: str | None = None) -> Memory:
    return Memory(
        id=content[:12],
        content=content,
        namespace=("u",),
        created_at=NOW,
        updated_at=NOW,
        sources=(Source(span_id="s", turn_ids=(turn,), time=time),),
    )


CASE = HardCase(
    id="q",
    question="Where did Caroline move from?",
    expected="Sweden",
    namespace=("u",),
    needed_sources=("D4:3",),
)
HOLDS = memory("Caroline moved here from Sweden four years ago.", "D4:3")
VAGUE = memory("Caroline got a necklace at home.", "D4:3")
OTHER = memory("Melanie painted a lake.", "D1:2")
TRIP = memory("Melanie flew to Sweden.", "D9:9")


def cause(case: HardCase, *present: Memory, past: tuple[Memory, ...] = ()) -> FailureCause:
    return diagnose(case, GivenMemories(memories=present, overwritten=past)).cause


class Text(str):
    """A text that can be weakly referenced."""


def test_words_are_remembered_and_texts_are_not() -> None:
    text = Text("Caroline keeps a secret diary")
    held = weakref.ref(text)
    assert stems(text) == {"carolin", "keep", "secret", "diari"}
    del text
    assert held() is None


def test_cases_are_diagnosed_in_the_order_given() -> None:
    cases = [replace(CASE, id=name, namespace=(name,)) for name in "bab"]
    found = diagnose_all(cases, GivenMemories(memories=[OTHER]))
    assert [case.id for case in found] == ["b", "a", "b"]
    assert {case.diagnosis.cause for case in found if case.diagnosis} == {FailureCause.NEVER_STORED}


def test_never_stored() -> None:
    assert cause(CASE, OTHER) is FailureCause.NEVER_STORED


def test_the_answer_in_a_memory_on_another_matter_does_not_count() -> None:
    assert cause(CASE, OTHER, TRIP) is FailureCause.NEVER_STORED


def test_badly_worded() -> None:
    assert cause(CASE, OTHER, VAGUE) is FailureCause.BADLY_WORDED


def test_badly_worded_without_known_sources() -> None:
    case = replace(CASE, needed_sources=())
    assert cause(case, memory("Caroline moved long ago.")) is FailureCause.BADLY_WORDED


def test_stored_and_not_retrieved() -> None:
    assert cause(CASE, OTHER, HOLDS) is FailureCause.NOT_RETRIEVED


def test_stored_and_retrieved() -> None:
    case = replace(CASE, memories=case_memories([OTHER, HOLDS]))
    assert cause(case, OTHER, HOLDS) is FailureCause.NOT_USED


def test_lost() -> None:
    assert cause(CASE, OTHER, past=(HOLDS,)) is FailureCause.LOST


def test_the_answer_may_stand_in_the_date_of_the_source() -> None:
    case = replace(CASE, question="When did Ann visit Rome?", expected="8 May 2023")
    dated = memory("Ann visited Rome.", "D4:3", time="8 May, 2023")
    assert cause(case, dated) is FailureCause.NOT_RETRIEVED


def test_words_are_compared_by_their_stems() -> None:
    case = replace(CASE, question="What does Ann paint?", expected="lakes")
    assert cause(case, memory("Ann painted a lake.")) is FailureCause.NOT_RETRIEVED


def test_an_answer_that_tells_nothing_leaves_the_sources() -> None:
    case = replace(CASE, question="Is Caroline Swedish?", expected="Yes")
    assert cause(case, OTHER) is FailureCause.NEVER_STORED
    assert cause(case, VAGUE) is FailureCause.NOT_RETRIEVED
    assert cause(replace(case, memories=case_memories([VAGUE])), VAGUE) is FailureCause.NOT_USED


@pytest.mark.parametrize(
    "unclear",
    [
        {"expected": None, "needed_sources": ()},
        {"expected": "yes", "needed_sources": ()},
        {"origin": CaseOrigin.GAME, "expected": None},
    ],
    ids=["no answer", "yes", "a task"],
)
def test_nothing_to_go_by_is_unknown(unclear: dict[str, Any]) -> None:
    assert cause(replace(CASE, **unclear), HOLDS) is FailureCause.UNKNOWN


def test_the_evidence_quotes_the_memories() -> None:
    found = diagnose(CASE, GivenMemories(memories=[OTHER, HOLDS]))
    assert '"Caroline moved here from Sweden four years ago."' in found.evidence
    assert [shown.id for shown in found.memories] == [HOLDS.id]
