"""One row with one sample: memories are built, or come from the cache; questions are asked."""

import asyncio
import logging
from collections import defaultdict
from dataclasses import dataclass

from langgraph_memskill.benchmarks.run_log import BuildLog
from langgraph_memskill.benchmarks.running.answering import (
    ENDS_THE_RUN,
    Evidence,
    Unanswered,
    blank_item,
)
from langgraph_memskill.benchmarks.running.building import build_log
from langgraph_memskill.benchmarks.running.builds import Build
from langgraph_memskill.benchmarks.running.frame import Work
from langgraph_memskill.benchmarks.running.material import Material
from langgraph_memskill.benchmarks.running.prices import PriceTable, cost_of
from langgraph_memskill.benchmarks.running.summary import ModelNames
from langgraph_memskill.benchmarks.running.systems import System
from langgraph_memskill.benchmarks.running.workshop import Workshop
from langgraph_memskill.benchmarks.samples import Question
from langgraph_memskill.benchmarks.task import Task
from langgraph_memskill.errors import ModelCallError
from langgraph_memskill.records import Usage
from langgraph_memskill.workers.outcomes import reason_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunParts:
    """What all units of a run share."""

    work: Work
    workshop: Workshop
    task: Task
    models: ModelNames
    prices: PriceTable | None
    attempts: int
    num_questions: int
    """Of a row."""


class UnitPlay:
    """Plays one unit; see `graphs.benchmark.Unit`."""

    def __init__(self, system: System, material: Material, parts: RunParts) -> None:
        """Play `material` with `system`."""
        self.system = system
        self.material = material
        self.log: BuildLog | None = None
        self._parts = parts
        self._work = parts.work
        self._build: Build | None = None
        self._desk = parts.workshop.desk(system, material)
        self._error: str | None = None
        self._spent: defaultdict[str, Usage] = defaultdict(Usage)
        """On the reader, by question, all attempts together."""

    async def build(self) -> list[int]:
        """Make the memories; gives the positions of the questions that are still open."""
        questions = self.material.questions
        work, row = self._work, self.system.name
        wanted = [i for i, q in enumerate(questions) if work.journal.is_open(row, q.id)]
        num_known = len(questions) - len(wanted)
        work.tally.step(num_known)
        try:
            async with work.slots:
                self._build = await work.builder.build(
                    self._parts.workshop.system(self.system), self.material, is_used=num_known > 0
                )
                if wanted:
                    await self._desk.open(self._build.memories)
        except ENDS_THE_RUN:
            raise
        except Exception as error:
            logger.warning("no memories of %s for %s", self.material.sample.id, row)
            logger.debug("building failed", exc_info=True)
            self._error = reason_of(error)
            for position in wanted:
                await self._give_up(questions[position], self._error, Usage())
            return []
        return wanted

    async def ask(self, position: int, attempt: int) -> None:
        """Ask one question; see `graphs.benchmark.Unit.ask`."""
        question = self.material.questions[position]
        async with self._work.slots:
            try:
                found = await self._desk.answer(position)
            except ENDS_THE_RUN:
                raise
            except Exception as error:
                logger.debug("the question %s was lost", question.id, exc_info=True)
                found = Unanswered(reason=reason_of(error))
            self._spent[question.id] += found.usage
            self._spend(found.usage, self._parts.models.reader)
            if isinstance(found, Unanswered):
                logger.debug("the question %s failed: %s", question.id, found.reason)
                if attempt < self._parts.attempts:
                    raise ModelCallError(f"the question {question.id} failed: {found.reason}")
                await self._give_up(question, found.reason, self._spent[question.id])
                return
        self._spend(found.scoring_usage, self._parts.models.judge)
        item = found.model_copy(update={"usage": self._spent[question.id]})
        await self._work.journal.add(self.system.name, item)
        self._work.tally.step()

    async def close(self) -> None:
        """Keep for the log what the items refer to, and let go of the rest."""
        played = self._work.journal.items
        items = (played.get((self.system.name, q.id)) for q in self.material.questions)
        build = self._build
        if build is None:
            key = await asyncio.to_thread(self.system.key, self.material)
            build = Build(key=key, num_spans=0)
        self.log = build_log(
            build,
            self.material,
            [item for item in items if item is not None],
            evidence_of=Evidence(self._parts.task, self.system, self.material),
            error=self._error,
        )
        self._build = None
        await self._desk.close()

    async def _give_up(self, question: Question, reason: str, usage: Usage) -> None:
        item = blank_item(self.material, question).model_copy(
            update={"error": reason, "usage": usage}
        )
        await self._work.journal.add(self.system.name, item)
        self._work.tally.fail()
        self._work.tally.step()
        self._work.failures.add(self.system.name, "questions", self._parts.num_questions, reason)

    def _spend(self, usage: Usage, model: str | None) -> None:
        self._work.tally.spend(usage, cost_of(self._parts.prices, model, usage))
