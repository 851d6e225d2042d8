"""A memory's evolved skills pass the gate, or stay out of use."""

import json
from pathlib import Path
from typing import Any

import pytest

from langgraph_memskill.evolution.gate_records import GateSettings
from langgraph_memskill.evolution.held_out import HeldOutQuestion
from langgraph_memskill.evolution.records import EvolutionStatus
from langgraph_memskill.evolution.settings import EvolutionSettings
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.settings import Settings
from langgraph_memskill.skills.version_files import read_bank_files
from langgraph_memskill.testing.designer import RuleDesigner

SETTINGS = EvolutionSettings(max_changes=1, duplicate_similarity=1.0)
FEW = GateSettings(min_questions=2)
FACTS = ("Clara rides daily", "Dora swims weekly")


@pytest.fixture
def memory(tmp_path: Path, model: Any, encoder: Any) -> Any:
    settings = Settings(record_traces=True, keep_trace_texts=True, gate=False)
    with MemSkillMemory.open(tmp_path / "m", model, encoder=encoder, settings=settings) as memory:
        yield memory


def fail(memory: MemSkillMemory) -> None:
    for fact in FACTS:
        episode = memory.remember(f"remember {fact}", user_id="u").episode_id
        question = f"When does {fact.split()[0]} sleep?"
        memory.feedback(episode, 0.0, question=question, expected="in the old shed")


def held_out_file(path: Path) -> Path:
    document = {
        "id": "kept",
        "spans": [{"text": f"remember {fact}"} for fact in FACTS],
        "questions": [
            {"question": f"What does {fact.split()[0]} do?", "expected": fact} for fact in FACTS
        ],
    }
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_skills_that_serve_as_well_are_taken(memory: MemSkillMemory, tmp_path: Path) -> None:
    fail(memory)
    held_out = held_out_file(tmp_path / "h.jsonl")
    result = memory.evolve(RuleDesigner(), settings=SETTINGS, gate=FEW, held_out=held_out)
    assert result.status is EvolutionStatus.APPLIED
    assert result.gate is not None
    assert (result.gate.verdict, result.gate.before, result.gate.after) == ("not_worse", 1.0, 1.0)


def test_skills_that_serve_worse_stay_out_of_use(
    memory: MemSkillMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([1.0, 1.0, 0.0, 0.0])
    monkeypatch.setattr(
        "langgraph_memskill.evolution.gate._best_f1", lambda question, answer: next(scores)
    )
    fail(memory)
    before, names = read_bank_files(tmp_path / "m" / "skills"), memory.skills.names
    held_out = held_out_file(tmp_path / "h.jsonl")
    result = memory.evolve(RuleDesigner(), settings=SETTINGS, gate=FEW, held_out=held_out)
    assert result.status is EvolutionStatus.REJECTED
    assert result.gate is not None
    assert (result.gate.verdict, result.gate.is_allowed) == ("worse", False)
    assert "the gate does not let the new skills through" in result.reason
    assert result.rejected[0].reasons == (result.reason,)
    assert read_bank_files(tmp_path / "m" / "skills") == before
    assert memory.skills.names == names
    assert len(memory.skill_versions()) == 1


def answer_well(memory: MemSkillMemory) -> None:
    for fact in FACTS:
        episode = memory.remember(f"remember {fact}", user_id="u").episode_id
        question = f"What does {fact.split()[0]} do?"
        memory.feedback(episode, 1.0, question=question, expected=fact)


def test_skills_that_spoil_what_was_answered_well_stay_out_of_use(
    memory: MemSkillMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_well(memory)
    fail(memory)
    asked = []

    def scored(question: HeldOutQuestion, answer: str) -> float:
        asked.append(question.question)
        return float(len(asked) <= len(FACTS))

    monkeypatch.setattr("langgraph_memskill.evolution.gate._best_f1", scored)
    result = memory.evolve(RuleDesigner(), settings=SETTINGS, gate=FEW)
    assert asked == ["What does Dora do?", "What does Clara do?"] * 2
    assert result.status is EvolutionStatus.REJECTED
    assert result.gate is not None
    assert (result.gate.verdict, result.gate.num_questions) == ("worse", 2)


def test_purging_a_user_takes_what_was_held_out_for_him_away(
    memory: MemSkillMemory, tmp_path: Path
) -> None:
    answer_well(memory)
    assert len(memory._held_out([])) == 2
    memory.purge_user("u")
    assert memory._held_out([]) == []
    memory.close()
    files = [file.read_bytes() for file in (tmp_path / "m" / "evolution").iterdir()]
    assert not any(b"What does Clara do?" in content for content in files)


def test_nothing_held_out_is_said(memory: MemSkillMemory) -> None:
    fail(memory)
    result = memory.evolve(RuleDesigner(), settings=SETTINGS)
    assert result.status is EvolutionStatus.APPLIED
    assert result.gate is not None
    assert result.gate.verdict == "not_tried"


def test_a_gate_that_is_required(memory: MemSkillMemory) -> None:
    fail(memory)
    result = memory.evolve(RuleDesigner(), settings=SETTINGS, gate=GateSettings(require=True))
    assert result.status is EvolutionStatus.REJECTED
    assert len(memory.skills) == 19


def test_recorded_texts_and_told_answers_are_held_out(
    tmp_path: Path, model: Any, encoder: Any
) -> None:
    settings = Settings(record_traces=True, keep_trace_texts=True, gate=False)
    with MemSkillMemory.open(tmp_path / "m", model, encoder=encoder, settings=settings) as memory:
        fail(memory)
    with MemSkillMemory.open(tmp_path / "m", model, encoder=encoder) as memory:
        cases = memory.hard_cases()
        episodes = memory._held_out([cases[0]])
        assert [[span.text for span in episode.spans] for episode in episodes] == [
            ["remember Dora swims weekly"]
        ]
        assert episodes[0].questions[0].question == "When does Dora sleep?"
        few = EvolutionSettings(num_clusters=1, cases_per_cluster=1, duplicate_similarity=1.0)
        gate = GateSettings(min_questions=1)
        result = memory.evolve(RuleDesigner(), settings=few, gate=gate)
        assert result.gate is not None
        assert (result.gate.num_episodes, result.gate.num_questions) == (1, 1)
