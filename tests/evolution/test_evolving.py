"""One evolution from given cases: the whole graph with a designer that reads its prompts."""

from dataclasses import replace
from typing import Any

import pytest

from langgraph_memskill.errors import ConfigError
from langgraph_memskill.evolution.evolving import aevolve_bank, evolve_bank
from langgraph_memskill.evolution.reading import DesignerTask
from langgraph_memskill.evolution.records import (
    CaseOrigin,
    ChangeAction,
    EvolutionStatus,
    FailedAttempt,
    HardCase,
    Metric,
    StageFeedback,
)
from langgraph_memskill.evolution.settings import EvolutionSettings
from langgraph_memskill.extractive.model import ExtractiveChatModel
from langgraph_memskill.records import ActionType
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.testing.designer import RuleDesigner

Cases = list[HardCase]
ADDED = {"times_of_events_storage", "places_storage", "facts_storage"}


def tasks(designer: RuleDesigner) -> list[DesignerTask]:
    return [request.task for request in designer.requests]


def test_new_skills_come_from_the_cases(cases: Cases, encoder: Any) -> None:
    bank = SkillBank.seed()
    result = evolve_bank(bank, cases, model=RuleDesigner(), encoder=encoder)
    assert result.status is EvolutionStatus.APPLIED
    assert set(result.after.names) == {*bank.names, *ADDED}
    assert result.after.new_names == ADDED
    assert result.after["places_storage"].action_type is ActionType.INSERT
    assert result.after["places_storage"].origin == "designer"
    assert "bicycle" in result.after["places_storage"].description
    assert [change.action for change in result.changes] == [ChangeAction.ADD_NEW] * 3
    assert {case.id for case in result.cases} == {case.id for case in cases}


def test_the_bank_that_is_given_stays_as_it_is(cases: Cases, encoder: Any) -> None:
    bank = SkillBank.seed()
    before = bank.to_json()
    evolve_bank(bank, cases, model=RuleDesigner(), encoder=encoder)
    assert bank.to_json() == before
    assert bank.new_names == frozenset()


async def test_the_async_twin_gives_the_same_bank(cases: Cases, encoder: Any) -> None:
    first = evolve_bank(SkillBank.seed(), cases, model=RuleDesigner(), encoder=encoder)
    second = await aevolve_bank(SkillBank.seed(), cases, model=RuleDesigner(), encoder=encoder)
    assert second.after.version == first.after.version


def test_a_second_evolution_refines_what_the_first_has_added(cases: Cases, encoder: Any) -> None:
    first = evolve_bank(SkillBank.seed(), cases, model=RuleDesigner(), encoder=encoder)
    other = [replace(case, id=case.id + "b", question=f"{case.question} Today?") for case in cases]
    late = [replace(case, question=case.question.replace("garden", "kitchen")) for case in other]
    second = evolve_bank(first.after, late, model=RuleDesigner(), encoder=encoder)
    assert {change.action for change in second.changes} == {ChangeAction.REFINE_EXISTING}
    assert second.changes[0].before == first.after[second.changes[0].name]


@pytest.mark.parametrize("structured", [True, False])
def test_structured_output_and_text_come_to_the_same(
    cases: Cases, encoder: Any, structured: bool
) -> None:
    designer = RuleDesigner(structured=structured)
    result = evolve_bank(SkillBank.seed(), cases, model=designer, encoder=encoder)
    assert set(result.after.new_names) == ADDED
    assert {request.structured for request in designer.requests} == {structured}


def test_criticism_ends_when_it_changes_nothing(cases: Cases, encoder: Any) -> None:
    designer = RuleDesigner()
    evolve_bank(SkillBank.seed(), cases, model=designer, encoder=encoder)
    assert tasks(designer) == [DesignerTask.ANALYSE, DesignerTask.CRITICISE, DesignerTask.PROPOSE]


def test_criticism_ends_after_the_last_round(cases: Cases, encoder: Any) -> None:
    designer = RuleDesigner(improvements=9)
    settings = EvolutionSettings(reflection_rounds=2)
    result = evolve_bank(
        SkillBank.seed(), cases, model=designer, encoder=encoder, settings=settings
    )
    assert tasks(designer).count(DesignerTask.CRITICISE) == 2
    assert result.analysis is not None
    assert result.analysis.analysis.summary.endswith("(7 more rounds)")


def test_a_failed_call_is_repeated(cases: Cases, encoder: Any) -> None:
    designer = RuleDesigner(failures=2)
    result = evolve_bank(SkillBank.seed(), cases, model=designer, encoder=encoder)
    assert result.status is EvolutionStatus.APPLIED
    assert result.usage.calls == 5


def test_an_unreadable_reply_is_asked_for_again_with_the_reason(cases: Cases, encoder: Any) -> None:
    designer = RuleDesigner(unreadable=1)
    result = evolve_bank(SkillBank.seed(), cases, model=designer, encoder=encoder)
    assert result.status is EvolutionStatus.APPLIED
    assert tasks(designer)[:2] == [DesignerTask.ANALYSE] * 2


@pytest.mark.parametrize("fault", ["failures", "unreadable"])
def test_a_designer_that_is_no_use_changes_nothing(cases: Cases, encoder: Any, fault: str) -> None:
    designer = RuleDesigner(**{fault: 99})
    settings = EvolutionSettings(attempts=2)
    bank = SkillBank.seed()
    result = evolve_bank(bank, cases, model=designer, encoder=encoder, settings=settings)
    assert result.status is EvolutionStatus.FAILED
    assert result.no_change
    assert result.after.to_json() == bank.to_json()
    assert result.usage.calls == len(designer.requests) == 2
    assert result.reason.startswith("no analysis: ")


def test_without_cases_nothing_is_asked(encoder: Any) -> None:
    designer = RuleDesigner()
    result = evolve_bank(SkillBank.seed(), [], model=designer, encoder=encoder)
    assert result.status is EvolutionStatus.NO_CHANGE
    assert result.reason == "there are no hard cases"
    assert designer.requests == []


def test_refine_only_adds_nothing(cases: Cases, encoder: Any) -> None:
    result = evolve_bank(
        SkillBank.seed(),
        cases,
        model=RuleDesigner(),
        encoder=encoder,
        settings=EvolutionSettings(refine_only=True),
    )
    assert result.status is EvolutionStatus.NO_CHANGE
    assert result.after.names == SkillBank.seed().names


def test_an_analysis_is_used_again(cases: Cases, encoder: Any) -> None:
    first = evolve_bank(SkillBank.seed(), cases, model=RuleDesigner(), encoder=encoder)
    designer = RuleDesigner()
    again = evolve_bank(
        SkillBank.seed(), [], model=designer, encoder=encoder, analysis=first.analysis
    )
    assert tasks(designer) == [DesignerTask.PROPOSE]
    assert again.after.version == first.after.version
    assert again.cases == first.cases


def test_the_designer_is_told_what_has_failed(cases: Cases, encoder: Any) -> None:
    first = evolve_bank(SkillBank.seed(), cases, model=RuleDesigner(), encoder=encoder)
    attempt = FailedAttempt(stage=1, changes=first.changes, reward=0.2, best_reward=0.3)
    designer = RuleDesigner()
    again = evolve_bank(
        SkillBank.seed(),
        cases,
        model=designer,
        encoder=encoder,
        failed_attempts=[attempt],
        feedback=StageFeedback(
            stage=1,
            reward=0.2,
            base_stage=0,
            base_reward=0.3,
            best_reward=0.3,
            stages_without_improvement=1,
        ),
    )
    assert set(designer.requests[-1].tried) == ADDED
    assert not ADDED & set(again.after.names)


def test_settings_bound_the_cases_that_the_designer_sees(cases: Cases, encoder: Any) -> None:
    designer = RuleDesigner()
    settings = EvolutionSettings(num_clusters=2, cases_per_cluster=1)
    evolve_bank(SkillBank.seed(), cases, model=designer, encoder=encoder, settings=settings)
    assert len(designer.requests[0].cases) == 2


def test_unsolved_tasks_become_skills_too(encoder: Any) -> None:
    tasks_failed = [
        HardCase(
            id=f"game{n}",
            question=f"put a {thing} in the fridge",
            metric=Metric.SUCCESS,
            origin=CaseOrigin.GAME,
            conversation=f"games/{n}.tw-pddl",
            trajectory=f"> look\nYou see a {thing}.\n> open fridge\nIt is open already.",
        )
        for n, thing in enumerate(("mug", "plate", "potato"))
    ]
    designer = RuleDesigner()
    result = evolve_bank(SkillBank.seed(), tasks_failed, model=designer, encoder=encoder)
    assert all(request.is_interactive for request in designer.requests)
    assert "fridge" in result.after["ways_to_solve_tasks_memory_quality"].description


def test_the_extractive_model_is_no_designer(cases: Cases, encoder: Any) -> None:
    with pytest.raises(ConfigError, match="extractive model cannot design skills"):
        evolve_bank(
            SkillBank.seed(), cases, model=ExtractiveChatModel(encoder=encoder), encoder=encoder
        )
