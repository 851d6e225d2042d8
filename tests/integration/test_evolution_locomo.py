"""Skills evolve from at least 30 real failures of a LoCoMo run, and the next episode uses them."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from langgraph_memskill.benchmarks.locomo import answer_f1, cut_spans, load_locomo, scorable
from langgraph_memskill.benchmarks.samples import Question, Sample
from langgraph_memskill.embedding import load_encoder
from langgraph_memskill.evolution.diagnosis import GivenMemories, case_memories, diagnose
from langgraph_memskill.evolution.records import (
    CaseDiagnosis,
    EvolutionStatus,
    FailureCause,
    HardCase,
)
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.prompts import AnswerStyle
from langgraph_memskill.records import Span
from langgraph_memskill.spans import SpanMode
from langgraph_memskill.testing.designer import RuleDesigner

pytestmark = pytest.mark.slow
NUM_SESSIONS = 8
USER = "locomo"


@pytest.fixture(scope="module")
def sample() -> Sample:
    folder = os.environ.get("MEMSKILL_DATA_DIR")
    file = Path(folder or ".") / "locomo" / "locomo8.json"
    if not folder or not file.is_file():
        pytest.skip("MEMSKILL_DATA_DIR names no folder with locomo/locomo8.json")
    return load_locomo(file)[0]


@pytest.fixture(scope="module")
def spans(sample: Sample) -> list[Span]:
    return cut_spans(sample, SpanMode.SESSION)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[MemSkillMemory]:
    with MemSkillMemory.open(tmp_path / "m", "extractive", encoder=load_encoder(None)) as opened:
        yield opened


def asked(sample: Sample, spans: list[Span]) -> list[Question]:
    turns = {turn.id for span in spans for turn in span.turns}
    found = [question for question in scorable(sample.questions) if question.evidence]
    return [question for question in found if turns.issuperset(question.evidence)]


def failures(memory: MemSkillMemory, questions: list[Question]) -> Iterator[HardCase]:
    evidence = GivenMemories(memories=memory.memories(user_id=USER))
    for question in questions:
        answer = memory.answer(question.text, user_id=USER, style=AnswerStyle.SHORT)
        score = answer_f1(answer.text, question)
        if score is None or score >= 0.5:
            continue
        case = HardCase(
            id=question.id,
            question=question.text,
            expected=question.answers[0],
            prediction=answer.text,
            score=score,
            memories=case_memories(answer.memories),
            namespace=memory.namespace_for(USER),
            needed_sources=question.evidence,
        )
        # The diagnosis is made at the evolution; here it is looked at.
        assert diagnose(case, evidence).cause is not FailureCause.UNKNOWN
        yield case


def test_real_failures_become_versioned_skills_that_the_next_episode_uses(
    memory: MemSkillMemory, sample: Sample, spans: list[Span]
) -> None:
    memory.remember(spans[:NUM_SESSIONS], user_id=USER)
    kept = memory.add_hard_cases(failures(memory, asked(sample, spans[:NUM_SESSIONS])))
    assert len(kept) >= 30
    before = memory.skills.version

    designer = RuleDesigner()
    result = memory.evolve(designer)

    assert result.status is EvolutionStatus.APPLIED
    assert result.after.version != before
    diagnoses = [case.diagnosis for case in result.cases]
    assert all(isinstance(diagnosis, CaseDiagnosis) for diagnosis in diagnoses)
    causes = Counter(diagnosis.cause for diagnosis in diagnoses if diagnosis is not None)
    assert len(causes) >= 2
    assert len(result.cases) == len(designer.requests[0].cases) == 15
    assert memory._skill_versions is not None
    version = memory._skill_versions.current()
    assert version is not None
    assert (version.id, version.note.evolution_id) == (result.version, result.id)
    assert len(version.note.cases) == 15

    new = {change.name for change in result.changes}
    later = memory.remember(spans[NUM_SESSIONS : NUM_SESSIONS + 2], user_id=USER)
    picked = {name for selection in later.selections for name in selection.skills}
    offered = {name for selection in later.selections for name in selection.candidates}
    assert new <= offered
    assert new & picked
    assert any(new & set(stored.skills) for stored in later.memories)
