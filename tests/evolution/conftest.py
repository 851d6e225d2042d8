"""Hard cases as a benchmark would give them."""

from collections.abc import Callable

import pytest

from langgraph_memskill.evolution.records import CaseDiagnosis, CaseMemory, FailureCause, HardCase

MakeCase = Callable[..., HardCase]
QUESTIONS = (
    "When did Ann paint the garden fence?",
    "When did Bob visit the dentist?",
    "Where does Clara keep her bicycle?",
    "Where did Ann buy the camera?",
    "What colour is the garden fence?",
    "What instrument does Bob practise?",
)


@pytest.fixture
def cases() -> list[HardCase]:
    return [
        HardCase(
            id=f"q{n}",
            question=question,
            expected=f"answer {n}",
            prediction="no idea",
            score=0.1 * n,
            memories=(CaseMemory(id="m", content="Ann likes tea.", skills=("insert",)),),
            diagnosis=CaseDiagnosis(
                cause=FailureCause.NEVER_STORED, evidence="No memory holds the answer."
            ),
        )
        for n, question in enumerate(QUESTIONS)
    ]
