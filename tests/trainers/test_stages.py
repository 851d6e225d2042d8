import pytest

from langgraph_memskill.errors import ConfigError
from langgraph_memskill.evolution.records import (
    Analysis,
    CachedAnalysis,
    ChangeAction,
    EvolutionResult,
    EvolutionStatus,
    HardCase,
    SkillChange,
)
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.state import dump, load
from langgraph_memskill.trainers.stages import (
    StageRewards,
    StageSettings,
    judge_stage,
    with_evolution,
)

SETTINGS = StageSettings()
ANALYSIS = CachedAnalysis(cases=(HardCase(id="c", question="When?"),), analysis=Analysis())


def result(bank, *, changed=True, analysis=ANALYSIS):
    after = bank.copy()
    changes = ()
    if changed:
        skill = after.refine("insert", description="Another text that says what to insert.")
        changes = (SkillChange(action=ChangeAction.REFINE_EXISTING, name="insert", after=skill),)
    status = EvolutionStatus.APPLIED if changed else EvolutionStatus.NO_CHANGE
    return EvolutionResult(
        id="e", status=status, before=bank, after=after, changes=changes, analysis=analysis
    )


def judge(stages, number, reward, bank=None, settings=SETTINGS):
    bank = SkillBank.seed() if bank is None else bank
    return judge_stage(stages, number=number, reward=reward, bank=bank, settings=settings)


def test_the_first_stage_is_the_best():
    stages, verdict = judge(StageRewards(), 0, -1.0)
    assert verdict == (True, False, None)
    assert (stages.best.stage, stages.best.reward) == (0, -1.0)


def test_an_equal_reward_is_no_improvement():
    stages, _ = judge(StageRewards(), 0, 0.5)
    stages = with_evolution(stages, result(SkillBank.seed()))
    stages, verdict = judge(stages, 1, 0.5)
    assert not verdict.is_best
    assert stages.best.stage == 0


def test_a_failed_attempt_is_remembered_until_something_is_better():
    bank = SkillBank.seed()
    stages, _ = judge(StageRewards(), 0, 0.5)
    stages, verdict = judge(with_evolution(stages, result(bank)), 1, 0.2)
    [attempt] = stages.failed
    assert (attempt.stage, attempt.reward, attempt.best_reward) == (1, 0.2, 0.5)
    assert attempt.changes[0].name == "insert"
    assert (verdict.feedback.base_stage, verdict.feedback.base_reward) == (0, 0.5)
    assert not verdict.feedback.is_improvement
    stages, verdict = judge(with_evolution(stages, result(bank)), 2, 0.6)
    assert (stages.failed, stages.without_improvement) == ((), 0)
    assert verdict.feedback.is_improvement


def test_less_reward_without_a_change_is_nobodys_fault():
    bank = SkillBank.seed()
    stages, _ = judge(StageRewards(), 0, 0.5)
    stages = with_evolution(stages, result(bank, changed=False))
    assert stages.num_evolves == 0
    stages, verdict = judge(stages, 1, 0.2)
    assert (stages.failed, stages.without_improvement, verdict.feedback) == ((), 0, None)


def test_the_analysis_of_the_best_stage_is_kept():
    bank = SkillBank.seed()
    stages, _ = judge(StageRewards(), 0, 0.5)
    stages = with_evolution(stages, result(bank))
    other = CachedAnalysis(cases=(), analysis=Analysis(summary="later"))
    stages, _ = judge(stages, 1, 0.2)
    stages = with_evolution(stages, result(bank, analysis=other))
    assert stages.best.analysis == ANALYSIS
    stages, _ = judge(stages, 2, 0.9)
    assert stages.best.analysis is None


@pytest.mark.parametrize(
    ("settings", "num_stages"),
    [
        (StageSettings(patience=2, max_evolves=9), 3),
        (StageSettings(patience=9, max_evolves=1), 2),
        (StageSettings(patience=9, max_evolves=0), 1),
    ],
)
def test_when_a_run_stops(settings, num_stages):
    stages, stop, number = StageRewards(), False, 0
    while not stop:
        stages, verdict = judge(stages, number, 1.0 - number, settings=settings)
        stop, number = verdict.stop, number + 1
        if not stop:
            stages = with_evolution(stages, result(SkillBank.seed()))
    assert number == num_stages


def test_a_snapshot_does_not_change_with_the_bank():
    bank = SkillBank.seed()
    bank.record_reward("insert", 0.5)
    stages, _ = judge(StageRewards(), 0, 0.5, bank)
    bank.record_reward("insert", 1.0)
    kept = SkillBank.from_json(stages.best.bank)["insert"].statistics
    assert kept.recent_rewards == (0.5,)


def test_stages_are_plain_values():
    stages, _ = judge(StageRewards(), 0, 0.5)
    stages = with_evolution(stages, result(SkillBank.seed()))
    stages, _ = judge(stages, 1, 0.2)
    assert load(StageRewards, dump(stages)) == stages


def test_numbers_that_are_out_of_range():
    with pytest.raises(ConfigError, match="trials"):
        StageSettings(trials=0)
    with pytest.raises(ConfigError, match="patience"):
        StageSettings(patience=-1)
