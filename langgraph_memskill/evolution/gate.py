"""The gate: a new bank must not serve held-out questions worse than the one that it replaces."""

import math
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass, replace

import numpy as np
from langchain_core.language_models import BaseChatModel
from numpy.typing import NDArray

from langgraph_memskill.construction_runs import ConstructionRuns
from langgraph_memskill.controller.selectors import Selector
from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.errors import ModelCallError, ParseError
from langgraph_memskill.evolution.gate_records import GateOutcome, GateSettings, GateVerdict
from langgraph_memskill.evolution.held_out import HeldOutEpisode, HeldOutQuestion
from langgraph_memskill.evolution.records import HardCase
from langgraph_memskill.graphs.answering import answer_of, ask, build_answering_graph
from langgraph_memskill.graphs.construction import ConstructionParts, build_construction_graph
from langgraph_memskill.models import model_name
from langgraph_memskill.prompts import AnswerStyle
from langgraph_memskill.settings import Settings
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.stores.in_process import in_process_store
from langgraph_memskill.stores.pending import PendingSpans

_NAMESPACE = ("gate",)
_MANY_EPISODES = 5
_ROUNDING = 1e-9

AnswerScorer = Callable[[HeldOutQuestion, str], float]
"""Scores an answer, in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateParts:
    """What both banks are tried with: everything as the memory has it, but a store of their own."""

    model: BaseChatModel
    encoder: TextEncoder
    selector: Selector
    settings: Settings = Settings()
    scorer: AnswerScorer | None = None
    """None takes the best token F1 with an expected answer."""


def try_banks(
    before: SkillBank,
    after: SkillBank,
    episodes: Sequence[HeldOutEpisode],
    parts: GateParts,
    settings: GateSettings | None = None,
) -> GateOutcome:
    """Let two banks remember the same episodes, and compare how well the questions are answered.

    Each question is answered once with each bank, so their differences are paired. The new bank is
    worse if its mean is lower by more than the margin, or if the whole interval of the difference
    is below zero.

    Args:
        before: The bank in use.
        after: The one that is to replace it.
        episodes: What was held out; none is told plainly and decided by `require` and `force`.
        parts: Model, encoder, selector and settings.
        settings: Margin, interval, and what to do without anything to try.

    Returns:
        The outcome. Nothing outside of memory is written.

    Raises:
        ModelCallError: If the model cannot be called; nothing is decided then.
    """
    settings = settings or GateSettings()
    chosen = _within(episodes, settings.max_spans)
    questions = [question for episode in chosen for question in episode.questions]
    if len(questions) < settings.min_questions:
        return _not_tried(len(questions), settings)
    # A gate may stand in a node of another graph, whose config is none of these graphs' business.
    context = Context()
    old = [context.run(_scores, before, episode, parts) for episode in chosen]
    new = [context.run(_scores, after, episode, parts) for episode in chosen]
    return _judged(old, new, settings)


class HeldOutGate:
    """A gate for the evolution graph that tries both banks; `outcome` says how they did."""

    def __init__(
        self,
        held_out: Callable[[Sequence[HardCase]], Sequence[HeldOutEpisode]],
        parts: GateParts,
        settings: GateSettings,
    ) -> None:
        """Make a gate.

        Args:
            held_out: Gives the episodes, without the cases that the designer was shown.
            parts: What both banks are tried with.
            settings: When a new bank may pass.
        """
        self._held_out = held_out
        self._parts = parts
        self._settings = settings
        self.outcome: GateOutcome | None = None

    def __call__(
        self, before: SkillBank, after: SkillBank, shown: Sequence[HardCase]
    ) -> str | None:
        """Say why the new bank may not replace the old, or None."""
        episodes = self._held_out(shown)
        self.outcome = try_banks(before, after, episodes, self._parts, self._settings)
        if self.outcome.is_allowed:
            return None
        return f"the gate does not let the new skills through: {self.outcome.reason}"


def outcome_of(gate: object) -> GateOutcome | None:
    """How the banks did, if the gate has tried any."""
    return gate.outcome if isinstance(gate, HeldOutGate) else None


def paired_interval(
    differences: Sequence[Sequence[float]], settings: GateSettings
) -> tuple[float, float]:
    """Interval of the mean difference, by the percentile bootstrap.

    Questions about one episode stand and fall together, so with five episodes or more whole
    episodes are drawn; with fewer, questions.

    Args:
        differences: For each episode the difference of every question.
        settings: Confidence, draws and seed.

    Returns:
        The interval's ends.
    """
    is_many = len(differences) >= _MANY_EPISODES
    groups = differences if is_many else [[value] for group in differences for value in group]
    sums = np.array([sum(group) for group in groups], dtype=np.float64)
    sizes = np.array([len(group) for group in groups], dtype=np.float64)
    rng = np.random.default_rng(settings.seed)
    drawn = rng.integers(0, len(groups), (settings.resamples, len(groups)))
    means: NDArray[np.float64] = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    outside = (1 - settings.confidence) / 2
    low, high = np.quantile(means, [outside, 1 - outside])
    return float(low), float(high)


def _within(episodes: Sequence[HeldOutEpisode], max_spans: int) -> list[HeldOutEpisode]:
    chosen: list[HeldOutEpisode] = []
    left = max_spans
    for episode in episodes:
        if len(episode.spans) <= left and episode.questions:
            chosen.append(episode)
            left -= len(episode.spans)
    return chosen


def _not_tried(num_questions: int, settings: GateSettings) -> GateOutcome:
    needed = settings.min_questions
    reason = (
        f"nothing was tried: {num_questions} questions with known answers about recorded spans are "
        f"held out, and {needed} are needed. Record runs with their texts and tell the right "
        "answers with your feedback, or name a file of spans and questions"
    )
    allowed = settings.force or not settings.require
    return GateOutcome(
        verdict=GateVerdict.NOT_TRIED,
        is_allowed=allowed,
        is_forced=settings.force and settings.require,
        reason=reason,
        num_questions=num_questions,
    )


def _judged(
    old: Sequence[Sequence[float]], new: Sequence[Sequence[float]], settings: GateSettings
) -> GateOutcome:
    differences = [
        [b - a for a, b in zip(former, later, strict=True)]
        for former, later in zip(old, new, strict=True)
    ]
    low, high = paired_interval(differences, settings)
    before, after = _mean(old), _mean(new)
    # Equal scores in another order must not differ by a rounding error.
    is_worse = after - before < -settings.margin - _ROUNDING or high < -_ROUNDING
    verdict = GateVerdict.WORSE if is_worse else GateVerdict.NOT_WORSE
    count = sum(map(len, differences))
    reason = (
        f"mean score {before:.3f} with the old skills, {after:.3f} with the new ones on {count} "
        f"held-out questions: difference {after - before:+.3f}, "
        f"{settings.confidence:.0%} interval {low:+.3f} to {high:+.3f}"
    )
    return GateOutcome(
        verdict=verdict,
        is_allowed=settings.force or not is_worse,
        is_forced=settings.force and is_worse,
        reason=reason,
        before=before,
        after=after,
        low=low,
        high=high,
        num_questions=count,
        num_episodes=len(differences),
    )


def _mean(scores: Sequence[Sequence[float]]) -> float:
    flat = [score for group in scores for score in group]
    return math.fsum(flat) / len(flat)


def _scores(bank: SkillBank, episode: HeldOutEpisode, parts: GateParts) -> list[float]:
    """Remember an episode in a store of its own, and score the answers to its questions."""
    store = in_process_store(parts.encoder)
    construction = ConstructionParts(
        model=parts.model,
        model_name=model_name(parts.model),
        encoder=parts.encoder,
        bank=bank,
        selector=parts.selector,
        store=store,
        namespace=_NAMESPACE,
        settings=replace(parts.settings, budgets=(), record_traces=False),
    )
    runs = ConstructionRuns(
        graph=build_construction_graph(construction), store=store, pending=PendingSpans(store)
    )
    remembered = runs.run(episode.as_spans(), _NAMESPACE, episode_id=episode.id)
    for failed in remembered.failed:
        # A reply that cannot be read may be the skills' fault; that none came is not.
        if not failed.reason.startswith(ParseError.__name__):
            raise ModelCallError(
                f"the gate could not try the skills, as a span was not read ({failed.reason}): "
                "try again when the model answers"
            )
    answering = build_answering_graph(
        parts.model,
        parts.encoder,
        store=store,
        namespace=_NAMESPACE,
        top_k=parts.settings.top_k,
        checkpointer=False,
    )
    scorer = parts.scorer or _best_f1
    found = []
    for question in episode.questions:
        state = ask(question.question, _NAMESPACE, AnswerStyle.SHORT, question.date)
        found.append(scorer(question, answer_of(answering.invoke(state)).text))
    return found


def _best_f1(question: HeldOutQuestion, answer: str) -> float:
    # Here, because NLTK takes longer to import than everything else of a memory together.
    from langgraph_memskill.token_overlap import token_f1

    return max(token_f1(answer, expected) for expected in question.expected)
