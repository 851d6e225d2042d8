"""The demo without its display: a conversation is remembered, then its questions are asked."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from statistics import fmean
from threading import Lock
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables.config import ContextThreadPoolExecutor

from langgraph_memskill.benchmarks.locomo import (
    load_locomo,
    load_sample_conversation,
    scorable,
)
from langgraph_memskill.benchmarks.samples import Question, Sample
from langgraph_memskill.benchmarks.scorers import best_token_f1, evidence_recall
from langgraph_memskill.cli.content import pick_sample, spans_to_remember
from langgraph_memskill.construction_runs import OnStep
from langgraph_memskill.errors import ConfigError, ModelCallError
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.memory_folder import MemoryFolder
from langgraph_memskill.models import model_name
from langgraph_memskill.prompts import AnswerStyle
from langgraph_memskill.records import ActionType, Memory, RememberResult, Span
from langgraph_memskill.spans import SpanMode
from langgraph_memskill.state import StepEvent

RECALL_AT = 20
"""The k of evidence recall@k, and the memories that an answer is made from."""

OVERALL = "overall"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a demo plays."""

    sample: Sample
    spans: tuple[Span, ...]
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedMemory:
    """A memory that an answer was made from."""

    id: str
    content: str
    score: float | None
    turn_ids: tuple[str, ...]
    """Ids of the turns that it comes from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedQuestion:
    """One question with its answer and scores."""

    question: str
    category: str
    gold: tuple[str, ...]
    answer: str | None
    """None if the model could not be called."""
    problem: str | None
    """Why there is no answer."""
    f1: float | None
    """Token F1 in [0, 1]; None without an answer or a gold answer."""
    evidence: tuple[str, ...]
    evidence_recall: float | None
    """Share of the evidence among the sources of the first 20 memories; None without evidence or
    without an answer."""
    memories: tuple[UsedMemory, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryScores:
    """Means over the questions of one category, or over all."""

    category: str
    questions: int
    f1: float | None
    """Mean token F1 of the questions that have one."""
    evidence_recall: float | None
    """Mean evidence recall@20 of the questions that have one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Where everything was stored."""

    folder: Path
    memories: Path
    skills: Path
    controller: Path | None
    """None if the memory has no trained controller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoReport:
    """Everything that a demo found out."""

    conversation: str
    user: str
    """Whose memories were written; a new one for every demo, so that no two demos mix."""
    model: str
    encoder: str
    selector: str
    sessions: int
    turns: int
    spans: int
    memories: int
    actions: dict[str, int]
    """Number of applied actions a type."""
    rejected: int
    failed: int
    """Spans that could not be remembered."""
    model_calls: int
    """Calls while remembering, repeated ones included."""
    answers: int
    unanswered: int
    """Questions for which the model could not be called; they are in no mean."""
    remember_seconds: float
    answer_seconds: float
    scores: tuple[CategoryScores, ...]
    """By category in alphabetical order, then over all."""
    paths: Paths
    steps: tuple[StepEvent, ...] = ()
    asked: tuple[AskedQuestion, ...] = ()


class _CallCounter(BaseCallbackHandler):
    """Counts the calls of chat models, from several threads."""

    def __init__(self) -> None:
        self.total = 0
        self._lock = Lock()

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        with self._lock:
            self.total += 1


def make_plan(
    data: Path | None,
    conversation: str | None,
    *,
    num_sessions: int | None = None,
    num_questions: int | None = None,
    mode: SpanMode = SpanMode.TURN_PAIR,
) -> Plan:
    """Read a conversation and choose what to play of it.

    Args:
        data: A LoCoMo file; None is the conversation that comes with the package.
        conversation: Its id; None is the first one.
        num_sessions: Only so many sessions, and the questions about them; None is all.
        num_questions: Only so many questions; None is all.
        mode: How to cut the conversation into spans.

    Raises:
        DataError: If the file cannot be read.
        ConfigError: If there is no such conversation, or the mode does not fit a conversation.
    """
    samples = [load_sample_conversation()] if data is None else load_locomo(data)
    name = "the sample" if data is None else str(data)
    sample = pick_sample(samples if conversation else samples[:1], conversation, name)
    questions = scorable(sample.questions)
    if num_sessions is not None:
        sample = replace(sample, sessions=sample.sessions[:num_sessions])
        known = {turn.id for session in sample.sessions for turn in session.turns}
        questions = tuple(q for q in questions if q.evidence and known.issuperset(q.evidence))
    spans = spans_to_remember(sample, mode)
    if not spans:
        raise ConfigError(f"the conversation {sample.id!r} has no turns to remember")
    return Plan(sample=sample, spans=tuple(spans), questions=questions[:num_questions])


def new_user(memory: MemSkillMemory, name: str) -> str:
    """A user without any memories: the name, or the name with a number behind it."""
    candidates = (name if number == 1 else f"{name}-{number}" for number in count(1))
    return next(user for user in candidates if _is_unused(memory, user))


def _is_unused(memory: MemSkillMemory, user: str) -> bool:
    namespace = memory.namespace_for(user)
    return not memory.store.search(namespace, limit=1) and not memory.failed(user_id=user)


class DemoRun:
    """Plays a plan for a user of its own: first `remember`, then `ask`, then `report`."""

    def __init__(self, memory: MemSkillMemory, folder: Path, plan: Plan) -> None:
        """Choose the user.

        Args:
            memory: Where to remember.
            folder: The memory's folder.
            plan: What to play.
        """
        self.user = new_user(memory, plan.sample.id)
        self._memory = memory
        self._folder = folder
        self._plan = plan
        self._calls = _CallCounter()
        self._steps: list[StepEvent] = []
        self._asked: list[AskedQuestion] = []
        self._result = RememberResult(episode_id="")
        self._seconds = (0.0, 0.0)

    def remember(self, on_step: OnStep) -> None:
        """Remember the conversation.

        Args:
            on_step: Called after every span.
        """

        def keep(event: StepEvent) -> None:
            self._steps.append(event)
            on_step(event)

        started = time.perf_counter()
        self._result = self._memory.remember(
            self._plan.spans,
            user_id=self.user,
            config={"callbacks": [self._calls]},
            on_step=keep,
        )
        self._seconds = (time.perf_counter() - started, 0.0)

    def ask(self, on_answer: Callable[[AskedQuestion], None], *, workers: int = 1) -> None:
        """Ask the questions and score the answers.

        Args:
            on_answer: Called after every question, in order.
            workers: Questions to ask side by side, >= 1.
        """
        started = time.perf_counter()
        for question in _ask_all(self._memory, self._plan.questions, self.user, workers):
            self._asked.append(question)
            on_answer(question)
        self._seconds = (self._seconds[0], time.perf_counter() - started)

    def report(self) -> DemoReport:
        """Everything that was found out."""
        sessions = self._plan.sample.sessions
        return DemoReport(
            conversation=self._plan.sample.id,
            user=self.user,
            model=model_name(self._memory.model),
            encoder=self._memory.encoder.name,
            selector=self._memory.controller.name,
            sessions=len(sessions),
            turns=sum(len(session.turns) for session in sessions),
            spans=len(self._plan.spans),
            memories=len(self._memory.memories(user_id=self.user)),
            actions=_action_counts(self._result),
            rejected=len(self._result.rejected),
            failed=len(self._result.failed),
            model_calls=self._calls.total,
            answers=sum(question.answer is not None for question in self._asked),
            unanswered=sum(question.answer is None for question in self._asked),
            remember_seconds=round(self._seconds[0], 3),
            answer_seconds=round(self._seconds[1], 3),
            scores=score_categories(self._asked),
            paths=_paths(self._folder),
            steps=tuple(self._steps),
            asked=tuple(self._asked),
        )


def _action_counts(result: RememberResult) -> dict[str, int]:
    counts = Counter(action.type for action in result.actions)
    return {str(kind): counts[kind] for kind in ActionType if kind is not ActionType.NOOP}


def _paths(folder: Path) -> Paths:
    paths = MemoryFolder(folder.absolute())
    return Paths(
        folder=paths.root,
        memories=paths.chroma,
        skills=paths.skills,
        controller=paths.controller if paths.controller.is_dir() else None,
    )


def _ask_all(
    memory: MemSkillMemory, questions: Sequence[Question], user: str, workers: int
) -> Iterator[AskedQuestion]:
    pool = ContextThreadPoolExecutor(workers, thread_name_prefix="memskill-demo")
    try:
        yield from pool.map(lambda question: _ask(memory, question, user), questions)
    finally:
        pool.shutdown(cancel_futures=True)


def _ask(memory: MemSkillMemory, question: Question, user: str) -> AskedQuestion:
    text: str | None = None
    problem: str | None = None
    memories: tuple[Memory, ...] = ()
    try:
        reply = memory.answer(
            question.text, user_id=user, style=AnswerStyle.SHORT, date=question.date
        )
        text, memories = reply.text, reply.memories[:RECALL_AT]
    except ModelCallError as error:
        problem = str(error)
    used = tuple(_used(found) for found in memories)
    found_ids = [turn_id for found in used for turn_id in found.turn_ids]
    return AskedQuestion(
        question=question.text,
        category=question.category,
        gold=question.answers,
        answer=text,
        problem=problem,
        f1=None if text is None else best_token_f1(text, question.answers),
        evidence=question.evidence,
        evidence_recall=None if text is None else evidence_recall(found_ids, question.evidence),
        memories=used,
    )


def _used(memory: Memory) -> UsedMemory:
    turn_ids = (turn_id for source in memory.sources for turn_id in source.turn_ids)
    return UsedMemory(
        id=memory.id,
        content=memory.content,
        score=memory.score,
        turn_ids=tuple(dict.fromkeys(turn_ids)),
    )


def score_categories(asked: Sequence[AskedQuestion]) -> tuple[CategoryScores, ...]:
    """Mean scores a category, and over all questions.

    Args:
        asked: The questions; one without a score is in no mean.

    Returns:
        The categories in alphabetical order, then "overall".
    """
    categories = sorted({question.category for question in asked})
    rows = [_scores(c, [q for q in asked if q.category == c]) for c in categories]
    return (*rows, _scores(OVERALL, asked))


def _scores(category: str, asked: Sequence[AskedQuestion]) -> CategoryScores:
    return CategoryScores(
        category=category,
        questions=len(asked),
        f1=_mean(question.f1 for question in asked),
        evidence_recall=_mean(question.evidence_recall for question in asked),
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
