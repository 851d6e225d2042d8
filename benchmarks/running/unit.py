"""One row with one sample: memories are built, or come from the cache; questions are asked."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from langchain_core.language_models import BaseChatModel

from langgraph_memskill.benchmarks.run_log import BuildLog, ItemLog, ScoreLog
from langgraph_memskill.benchmarks.running.building import build_log
from langgraph_memskill.benchmarks.running.builds import Build
from langgraph_memskill.benchmarks.running.frame import Work
from langgraph_memskill.benchmarks.running.material import Material
from langgraph_memskill.benchmarks.running.prices import PriceTable, cost_of
from langgraph_memskill.benchmarks.running.shelf import SearchKit, Shelf, recalled_log
from langgraph_memskill.benchmarks.running.summary import ModelNames
from langgraph_memskill.benchmarks.running.systems import Recall, System
from langgraph_memskill.benchmarks.samples import Question
from langgraph_memskill.benchmarks.task import Answered, Found, Score, Scorer, Task
from langgraph_memskill.errors import (
    BenchmarkError,
    CheckpointError,
    ConfigError,
    DataError,
    MissingDependencyError,
    ModelCallError,
)
from langgraph_memskill.nodes.answer import answer_text
from langgraph_memskill.prompts import answer_messages
from langgraph_memskill.records import Memory, Usage
from langgraph_memskill.writing.usage import usage_of

logger = logging.getLogger(__name__)

_ENDS_THE_RUN = (
    BenchmarkError,
    CheckpointError,
    ConfigError,
    DataError,
    MissingDependencyError,
)
"""What no other sample could do better, and too many failures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunParts:
    """What all units of a run share."""

    work: Work
    task: Task
    reader: BaseChatModel
    scorers: Sequence[Scorer]
    kit: SearchKit
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
        self._shelf: Shelf | None = None
        self._evidence: dict[str, tuple[str, ...]] = {}
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
                    self.system, self.material, is_used=num_known > 0
                )
                shelf = Shelf(self._build.memories, self.system.recall, self._parts.kit)
                if wanted:
                    await shelf.prepare()
            self._shelf = shelf
        except _ENDS_THE_RUN:
            raise
        except Exception as error:
            logger.warning("no memories of %s for %s", self.material.sample.id, row)
            logger.debug("building failed", exc_info=True)
            self._error = _reason(error)
            for position in wanted:
                await self._give_up(questions[position], self._error, Usage())
            return []
        return wanted

    async def ask(self, position: int, attempt: int) -> None:
        """Ask one question; see `graphs.benchmark.Unit.ask`."""
        question = self.material.questions[position]
        async with self._work.slots:
            try:
                item = await self._answered(question)
            except _ENDS_THE_RUN:
                raise
            except Exception as error:
                logger.debug("the question %s failed", question.id, exc_info=True)
                if attempt < self._parts.attempts:
                    raise ModelCallError(f"the question {question.id} failed") from error
                await self._give_up(question, _reason(error), self._spent[question.id])
                return
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
            evidence_of=self._evidence_of,
            error=self._error,
        )
        self._build = self._shelf = None

    async def _answered(self, question: Question) -> ItemLog:
        assert self._shelf is not None
        started = time.perf_counter()
        memories = await self._shelf.find(question.text)
        prompts = self._parts.task.prompts
        messages = answer_messages(
            question.text,
            memories,
            style=prompts.style,
            date=question.date if prompts.with_date else None,
        )
        usage = Usage(calls=1)
        try:
            reply = await self._parts.reader.ainvoke(messages)
            usage = replace(usage_of(messages, reply), calls=1)
        finally:
            # A call that failed was a call, too.
            self._spent[question.id] += usage
            self._spend(usage, self._parts.models.reader)
        seconds = time.perf_counter() - started
        text = answer_text(reply, prompts.style)
        scores = await self._scores(question, text, memories)
        scoring = sum((score.usage for score in scores.values()), Usage())
        self._spend(scoring, self._parts.models.judge)
        return self._item(question).model_copy(
            update={
                "answer": text,
                "scores": {
                    name: ScoreLog(value=score.value, problem=score.problem)
                    for name, score in scores.items()
                },
                "recalled": recalled_log(memories),
                "usage": self._spent[question.id],
                "scoring_usage": scoring,
                "seconds": seconds,
            }
        )

    async def _scores(
        self, question: Question, text: str, memories: Sequence[Memory]
    ) -> dict[str, Score]:
        found = tuple(
            Found(memory=memory, evidence_ids=self._evidence_of(memory)) for memory in memories
        )
        answered = Answered(text=text, found=found)
        if self.system.recall is not Recall.SEARCH:
            # Nothing was searched, so there is no retrieval to score.
            question = replace(question, evidence=())
        scores: dict[str, Score] = {}
        for scorer in self._parts.scorers:
            try:
                scores[scorer.name] = await scorer(question, answered)
            except Exception as error:
                logger.warning("%s gave no score for %s", scorer.name, question.id, exc_info=True)
                scores[scorer.name] = Score(value=None, problem=_reason(error))
        return scores

    def _evidence_of(self, memory: Memory) -> tuple[str, ...]:
        if memory.id not in self._evidence:
            self._evidence[memory.id] = self._parts.task.evidence_ids(
                self.material.sample, self.system.spans(self.material), memory
            )
        return self._evidence[memory.id]

    def _item(self, question: Question) -> ItemLog:
        return ItemLog(
            id=question.id,
            sample=self.material.sample.id,
            category=question.category,
            text=question.text,
            gold=question.answers,
            evidence=question.evidence,
            date=question.date,
        )

    async def _give_up(self, question: Question, reason: str, usage: Usage) -> None:
        item = self._item(question).model_copy(update={"error": reason, "usage": usage})
        await self._work.journal.add(self.system.name, item)
        self._work.tally.fail()
        self._work.tally.step()
        self._work.failures.add(self.system.name, "questions", self._parts.num_questions, reason)

    def _spend(self, usage: Usage, model: str | None) -> None:
        self._work.tally.spend(usage, cost_of(self._parts.prices, model, usage))


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
