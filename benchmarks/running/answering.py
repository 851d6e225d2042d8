"""Answering the questions of one row with one sample, and scoring the answers."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage

from langgraph_memskill.benchmarks.run_log import ItemLog, ScoreLog
from langgraph_memskill.benchmarks.running.material import Material
from langgraph_memskill.benchmarks.running.shelf import SearchKit, Shelf, recalled_log
from langgraph_memskill.benchmarks.running.systems import Recall, System
from langgraph_memskill.benchmarks.samples import Question
from langgraph_memskill.benchmarks.task import Answered, Found, Score, Scorer, Task
from langgraph_memskill.errors import (
    BenchmarkError,
    CheckpointError,
    ClusterError,
    ConfigError,
    DataError,
    MissingDependencyError,
)
from langgraph_memskill.nodes.answer import answer_text
from langgraph_memskill.prompts import answer_messages
from langgraph_memskill.records import Memory, Usage
from langgraph_memskill.workers.outcomes import reason_of
from langgraph_memskill.writing.usage import usage_of

logger = logging.getLogger(__name__)

ENDS_THE_RUN = (
    BenchmarkError,
    CheckpointError,
    ClusterError,
    ConfigError,
    DataError,
    MissingDependencyError,
)
"""What no other sample could do better, and too many failures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """A question that the reader, or what comes before it, has failed on."""

    reason: str
    usage: Usage = Usage()
    """Of the reader: a call that failed was a call, too."""


class Desk(Protocol):
    """Where the questions of one row with one sample are answered; nothing is written there."""

    async def open(self, memories: Sequence[Memory]) -> None:
        """Take the memories, in order, and get ready to search them."""

    async def answer(self, position: int) -> ItemLog | Unanswered:
        """Answer a question and score the answer.

        Args:
            position: Which of the sample's questions.

        Returns:
            The item with the usage of this call alone, or why there is no answer.

        Raises:
            MemSkillError: One of `ENDS_THE_RUN`.
        """

    async def close(self) -> None:
        """Let go of the memories."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskParts:
    """What all desks of a process share."""

    task: Task
    reader: BaseChatModel
    scorers: Sequence[Scorer]
    kit: SearchKit


class LocalDesk:
    """A desk in this process; see `Desk`."""

    def __init__(self, system: System, material: Material, parts: DeskParts) -> None:
        """Answer the questions of `material` with what `system` has made of it."""
        self._system = system
        self._material = material
        self._parts = parts
        self._evidence = Evidence(parts.task, system, material)
        self._shelf: Shelf | None = None

    async def open(self, memories: Sequence[Memory]) -> None:
        """See `Desk.open`."""
        shelf = Shelf(memories, self._system.recall, self._parts.kit)
        await shelf.prepare()
        self._shelf = shelf

    async def answer(self, position: int) -> ItemLog | Unanswered:
        """See `Desk.answer`."""
        question = self._material.questions[position]
        usage, started = Usage(), time.perf_counter()
        try:
            assert self._shelf is not None
            memories = await self._shelf.find(question.text)
            messages = self._messages(question, memories)
            usage = Usage(calls=1)
            reply = await self._parts.reader.ainvoke(messages)
            usage = replace(usage_of(messages, reply), calls=1)
            seconds = time.perf_counter() - started
            text = answer_text(reply, self._parts.task.prompts.style)
            scores = await self._scores(question, text, memories)
        except ENDS_THE_RUN:
            raise
        except Exception as error:
            logger.debug("the question %s failed", question.id, exc_info=True)
            return Unanswered(reason=reason_of(error), usage=usage)
        return blank_item(self._material, question).model_copy(
            update={
                "answer": text,
                "scores": {
                    name: ScoreLog(value=score.value, problem=score.problem)
                    for name, score in scores.items()
                },
                "recalled": recalled_log(memories),
                "usage": usage,
                "scoring_usage": sum((score.usage for score in scores.values()), Usage()),
                "seconds": seconds,
            }
        )

    async def close(self) -> None:
        """See `Desk.close`."""
        self._shelf = None

    def _messages(self, question: Question, memories: Sequence[Memory]) -> list[BaseMessage]:
        prompts = self._parts.task.prompts
        return answer_messages(
            question.text,
            memories,
            style=prompts.style,
            date=question.date if prompts.with_date else None,
        )

    async def _scores(
        self, question: Question, text: str, memories: Sequence[Memory]
    ) -> dict[str, Score]:
        found = tuple(
            Found(memory=memory, evidence_ids=self._evidence(memory)) for memory in memories
        )
        answered = Answered(text=text, found=found)
        if self._system.recall is not Recall.SEARCH:
            # Nothing was searched, so there is no retrieval to score.
            question = replace(question, evidence=())
        scores: dict[str, Score] = {}
        for scorer in self._parts.scorers:
            try:
                scores[scorer.name] = await scorer(question, answered)
            except Exception as error:
                logger.warning("%s gave no score for %s", scorer.name, question.id, exc_info=True)
                scores[scorer.name] = Score(value=None, problem=reason_of(error))
        return scores


class Evidence:
    """What memories come from, as ids of the task; each is looked up once."""

    def __init__(self, task: Task, system: System, material: Material) -> None:
        """Look up memories that `system` has made of `material`."""
        self._task = task
        self._system = system
        self._material = material
        self._known: dict[str, tuple[str, ...]] = {}

    def __call__(self, memory: Memory) -> tuple[str, ...]:
        """Ids of the evidence that a memory comes from."""
        if memory.id not in self._known:
            self._known[memory.id] = self._task.evidence_ids(
                self._material.sample, self._system.spans(self._material), memory
            )
        return self._known[memory.id]


def blank_item(material: Material, question: Question) -> ItemLog:
    """A question as the log has it before it is asked."""
    return ItemLog(
        id=question.id,
        sample=material.sample.id,
        category=question.category,
        text=question.text,
        gold=question.answers,
        evidence=question.evidence,
        date=question.date,
    )
