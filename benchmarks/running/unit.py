"""One row with one sample: memories are built, or come from the cache; questions are asked."""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from langchain_core.language_models import BaseChatModel

from langgraph_memskill.benchmarks.run_log import BuildLog, ItemLog, MemoryLog, ScoreLog
from langgraph_memskill.benchmarks.running.builds import Build, BuildCache
from langgraph_memskill.benchmarks.running.journal import Journal
from langgraph_memskill.benchmarks.running.material import Material
from langgraph_memskill.benchmarks.running.prices import PriceTable, cost_of
from langgraph_memskill.benchmarks.running.progress import FailureLimit, Tally
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


@dataclass(slots=True, kw_only=True)
class RunParts:
    """What all units of a run share."""

    run_id: str
    task: Task
    reader: BaseChatModel
    scorers: Sequence[Scorer]
    kit: SearchKit
    cache: BuildCache
    journal: Journal
    tally: Tally
    failures: FailureLimit
    models: ModelNames
    prices: PriceTable | None
    attempts: int
    rebuild: bool
    slots: asyncio.Semaphore
    totals: dict[str, int]
    """Questions and spans of a row: "questions", "spans"."""
    locks: dict[str, asyncio.Lock] = field(default_factory=dict)
    """By content key, so that a history which several samples share is read once."""
    made: set[str] = field(default_factory=set)
    """Keys of the memories that this process has built."""
    reused: int = 0
    """Builds that came whole from the cache."""


class UnitPlay:
    """Plays one unit; see `graphs.benchmark.Unit`."""

    def __init__(self, system: System, material: Material, parts: RunParts) -> None:
        """Play `material` with `system`."""
        self.system = system
        self.material = material
        self.log: BuildLog | None = None
        self._parts = parts
        self._build: Build | None = None
        self._shelf: Shelf | None = None
        self._evidence: dict[str, tuple[str, ...]] = {}
        self._error: str | None = None

    async def build(self) -> list[int]:
        """Make the memories; gives the positions of the questions that are still open."""
        questions = self.material.questions
        known = [self._parts.journal.items.get(self._key(question)) for question in questions]
        wanted = [i for i, item in enumerate(known) if item is None or item.error is not None]
        self._parts.tally.step(len(questions) - len(wanted))
        try:
            async with self._parts.slots:
                self._build = await self._built()
                shelf = Shelf(self._build.memories, self.system.recall, self._parts.kit)
                if wanted:
                    await shelf.prepare()
            self._shelf = shelf
        except _ENDS_THE_RUN:
            raise
        except Exception as error:
            logger.warning("no memories of %s for %s", self.material.sample.id, self.system.name)
            logger.debug("building failed", exc_info=True)
            self._error = _reason(error)
            for position in wanted:
                self._give_up(questions[position], self._error, Usage())
            return []
        return wanted

    async def ask(self, position: int, attempt: int) -> None:
        """Ask one question; see `graphs.benchmark.Unit.ask`."""
        question = self.material.questions[position]
        async with self._parts.slots:
            try:
                item = await self._answered(question, attempt)
            except _ENDS_THE_RUN:
                raise
            except Exception as error:
                self._parts.tally.spend(Usage(calls=1), None)
                logger.debug("the question %s failed", question.id, exc_info=True)
                if attempt < self._parts.attempts:
                    raise ModelCallError(f"the question {question.id} failed") from error
                self._give_up(question, _reason(error), Usage(calls=attempt))
                return
        self._parts.journal.add(self.system.name, item)
        self._parts.tally.step()

    async def close(self) -> None:
        """Keep for the log what the items refer to, and let go of the rest."""
        items = [self._parts.journal.items.get(self._key(q)) for q in self.material.questions]
        recalled = {entry.memory_id for item in items if item for entry in item.recalled}
        build = self._build or Build(key=self.system.key(self.material), num_spans=0)
        memories = [memory for memory in build.memories if memory.id in recalled]
        self.log = BuildLog(
            sample=self.material.sample.id,
            key=build.key,
            memories=tuple(map(self._memory_log, sorted(memories, key=lambda m: m.id))),
            num_memories=len(build.memories),
            skill_uses=build.skill_uses,
            actions=build.actions,
            failed_spans=len(build.failed),
            usage=build.usage,
            error=self._error,
            seconds=build.seconds,
        )
        self._build = self._shelf = None

    async def _built(self) -> Build:
        key = self.system.key(self.material)
        fresh = Build(
            key=key, num_spans=self.system.num_steps(self.material), run=self._parts.run_id
        )
        if not self.system.calls_a_model:
            return await self.system.build(self.material, fresh, self._step, lambda build: None)
        async with self._parts.locks.setdefault(key, asyncio.Lock()):
            start = await asyncio.to_thread(self._cached, fresh)
            if start.is_complete:
                self._parts.reused += 1
                self._step(start.num_spans)
                self._check_spans(start)
                return start
            build = await self.system.build(self.material, start, self._step, self._keep)
            self._parts.made.add(key)
            self._spend(_less(build.usage, start.usage), self._parts.models.executor)
            self._check_spans(build)
            return build

    def _cached(self, fresh: Build) -> Build:
        if self._parts.rebuild and fresh.key not in self._parts.made:
            return fresh
        found = self._parts.cache.load(fresh.key)
        if found is None or (found.failed and not self._goes_on(found, fresh)):
            return fresh
        return replace(found, run=fresh.run)

    def _goes_on(self, found: Build, fresh: Build) -> bool:
        """Whether memories that lack some spans are gone on with, instead of read once more."""
        if found.key in self._parts.made:
            return True
        answered = [self._parts.journal.items.get(self._key(q)) for q in self.material.questions]
        # What was answered from them must stay what the log shows.
        is_used = any(item is not None and item.error is None for item in answered)
        return found.run == fresh.run and (is_used or not found.is_complete)

    def _keep(self, build: Build) -> None:
        self._parts.cache.save(build)

    def _check_spans(self, build: Build) -> None:
        if build.failed:
            name, reason = next(reversed(build.failed.items()))
            self._parts.failures.add(
                self.system.name,
                "spans",
                self._parts.totals["spans"],
                f"span {name} of {self.material.sample.id}: {reason}",
                count=len(build.failed),
            )

    async def _answered(self, question: Question, attempt: int) -> ItemLog:
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
        reply = await self._parts.reader.ainvoke(messages)
        seconds = time.perf_counter() - started
        usage = replace(usage_of(messages, reply), calls=attempt)
        self._spend(replace(usage, calls=1), self._parts.models.reader)
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
                "usage": usage,
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

    def _memory_log(self, memory: Memory) -> MemoryLog:
        known = {span.id for span in self.material.spans}
        # The construction graph writes its episode in front of a span's own id.
        sources = dict.fromkeys(source.span_id.rpartition("/")[2] for source in memory.sources)
        return MemoryLog(
            id=memory.id,
            content=memory.content,
            skills=memory.skills,
            span_ids=tuple(span_id for span_id in sources if span_id in known),
            evidence_ids=self._evidence_of(memory),
        )

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

    def _give_up(self, question: Question, reason: str, usage: Usage) -> None:
        item = self._item(question).model_copy(update={"error": reason, "usage": usage})
        self._parts.journal.add(self.system.name, item)
        self._parts.tally.fail()
        self._parts.tally.step()
        self._parts.failures.add(
            self.system.name, "questions", self._parts.totals["questions"], reason
        )

    def _spend(self, usage: Usage, model: str | None) -> None:
        self._parts.tally.spend(usage, cost_of(self._parts.prices, model, usage))

    def _step(self, count: int) -> None:
        self._parts.tally.step(count)

    def _key(self, question: Question) -> tuple[str, str]:
        return self.system.name, question.id


def _less(whole: Usage, part: Usage) -> Usage:
    return Usage(
        calls=whole.calls - part.calls,
        input_tokens=whole.input_tokens - part.input_tokens,
        output_tokens=whole.output_tokens - part.output_tokens,
        estimated_calls=whole.estimated_calls - part.estimated_calls,
    )


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
