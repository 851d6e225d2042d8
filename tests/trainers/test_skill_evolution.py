from dataclasses import replace
from threading import get_ident
from types import SimpleNamespace

import pytest

from langgraph_memskill.errors import CheckpointError
from langgraph_memskill.evolution.evolving import aevolve_bank
from langgraph_memskill.evolution.pool import HardCasePool
from langgraph_memskill.evolution.records import (
    CaseDiagnosis,
    EvolutionResult,
    EvolutionStatus,
    FailureCause,
    HardCase,
)
from langgraph_memskill.evolution.settings import EvolutionSettings
from langgraph_memskill.records import Usage
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.skills.versions import SkillVersions
from langgraph_memskill.testing.designer import RuleDesigner
from langgraph_memskill.trainers.evolution import StageReport
from langgraph_memskill.trainers.skill_evolution import SkillEvolution
from langgraph_memskill.trainers.stages import StageSettings


def case(number, question="When did Ann paint the boat?"):
    return HardCase(
        id=f"c{number}",
        question=f"{question} ({number})",
        expected="on Monday",
        diagnosis=CaseDiagnosis(cause=FailureCause.NEVER_STORED, evidence="not there"),
    )


def asked(*cases):
    return [SimpleNamespace(hard_case=case, key=case.key) for case in cases]


def stage(number, reward, *, is_last=False):
    return StageReport(number=number, reward=reward, rewards=(reward,), is_last=is_last)


@pytest.fixture
def designer():
    return RuleDesigner()


@pytest.fixture
def make(tmp_path, designer, encoder):
    def evolution(**settings):
        async def evolve(bank, cases, **told):
            return await aevolve_bank(
                bank,
                cases,
                model=designer,
                encoder=encoder,
                settings=EvolutionSettings(max_changes=1, duplicate_similarity=1.0),
                **told,
            )

        return SkillEvolution(
            evolve,
            pool=HardCasePool(),
            versions=SkillVersions(tmp_path / "skill_versions", tmp_path / "skills"),
            settings=StageSettings(**settings),
        )

    return evolution


async def test_a_stage_evolves_the_bank(make, designer):
    evolution, bank = make(), SkillBank.seed()
    evolution.observe(0, asked(case(1), case(2)))
    outcome = await evolution.after_stage(stage(0, 0.5), bank)
    assert outcome.bank.names[:4] == bank.names
    assert outcome.bank.new_names == set(outcome.bank.names[4:])
    assert len(outcome.bank) == 5
    assert outcome.usage.calls == len(designer.requests) > 0
    assert bank.names == SkillBank.seed().names


async def test_a_stage_that_is_not_better_is_rolled_back_and_told(make, designer):
    evolution, bank = make(), SkillBank.seed()
    evolution.observe(0, asked(case(1)))
    first = await evolution.after_stage(stage(0, 0.5), bank)
    evolution.observe(1, asked(case(2)))
    second = await evolution.after_stage(stage(1, 0.4), first.bank)
    [tried] = first.bank.new_names
    assert tried not in second.bank
    assert tried in designer.requests[-1].tried
    assert [version.note.stage for version in evolution._versions.log()] == [0, 1]
    assert evolution._versions.current().note.stage == 0


async def test_the_cases_of_the_best_stage_are_used_again(make, designer):
    evolution = make()
    evolution.observe(0, asked(case(1)))
    first = await evolution.after_stage(stage(0, 0.5), SkillBank.seed())
    shown = [c.question for c in designer.requests[0].cases]
    evolution.observe(1, asked(case(2)))
    num_requests = len(designer.requests)
    await evolution.after_stage(stage(1, 0.4), first.bank)
    later = designer.requests[num_requests:]
    assert all([c.question for c in request.cases] == shown for request in later)
    assert [request.task for request in later] == ["propose"]


async def test_the_versions_form_a_family_tree(make):
    evolution, bank = make(patience=5), SkillBank.seed()
    questions = ["When did Ann paint?", "Where did Ben swim?", "Where is the museum garden?", ""]
    for number, reward in enumerate([0.5, 0.4, 0.6, 0.7]):
        cases = [case(10 * number + more, questions[number]) for more in range(number + 1)]
        evolution.observe(number, asked(*cases))
        outcome = await evolution.after_stage(stage(number, reward), bank)
        bank = outcome.bank
    log = evolution._versions.log()
    numbers = {version.id: version.number for version in log}
    assert [numbers.get(version.parent) for version in log] == [None, 1, 1, 3]
    assert [version.note.reward for version in log] == [0.5, 0.4, 0.6, 0.7]
    assert [version.note.author for version in log] == ["seed", "designer", "designer", "designer"]
    assert log[1].note.cases == ("c0",)


async def test_the_last_stage_evolves_nothing_and_ends_with_the_best(make):
    evolution, bank = make(), SkillBank.seed()
    evolution.observe(0, asked(case(1)))
    first = await evolution.after_stage(stage(0, 0.5), bank)
    last = await evolution.after_stage(stage(1, 0.4, is_last=True), first.bank)
    assert (last.bank.names, last.stop) == (bank.names, False)


async def test_a_stopped_run_ends_with_the_best(make):
    evolution, bank = make(patience=1), SkillBank.seed()
    evolution.observe(0, asked(case(1)))
    first = await evolution.after_stage(stage(0, 0.5), bank)
    last = await evolution.after_stage(stage(1, 0.4), first.bank)
    assert (last.bank.names, last.stop) == (bank.names, True)


async def test_a_run_does_not_end_with_skills_that_were_never_judged(make):
    evolution, bank = make(), SkillBank.seed()
    evolution.observe(0, asked(case(1)))
    first = await evolution.after_stage(stage(0, 0.5), bank)
    last = await evolution.after_stage(stage(1, None, is_last=True), first.bank)
    assert (last.bank.names, last.stop) == (bank.names, False)
    untried = evolution._versions.log()[-1]
    assert (untried.skills, untried.note.reward) == (first.bank.names, None)
    assert evolution._versions.current().note.stage == 0


async def test_files_are_not_touched_on_the_event_loop(make, monkeypatch):
    evolution, threads = make(), []

    def noted(owner, name):
        method = getattr(owner, name)

        def call(*args, **options):
            threads.append((name, get_ident() == loop_thread))
            return method(*args, **options)

        monkeypatch.setattr(owner, name, call)

    loop_thread = get_ident()
    evolution.observe(0, asked(case(1)))
    noted(evolution._versions, "record")
    noted(evolution._versions, "activate")
    noted(evolution._pool, "cases")
    await evolution.after_stage(stage(0, 0.5), SkillBank.seed())
    assert threads == [("record", False), ("activate", False), ("cases", False)]


async def test_an_unchanged_bank_keeps_its_newer_statistics(make):
    evolution, bank = make(), SkillBank.seed()
    assert (await evolution.after_stage(stage(0, 0.5), bank)).bank is None  # no cases
    bank.record_reward("insert", 0.5)
    assert (await evolution.after_stage(stage(1, 0.4), bank)).bank is None
    current = evolution._versions.current()
    assert evolution._versions.bank(current.id)["insert"].statistics.usage_count == 1
    assert current.note.reason == "not changed"


async def test_a_stage_without_a_reward_is_not_judged(make):
    evolution = make()
    assert await evolution.after_stage(stage(0, None), SkillBank.seed()) == (None, False, Usage())
    assert evolution.stages.rewards == ()


@pytest.mark.parametrize(("trials", "num_changed"), [(1, 0), (2, 1)])
async def test_the_designer_is_asked_again(make, trials, num_changed):
    evolution, bank = make(trials=trials), SkillBank.seed()
    evolve, calls = evolution._evolve, []

    async def first_fails(bank, cases, **told):
        calls.append(1)
        if len(calls) == 1:
            return EvolutionResult(
                id="x",
                status=EvolutionStatus.FAILED,
                before=bank,
                after=bank,
                usage=Usage(calls=100),
            )
        return await evolve(bank, cases, **told)

    evolution._evolve = first_fails
    evolution.observe(0, asked(case(1)))
    outcome = await evolution.after_stage(stage(0, 0.5), bank)
    assert (0 if outcome.bank is None else len(outcome.bank) - 4) == num_changed
    assert outcome.usage.calls >= 100


def test_failed_queries_are_cases_until_they_succeed(make):
    evolution = make()
    evolution.observe(0, asked(case(1), case(2)))
    evolution.observe(3, [SimpleNamespace(hard_case=None, key="c1"), *asked(case(2))])
    [kept] = evolution._pool.cases()
    assert (kept.key, kept.fail_count, kept.epoch) == ("c2", 2, 3)


def test_a_new_run_begins_with_an_empty_pool(make):
    evolution = make()
    evolution._pool.add(replace(case(7), epoch=5))
    evolution.observe(0, asked(case(1)))
    assert [kept.key for kept in evolution._pool.cases()] == ["c1"]


async def test_state_and_restore(make):
    evolution, other = make(), make()
    evolution.observe(0, asked(case(1)))
    await evolution.after_stage(stage(0, 0.5), SkillBank.seed())
    other.restore(evolution.state())
    assert other.stages == evolution.stages
    assert other._pool.cases() == evolution._pool.cases()
    with pytest.raises(CheckpointError, match="no stages of an evolution"):
        other.restore({})
