"""A memory learns from its hard cases: evolution and approval, all in its folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from langgraph_memskill.errors import ConfigError, EvolutionError, SkillError
from langgraph_memskill.evolution.approval import REFUSED, Decision, Edit
from langgraph_memskill.evolution.records import (
    EvolutionStatus,
    FailureCause,
)
from langgraph_memskill.evolution.settings import EvolutionSettings
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.testing.designer import RuleDesigner
from tests.memory_evolution.feedback import QUESTION, Open, failed


def test_evolving_makes_a_version_that_the_open_memory_uses(
    open_memory: Open, folder: Path
) -> None:
    memory = open_memory()
    failed(memory)
    before = memory.skills.version
    result = memory.evolve(RuleDesigner())
    assert result.status is EvolutionStatus.APPLIED
    assert result.changes[0].name == "places_storage"
    assert "places_storage" in memory.skills
    assert memory.skills.new_names == {"places_storage"}
    assert (folder / "skills" / "places_storage" / "SKILL.md").is_file()
    assert open_memory().skills.version == memory.skills.version != before


async def test_the_async_twin_evolves_too(open_memory: Open) -> None:
    memory = open_memory()
    failed(memory)
    assert (await memory.aevolve(RuleDesigner())).status is EvolutionStatus.APPLIED


def test_the_version_names_designer_cases_and_evolution(open_memory: Open) -> None:
    memory = open_memory()
    failed(memory)
    [case] = memory.hard_cases()
    result = memory.evolve(RuleDesigner())
    assert memory._skill_versions is not None
    version = memory._skill_versions.current()
    assert version is not None
    assert version.id == result.version
    assert (version.note.author, version.note.cases) == ("designer", (case.key,))
    assert version.note.evolution_id == result.id


def test_the_designer_learns_what_became_of_the_fact(open_memory: Open) -> None:
    memory = open_memory()
    episode = memory.remember("remember the bicycle is in the old shed", user_id="u").episode_id
    memory.feedback(episode, 0.0, question=QUESTION, expected="old shed")
    result = memory.evolve(RuleDesigner())
    [case] = result.cases
    assert case.diagnosis is not None
    assert case.diagnosis.cause is FailureCause.NOT_USED
    assert "the bicycle is in the old shed" in case.diagnosis.evidence


def test_the_model_without_an_llm_refuses(folder: Path, encoder: Any) -> None:
    with MemSkillMemory.open(folder, "extractive", encoder=encoder) as memory:
        with pytest.raises(ConfigError, match="extractive model cannot design skills"):
            memory.evolve()
        assert memory.pending_evolutions() == []


def test_a_memory_without_folder_evolves_in_this_process(
    make_memory: Callable[..., MemSkillMemory],
) -> None:
    memory = make_memory()
    failed(memory)
    result = memory.evolve(RuleDesigner())
    assert result.version is None
    assert "places_storage" in memory.skills


def test_a_failed_designer_leaves_the_files_alone(open_memory: Open, folder: Path) -> None:
    memory = open_memory()
    failed(memory)
    before = {file: file.read_bytes() for file in (folder / "skills").rglob("*") if file.is_file()}
    result = memory.evolve(RuleDesigner(unreadable=9), settings=EvolutionSettings(attempts=1))
    assert result.status is EvolutionStatus.FAILED
    after = {file: file.read_bytes() for file in (folder / "skills").rglob("*") if file.is_file()}
    assert after == before
    assert memory.pending_evolutions() == []


def test_a_person_is_asked_and_nothing_changes_before(open_memory: Open) -> None:
    memory = open_memory()
    failed(memory)
    before = memory.skills.version
    result = memory.evolve(RuleDesigner(), approve=True)
    assert result.status is EvolutionStatus.WAITING
    assert [change.name for change in result.changes] == ["places_storage"]
    assert memory.skills.version == open_memory().skills.version == before


def test_another_process_decides_without_a_designer(open_memory: Open) -> None:
    memory = open_memory()
    failed(memory)
    waiting = memory.evolve(RuleDesigner(), approve=True)
    memory.close()
    other = open_memory()
    [pending] = other.pending_evolutions()
    assert pending.is_waiting
    result = other.resume_evolution(pending.id[:8], Decision(accept=(1,)))
    assert result.status is EvolutionStatus.APPLIED
    assert result.id == waiting.id
    assert "places_storage" in other.skills
    assert other.pending_evolutions() == []


def test_a_person_refuses_one_change_and_edits_another(open_memory: Open) -> None:
    memory = open_memory()
    failed(memory, QUESTION, "When did Clara buy the bicycle?")
    waiting = memory.evolve(RuleDesigner(), approve=True)
    assert len(waiting.changes) == 2
    decision = Decision(refuse=(1,), edits=(Edit(number=2, description="Where things are kept."),))
    result = memory.resume_evolution(waiting.id, decision)
    kept = waiting.changes[1].name
    assert [change.name for change in result.changes] == [kept]
    assert memory.skills[kept].description == "Where things are kept."
    assert [entry.reasons for entry in result.rejected] == [(REFUSED,)]


def test_refusing_everything_changes_nothing(open_memory: Open) -> None:
    memory = open_memory()
    failed(memory)
    before = memory.skills.version
    waiting = memory.evolve(RuleDesigner(), approve=True)
    result = memory.resume_evolution(waiting.id, Decision.refuse_all(waiting.changes))
    assert result.status is EvolutionStatus.REJECTED
    assert memory.skills.version == before
    assert memory.pending_evolutions() == []


@pytest.mark.parametrize(
    ("decision", "message"),
    [
        (None, "waits for a decision"),
        (Decision(), "nothing is decided about 1"),
        (Decision(accept=(2,)), "there is no change 2"),
        (Decision(accept=(1,), refuse=(1,)), "change 1 is decided twice"),
        (Decision(edits=(Edit(number=1, instructions="Read {span}."),)), "placeholder"),
    ],
    ids=["none", "empty", "unknown", "twice", "edited badly"],
)
def test_a_decision_that_does_not_fit_changes_nothing(
    open_memory: Open, decision: Decision | None, message: str
) -> None:
    memory = open_memory()
    failed(memory)
    waiting = memory.evolve(RuleDesigner(), approve=True)
    with pytest.raises(EvolutionError, match=message):
        memory.resume_evolution(waiting.id, decision)
    [pending] = memory.pending_evolutions()
    assert pending.is_waiting


def test_only_one_evolution_at_a_time(open_memory: Open) -> None:
    memory = open_memory()
    failed(memory)
    waiting = memory.evolve(RuleDesigner(), approve=True)
    with pytest.raises(EvolutionError, match=f"{waiting.id[:8]} waits for a decision"):
        memory.evolve(RuleDesigner())
    memory.discard_evolution(waiting.id)
    assert memory.evolve(RuleDesigner()).status is EvolutionStatus.APPLIED


def test_a_skill_that_was_edited_meanwhile_is_not_overwritten(
    open_memory: Open, folder: Path
) -> None:
    memory = open_memory()
    failed(memory)
    memory.evolve(RuleDesigner())
    failed(memory, "Where does Clara keep her umbrella?")
    waiting = memory.evolve(RuleDesigner(), approve=True)
    file = folder / "skills" / "places_storage" / "SKILL.md"
    file.write_text(file.read_text().replace("Only what the text says", "Mind the places"))
    result = memory.resume_evolution(waiting.id, Decision(accept=(1,)))
    assert result.status is EvolutionStatus.REJECTED
    assert "was changed since the designer saw it" in result.rejected[0].reasons[0]
    assert "Mind the places" in file.read_text()


def test_a_span_whose_skills_all_left_meanwhile_is_kept_for_retry(
    make_memory: Callable[..., MemSkillMemory],
) -> None:
    memory = make_memory()
    select = memory.controller.select

    class Leaving:
        """The bank loses its skills right after the choice, as in an evolution."""

        name, version = "leaving", ""

        def select(self, requests: Any, bank: Any, k: int) -> Any:
            chosen = select(requests, bank, k)
            for name in bank.names:
                bank.remove(name)
            return chosen

    leaving = make_memory(controller=Leaving(), skills=memory.skills.copy())
    result = leaving.remember("remember tea", user_id="u")
    assert "has left the bank" in result.failed[0].reason
    assert result.memories == ()


class Interrupted(BaseException):
    """As by the keyboard: it ends the evolution where it is."""


def test_an_evolution_that_was_broken_off_goes_on_where_it_stopped(
    open_memory: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = open_memory()
    failed(memory)
    designer = RuleDesigner()

    def broken(*_: Any) -> None:
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr("langgraph_memskill.evolution.nodes.check.CheckNode.work", broken)
        with pytest.raises(Interrupted):
            memory.evolve(designer)
    [pending] = memory.pending_evolutions()
    assert (pending.node, pending.is_waiting) == ("check", False)
    with pytest.raises(EvolutionError, match="was broken off before 'check'"):
        memory.evolve(designer)
    with pytest.raises(EvolutionError, match="nothing to decide yet"):
        memory.resume_evolution(pending.id, Decision(accept=(1,)))
    result = memory.resume_evolution(pending.id)
    assert result.status is EvolutionStatus.APPLIED
    assert len(designer.requests) == 3, "nothing is asked twice"


def test_what_had_not_begun_is_not_in_the_way(open_memory: Open, folder: Path) -> None:
    memory = open_memory()
    failed(memory)
    file = folder / "skills" / "insert" / "SKILL.md"
    good = file.read_bytes()
    file.write_text("no front matter", encoding="utf-8")
    with pytest.raises(SkillError):
        memory.evolve(RuleDesigner())
    file.write_bytes(good)
    assert memory.evolve(RuleDesigner()).status is EvolutionStatus.APPLIED


def test_a_gate_has_the_last_word(open_memory: Open) -> None:
    memory = open_memory()
    failed(memory)
    before = memory.skills.version
    seen = []

    def gate(old: SkillBank, new: SkillBank, shown: Any) -> str | None:
        seen.append((old.version, sorted(set(new.names) - set(old.names)), len(shown)))
        return "the new skills find less"

    result = memory.evolve(RuleDesigner(), gate=gate)
    assert seen == [(before, ["places_storage"], 1)]
    assert (result.status, result.reason) == (EvolutionStatus.REJECTED, "the new skills find less")
    assert [entry.proposal.name for entry in result.rejected] == ["places_storage"]
    assert memory.skills.version == open_memory().skills.version == before
    assert memory.evolve(RuleDesigner(), gate=lambda *_: None).status is EvolutionStatus.APPLIED
