"""LoCoMo conversations as episodes: the real construction graph with any selector, then questions.

The model is the extractive one, the store is in memory, and everything else is METHOD's step.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from langgraph_memskill.benchmarks.locomo import cut_spans, scorable
from langgraph_memskill.benchmarks.samples import Question, Sample
from langgraph_memskill.benchmarks.scorers import best_token_f1, evidence_recall
from langgraph_memskill.controller.selectors import SelectionRequest, Selector
from langgraph_memskill.controller.state import fuse_state
from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.extractive.model import ExtractiveChatModel
from langgraph_memskill.graphs.construction import ConstructionParts, build_construction_graph
from langgraph_memskill.prompts import AnswerStyle, answer_messages
from langgraph_memskill.records import Memory, Selection, Span
from langgraph_memskill.search.hybrid import HybridSearch
from langgraph_memskill.search.settings import SearchSettings
from langgraph_memskill.settings import METHOD
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.spans import SpanMode
from langgraph_memskill.state import dump_all
from langgraph_memskill.stores.in_process import in_process_store

NUM_SKILLS = 3
"""K, as METHOD trains."""
_NAMESPACE = ("learning",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """Spans in order, and the questions that they answer."""

    id: str
    spans: tuple[Span, ...]
    questions: tuple[Question, ...]
    """Those with evidence, without the adversarial ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What all selectors share."""

    bank: SkillBank
    encoder: TextEncoder
    model: ExtractiveChatModel
    search: SearchSettings


class Choice(NamedTuple):
    """What a selector saw and chose for one span."""

    state: NDArray[np.float32]
    selection: Selection


class Played(NamedTuple):
    """A conversation that was remembered and asked about."""

    choices: list[Choice]
    found: list[list[Memory]]
    """The memories recalled for each question, best first."""


class RecordingSelector:
    """Hands on another selector's choices and keeps them with the states that they were made in."""

    def __init__(self, selector: Selector) -> None:
        """Record what this one chooses."""
        self._selector = selector
        self.name, self.version = selector.name, selector.version
        self.choices: list[Choice] = []

    def select(
        self, requests: Sequence[SelectionRequest], bank: SkillBank, k: int
    ) -> list[Selection]:
        """Pick skills; see `Selector.select`."""
        chosen = self._selector.select(requests, bank, k)
        states = [fuse_state(request.span, request.memories) for request in requests]
        self.choices += [Choice(*row) for row in zip(states, chosen, strict=True)]
        return chosen


class FixedSelector:
    """The same skills for every span: "always the seeds"."""

    name = "fixed"
    version = ""

    def __init__(self, names: Sequence[str]) -> None:
        """Pick these, in this order."""
        self._names = tuple(names)

    def select(
        self, requests: Sequence[SelectionRequest], bank: SkillBank, k: int
    ) -> list[Selection]:
        """Pick skills; see `Selector.select`."""
        names = tuple(skill.name for skill in bank.candidates())
        chosen = Selection(
            skills=self._names[:k],
            candidates=names,
            probabilities=tuple(float(name in self._names) / len(self._names) for name in names),
            log_prob=0.0,
            selector=self.name,
        )
        return [chosen] * len(requests)


class MostSimilar:
    """The K skills most similar to the span, without seeds that are always kept."""

    name = "most similar"
    version = ""

    def __init__(self, encoder: TextEncoder) -> None:
        """Compare with this encoder's embeddings of the descriptions."""
        self._encoder = encoder

    def select(
        self, requests: Sequence[SelectionRequest], bank: SkillBank, k: int
    ) -> list[Selection]:
        """Pick skills; see `Selector.select`."""
        skills = bank.candidates()
        names = [skill.name for skill in skills]
        vectors_ND = self._encoder.encode([skill.description for skill in skills])
        chosen = []
        for request in requests:
            best = np.argsort(-(vectors_ND @ request.span), kind="stable")[:k]
            fixed = FixedSelector([names[i] for i in best.tolist()])
            chosen += fixed.select([request], bank, k)
        return chosen


def conversation_of(sample: Sample) -> Conversation:
    """A whole conversation, one span a session."""
    questions = tuple(question for question in scorable(sample.questions) if question.evidence)
    spans = tuple(cut_spans(sample, SpanMode.SESSION))
    return Conversation(id=sample.id, spans=spans, questions=questions)


def window(conversation: Conversation, num_sessions: int, generator: Random) -> Conversation:
    """Some consecutive sessions, with the questions whose evidence lies inside.

    An episode of a window costs a fraction of a whole conversation, and its reward depends on fewer
    choices.

    Args:
        conversation: A whole one.
        num_sessions: Its length.
        generator: Draws the place, among those with a question.
    """
    sessions = list(dict.fromkeys(span.session for span in conversation.spans))
    found = []
    for start in range(max(1, len(sessions) - num_sessions + 1)):
        inside = set(sessions[start : start + num_sessions])
        spans = [span for span in conversation.spans if span.session in inside]
        turns = {turn.id for span in spans for turn in span.turns}
        questions = [q for q in conversation.questions if turns.issuperset(q.evidence)]
        if questions:
            found.append(
                Conversation(
                    id=f"{conversation.id}/{start}",
                    # Numbered anew, as a run numbers its spans.
                    spans=tuple(replace(span, index=i) for i, span in enumerate(spans)),
                    questions=tuple(questions),
                )
            )
    return generator.choice(found)


def play(
    conversation: Conversation,
    selector: Selector,
    setting: Setting,
    *,
    k: int,
    num_skills: int = NUM_SKILLS,
) -> Played:
    """Remember a conversation with `num_skills` a span, and recall `k` memories a question."""
    store = in_process_store(setting.encoder)
    recording = RecordingSelector(selector)
    parts = ConstructionParts(
        model=setting.model,
        model_name=setting.model.model_name,
        encoder=setting.encoder,
        bank=setting.bank,
        selector=recording,
        store=store,
        settings=replace(METHOD, skills_per_span=num_skills),
    )
    build_construction_graph(parts).invoke(
        {
            "spans": dump_all(conversation.spans),
            "namespace": list(_NAMESPACE),
            "episode_id": conversation.id,
        }
    )
    search = HybridSearch(store, setting.encoder, setting.search)
    found = [search.search(_NAMESPACE, q.text, k) for q in conversation.questions]
    return Played(recording.choices, found)


def recalls(conversation: Conversation, found: Sequence[Sequence[Memory]]) -> list[float]:
    """Share of each question's evidence among the sources of its memories."""
    shares = [
        evidence_recall((t for m in memories for s in m.sources for t in s.turn_ids), q.evidence)
        for q, memories in zip(conversation.questions, found, strict=True)
    ]
    return [share for share in shares if share is not None]


def f1_scores(
    conversation: Conversation, found: Sequence[Sequence[Memory]], model: ExtractiveChatModel
) -> list[float]:
    """Token F1 of the extractive model's short answer to each question."""
    scores = []
    for question, memories in zip(conversation.questions, found, strict=True):
        messages = answer_messages(question.text, memories, style=AnswerStyle.SHORT)
        answer = str(model.invoke(messages).text)
        scores.append(best_token_f1(answer, question.answers) or 0.0)
    return scores
