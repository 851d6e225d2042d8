"""The evolution of skills in a training run: hard cases, judged stages, designer, rollback."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, Self, cast

from langchain_core.language_models import BaseChatModel
from pydantic import JsonValue, ValidationError

from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.errors import CheckpointError
from langgraph_memskill.evolution.designer import Designer
from langgraph_memskill.evolution.evolving import aevolve_bank
from langgraph_memskill.evolution.pool import HardCasePool
from langgraph_memskill.evolution.records import (
    CachedAnalysis,
    EvolutionResult,
    FailedAttempt,
    HardCase,
    StageFeedback,
)
from langgraph_memskill.records import Usage
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.skills.version_records import VersionAuthor, VersionNote
from langgraph_memskill.skills.versions import ROOT, VERSIONS_FOLDER, SkillVersions
from langgraph_memskill.state import dump, load
from langgraph_memskill.trainers.episode_kinds import AskedQuery
from langgraph_memskill.trainers.evolution import EvolutionOutcome, StageReport
from langgraph_memskill.trainers.stages import (
    EvolutionPlan,
    Snapshot,
    StageRewards,
    StageSettings,
    judge_stage,
    with_evolution,
)

logger = logging.getLogger(__name__)


class Evolve(Protocol):
    """Lets the designer improve a bank, as `aevolve_bank` does with a model and an encoder."""

    def __call__(
        self,
        bank: SkillBank,
        cases: Sequence[HardCase],
        *,
        failed_attempts: Sequence[FailedAttempt],
        feedback: StageFeedback | None,
        analysis: CachedAnalysis | None,
    ) -> Awaitable[EvolutionResult]:
        """Evolve a bank; it stays as it is, and the result holds the changed one."""


EVOLUTION = "evolution"
"""In a run's folder: cases.db, skill_versions/ (every stage's bank with its reward), and skills/
(the best stage's)."""


class SkillEvolution:
    """Changes the skill bank between stages (MemSkill, METHOD "Evolution").

    Every stage's bank becomes a version with its reward. If the stage was not the best, the bank
    goes back to the best one; from there the designer tries again, told what has failed.
    """

    def __init__(
        self,
        evolve: Evolve,
        *,
        pool: HardCasePool,
        versions: SkillVersions,
        settings: StageSettings | None = None,
    ) -> None:
        """Make one for a run.

        Args:
            evolve: The designer.
            pool: Of the run; a new run empties it.
            versions: Of the run.
            settings: When to stop.
        """
        self._evolve = evolve
        self._pool = pool
        self._versions = versions
        self._settings = settings or StageSettings()
        self.stages = StageRewards()

    @classmethod
    def with_designer(
        cls, plan: EvolutionPlan, designer: BaseChatModel, encoder: TextEncoder, run: Path
    ) -> Self:
        """Make one whose designer is a chat model.

        Args:
            plan: Numbers of the evolution and of the stages.
            designer: The designer.
            encoder: Of the run.
            run: The run's folder.

        Raises:
            ConfigError: If the model is no designer.
        """
        Designer(designer)  # refuses a model that cannot write

        async def evolve(
            bank: SkillBank,
            cases: Sequence[HardCase],
            *,
            failed_attempts: Sequence[FailedAttempt],
            feedback: StageFeedback | None,
            analysis: CachedAnalysis | None,
        ) -> EvolutionResult:
            return await aevolve_bank(
                bank,
                cases,
                model=designer,
                encoder=encoder,
                settings=plan.settings,
                failed_attempts=failed_attempts,
                feedback=feedback,
                analysis=analysis,
            )

        folder = run / EVOLUTION
        return cls(
            evolve,
            pool=HardCasePool(folder / "cases.db"),
            versions=SkillVersions(folder / VERSIONS_FOLDER, folder / "skills"),
            settings=plan.stages,
        )

    def close(self) -> None:
        """Close the pool's file."""
        self._pool.close()

    def observe(self, step: int, queries: Sequence[AskedQuery]) -> None:
        """Put the failed queries of an update into the pool, and take those out that succeed."""
        if step == 0:
            self._pool.restore({"epoch": 0, "cases": []})
        self._pool.move_on(step)
        for query in queries:
            case = query.hard_case
            if case is None:
                self._pool.resolve([query.key])
            else:
                self._pool.add(replace(case, epoch=step, step=step))

    async def after_stage(self, stage: StageReport, bank: SkillBank) -> EvolutionOutcome:
        """Judge the stage, go back to the best bank if it was not the best, and evolve that."""
        if stage.reward is None:
            logger.warning("stage %d has no reward, so it is not judged", stage.number)
            return await self._unjudged(stage, bank)
        version = await asyncio.to_thread(self._record, stage, bank)
        judged = judge_stage(
            self.stages,
            number=stage.number,
            reward=stage.reward,
            bank=bank,
            version=version,
            settings=self._settings,
        )
        self.stages, verdict = judged
        best = cast(Snapshot, self.stages.best)  # there is one, as this stage is among them
        # An equal bank keeps its newer statistics.
        is_other = SkillBank.from_json(best.bank).version != bank.version
        base = SkillBank.from_json(best.bank) if is_other else bank
        # The folder holds what an interrupted run would best be used with.
        in_use = best.version if is_other and best.version is not None else version
        await asyncio.to_thread(self._versions.activate, in_use, action="best stage")
        if verdict.stop or stage.is_last:
            return EvolutionOutcome(base if is_other else None, stop=verdict.stop)
        result, usage = await self._improve(base, best, verdict.feedback)
        if result is not None:
            self.stages = with_evolution(self.stages, result)
        if result is not None and not result.no_change:
            return EvolutionOutcome(result.after, usage=usage)
        return EvolutionOutcome(base if is_other else None, usage=usage)

    def state(self) -> dict[str, JsonValue]:
        """Pool and stages."""
        return {"pool": dict(self._pool.to_json()), "stages": dump(self.stages)}

    def restore(self, state: Mapping[str, JsonValue]) -> None:
        """Go on from what `state` gave.

        Raises:
            CheckpointError: If it is something else.
        """
        try:
            self.stages = load(StageRewards, cast(dict[str, JsonValue], state["stages"]))
            pool = cast(dict[str, JsonValue], state["pool"])
        except (KeyError, ValidationError) as error:
            raise CheckpointError(
                f"the checkpoint holds no stages of an evolution ({error}): resume the run as it "
                "was started"
            ) from error
        self._pool.restore(pool)

    async def _unjudged(self, stage: StageReport, bank: SkillBank) -> EvolutionOutcome:
        """Go on with the bank; after the last stage, with the best one if it was never tried."""
        best = self.stages.best
        if not stage.is_last or self.stages.pending is None or best is None:
            return EvolutionOutcome()
        # What the designer did stays a version, without a reward.
        await asyncio.to_thread(self._record, stage, bank)
        self.stages = replace(self.stages, pending=None)
        return EvolutionOutcome(SkillBank.from_json(best.bank))

    async def _improve(
        self, bank: SkillBank, best: Snapshot, feedback: StageFeedback | None
    ) -> tuple[EvolutionResult | None, Usage]:
        """Ask the designer until a change comes of it, at most as often as the settings say."""
        cases = await asyncio.to_thread(self._pool.cases)
        if not cases and best.analysis is None:
            return None, Usage()
        result, usage = None, Usage()
        for _ in range(self._settings.trials):
            result = await self._evolve(
                bank,
                cases,
                failed_attempts=self.stages.failed,
                feedback=feedback,
                analysis=best.analysis,
            )
            usage += result.usage
            if not result.no_change:
                break
        return result, usage

    def _record(self, stage: StageReport, bank: SkillBank) -> str:
        """Keep the stage's bank as a version with its reward."""
        best, pending = self.stages.best, self.stages.pending
        note = VersionNote(author=VersionAuthor.SEED, reason="the first skills")
        if pending is not None:
            note = VersionNote(
                author=VersionAuthor.DESIGNER,
                reason=pending.reason,
                model=pending.model,
                cases=pending.cases,
            )
        elif best is not None and best.version is not None:
            former = self._versions.get(best.version).note
            note = replace(former, reason="not changed", cases=())
        note = replace(note, stage=stage.number, reward=stage.reward)
        # Not the one in use: a killed process may have put one to use that was never judged.
        parent = ROOT if best is None else best.version
        return self._versions.record(bank, note, parent=parent).id
