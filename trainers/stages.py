"""Stages of a training run: snapshots, the best one, failed attempts, when to stop (METHOD).

Everything here is plain values and pure functions, so that a checkpoint holds it exactly and a
snapshot never changes behind the run's back (QUIRK 13).
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from langgraph_memskill.evolution.records import (
    CachedAnalysis,
    EvolutionResult,
    FailedAttempt,
    SkillChange,
    StageFeedback,
)
from langgraph_memskill.evolution.settings import EvolutionSettings
from langgraph_memskill.ranges import check_count
from langgraph_memskill.skills.bank import SkillBank


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSettings:
    """How stages are judged.

    Raises:
        ConfigError: If a value is out of its range.
    """

    max_evolves: int = 6
    """Evolutions that change the bank at most, >= 0."""
    patience: int = 3
    """Evolutions in a row that make nothing better before the run stops (METHOD: 3 to 5), >= 0."""
    trials: int = 3
    """Times that the designer is asked at the end of a stage until a change comes of it, >= 1."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_count(self, 0, "max_evolves", "patience")
        check_count(self, 1, "trials")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvolutionPlan:
    """How the skills evolve in a run."""

    designer: str
    """The designer's model, as `load_model` understands it."""
    settings: EvolutionSettings = EvolutionSettings()
    stages: StageSettings = StageSettings()
    protect_seeds: bool = False
    """Whether the seeds stay when a full bank gets a new skill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedEvolution:
    """The evolution that led to the bank of a stage."""

    changes: tuple[SkillChange, ...]
    reason: str = ""
    model: str = ""
    cases: tuple[str, ...] = ()
    """Keys of the cases that the designer was shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The best stage so far, with its bank as it was when the stage ended."""

    stage: int
    reward: float
    bank: dict[str, Any]
    """`SkillBank.to_json`, statistics included."""
    version: str | None = None
    """Id of the bank's version."""
    analysis: CachedAnalysis | None = None
    """What the designer made of the stage's cases; used again after every rollback to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRewards:
    """Where the stages of a run stand, between two of them."""

    rewards: tuple[tuple[int, float], ...] = ()
    """Stage and reward of every stage that had one."""
    best: Snapshot | None = None
    without_improvement: int = 0
    """Evolutions since the best stage."""
    num_evolves: int = 0
    """Evolutions that changed the bank."""
    failed: tuple[FailedAttempt, ...] = ()
    """What was tried since the best stage."""
    pending: AppliedEvolution | None = None
    """What led to the present bank; None if it was not changed after the last stage."""


class StageVerdict(NamedTuple):
    """What is to follow a stage."""

    is_best: bool
    stop: bool
    """Whether no evolution is to follow."""
    feedback: StageFeedback | None
    """For the designer: what the evolution before the stage was worth; None if there was none."""


class JudgedStage(NamedTuple):
    """A stage's place among the others."""

    stages: StageRewards
    verdict: StageVerdict


def judge_stage(
    stages: StageRewards,
    *,
    number: int,
    reward: float,
    bank: SkillBank,
    version: str | None = None,
    settings: StageSettings,
) -> JudgedStage:
    """Take a stage in that has ended.

    A stage is the best if its reward is strictly above all others. One that is not counts against
    patience, and its changes as a failed attempt, only if an evolution led to it: of an unchanged
    bank less reward says nothing about the designer (QUIRK 17).

    Args:
        stages: Those before.
        number: Of the stage, from 0.
        reward: Of the stage.
        bank: It was played with; it is copied.
        version: The bank's version.
        settings: When to stop.
    """
    best = stages.best
    is_best = best is None or reward > best.reward
    after = replace(stages, rewards=(*stages.rewards, (number, reward)), pending=None)
    if is_best:
        found = Snapshot(stage=number, reward=reward, bank=bank.to_json(), version=version)
        after = replace(after, best=found, without_improvement=0, failed=())
    elif stages.pending is not None and best is not None:
        attempt = FailedAttempt(
            stage=number,
            changes=stages.pending.changes,
            reward=reward,
            best_reward=best.reward,
        )
        after = replace(
            after,
            without_improvement=stages.without_improvement + 1,
            failed=(*stages.failed, attempt),
        )
    stop = after.num_evolves >= settings.max_evolves or (
        after.without_improvement >= settings.patience
    )
    feedback = None if stages.pending is None else _feedback(best, after, number, reward)
    return JudgedStage(after, StageVerdict(is_best, stop, feedback))


def with_evolution(stages: StageRewards, result: EvolutionResult) -> StageRewards:
    """Note what the designer did after a stage.

    A result that changed nothing is not counted and will not be judged (QUIRK 17).

    Args:
        stages: After `judge_stage`.
        result: Of the evolution of the best bank.
    """
    best = stages.best
    if best is not None and best.analysis is None and result.analysis is not None:
        stages = replace(stages, best=replace(best, analysis=result.analysis))
    if result.no_change:
        return stages
    pending = AppliedEvolution(
        changes=result.changes,
        reason=result.reason,
        model=result.model,
        cases=tuple(case.key for case in result.cases),
    )
    return replace(stages, pending=pending, num_evolves=stages.num_evolves + 1)


def _feedback(
    before: Snapshot | None, after: StageRewards, number: int, reward: float
) -> StageFeedback:
    best = after.best
    return StageFeedback(
        stage=number,
        reward=reward,
        base_stage=-1 if before is None else before.stage,
        base_reward=reward if before is None else before.reward,
        best_reward=reward if best is None else best.reward,
        stages_without_improvement=after.without_improvement,
    )
