"""Conversations as material: windows with the questions that their memories must answer."""

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from langgraph_memskill.errors import ConfigError
from langgraph_memskill.prompts import AnswerStyle
from langgraph_memskill.records import Answer, Span
from langgraph_memskill.trainers.config import TrainConfig
from langgraph_memskill.trainers.plans import EpisodePlan, played_in_turn, seed_of
from langgraph_memskill.trainers.sampling import sample_questions


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingQuestion:
    """A question about a conversation."""

    id: str
    text: str
    answers: tuple[str, ...]
    """Gold answers."""
    category: int = 1
    evidence: tuple[str, ...] = ()
    """Ids of the turns that the answer stands in; () if nobody says."""
    date: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingTrace:
    """One conversation: spans in order, and questions."""

    id: str
    spans: tuple[Span, ...]
    questions: tuple[TrainingQuestion, ...]
    style: AnswerStyle = AnswerStyle.SHORT


Scorer: TypeAlias = Callable[[TrainingQuestion, Answer], Awaitable[float | None]]
"""Scores an answer in [0, 1]; None if the question says nothing about the score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationPlan(EpisodePlan):
    """An episode over a conversation, or a window of it."""

    questions: tuple[TrainingQuestion, ...]
    style: AnswerStyle


def plan_episodes(
    traces: Sequence[TrainingTrace], config: TrainConfig, *, outer: int, inner: int
) -> list[ConversationPlan]:
    """Choose conversations, windows and questions of one update.

    The choice follows from the seed and the two epoch numbers alone, so a run that is resumed
    chooses the same. No conversation comes twice before every one has come.

    Args:
        traces: What there is to choose from.
        config: Numbers and sizes.
        outer: Outer epoch, from 0.
        inner: Inner epoch, from 0.

    Raises:
        ConfigError: If no conversation has a question that could be asked.
    """
    usable = [trace for trace in traces if trace.questions and trace.spans]
    if not usable:
        raise ConfigError("no conversation has both spans and questions: nothing to train on")
    generator = random.Random(seed_of(config.seed, outer, inner))
    num_windows = config.episodes // config.plays
    chosen: list[TrainingTrace] = []
    while len(chosen) < num_windows:
        chosen += generator.sample(usable, len(usable))
    windows = []
    for place, trace in enumerate(chosen[:num_windows]):
        seed = seed_of(config.seed, outer, inner, place * config.plays)
        window = _window(trace, config, random.Random(seed))
        windows.append(_plan(place, window, config, outer, inner))
    return played_in_turn(windows, config, outer=outer, inner=inner)


def _plan(
    place: int, window: TrainingTrace, config: TrainConfig, outer: int, inner: int
) -> ConversationPlan:
    """What all plays of a window have in common."""
    positions = sample_questions(
        [question.category for question in window.questions],
        config.query_ratio,
        seed=config.seed,
        conversation_id=window.id,
        outer_epoch=outer,
        inner_epoch=inner,
    )
    return ConversationPlan(
        trace_id=window.id,
        window=place,
        # Ids of their own, because a memory takes a span that it knows for one that is repeated.
        spans=tuple(
            replace(span, id=str(index), index=index) for index, span in enumerate(window.spans)
        ),
        questions=tuple(window.questions[position] for position in positions),
        style=window.style,
    )


def _window(trace: TrainingTrace, config: TrainConfig, generator: random.Random) -> TrainingTrace:
    """A part of the conversation with at least one question, or all of it."""
    sessions = list(dict.fromkeys(span.session for span in trace.spans))
    size = config.window_sessions or len(sessions)
    windows = [
        _cut(trace, set(sessions[start : start + size]), config.max_spans)
        for start in range(max(1, len(sessions) - size + 1))
    ]
    with_questions = [window for window in windows if window.questions]
    return generator.choice(with_questions) if with_questions else trace


def _cut(trace: TrainingTrace, sessions: set[str | None], max_spans: int) -> TrainingTrace:
    spans = [span for span in trace.spans if span.session in sessions]
    spans = spans[:max_spans] if max_spans else spans
    if len(spans) == len(trace.spans):
        return trace
    inside = {turn.id for span in spans for turn in span.turns}
    questions = [q for q in trace.questions if q.evidence and inside.issuperset(q.evidence)]
    return replace(trace, spans=tuple(spans), questions=tuple(questions))
