"""What a choice of skills can win on LoCoMo with the extractive model, on conversations 0 to 5.

    python -m langgraph_memskill.benchmarks.learning.headroom DATA/locomo8.json

For every session and skill it asks the model what it writes for that skill alone, from an empty
memory, and counts the evidence of the conversation's questions among the turns of those notes. A
choice of K skills then covers the union. The table compares the best choice for every span (an
oracle that sees the evidence), the best fixed choice, that fixed choice when it is picked on the
other conversations, similarity, and chance; the numbers say nothing about the search that follows.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from langgraph_memskill.benchmarks.learning.locomo_episodes import (
    NUM_SKILLS,
    Conversation,
    MostSimilar,
    conversation_of,
)
from langgraph_memskill.benchmarks.locomo import load_locomo, split
from langgraph_memskill.controller.selectors import (
    RandomSelector,
    SelectionRequest,
    Selector,
    SimilaritySelector,
)
from langgraph_memskill.embedding import TextEncoder, load_encoder
from langgraph_memskill.extractive.model import ExtractiveChatModel
from langgraph_memskill.parsing import parse_actions
from langgraph_memskill.prompts import extraction_messages
from langgraph_memskill.provenance import attribute
from langgraph_memskill.records import ActionType, Skill, Span
from langgraph_memskill.skills.bank import SkillBank

# Shapes: L spans with evidence, S skills, C choices of K skills, E pieces of evidence of a span.
Shares = NDArray[np.float64]
_RANDOM_DRAWS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSpan:
    """A span with evidence, and what each skill alone keeps of it."""

    conversation: str
    embedding: NDArray[np.float32]
    covered_SE: NDArray[np.bool_]
    """Whether a skill's notes come from the turn of a piece of evidence."""

    def share(self, skills: Sequence[int]) -> float:
        """Share of the evidence that some skills keep together, in [0, 1]."""
        return float(self.covered_SE[list(skills)].any(axis=0).mean())


def read_spans(
    conversations: Sequence[Conversation],
    skills: Sequence[Skill],
    model: ExtractiveChatModel,
    encoder: TextEncoder,
) -> list[ReadSpan]:
    """Read every span that holds evidence once a skill."""
    return [
        ReadSpan(
            conversation=conversation.id,
            embedding=encoder.encode([span.text])[0],
            covered_SE=np.array(
                [np.isin(evidence, sorted(_turns_kept(span, skill, model))) for skill in skills]
            ),
        )
        for conversation in conversations
        for span, evidence in _with_evidence(conversation)
    ]


def _with_evidence(conversation: Conversation) -> Iterator[tuple[Span, list[str]]]:
    for span in conversation.spans:
        turns = {turn.id for turn in span.turns}
        # A turn that two questions need counts twice, as it does in recall.
        found = [t for q in conversation.questions for t in q.evidence if t in turns]
        if found:
            yield span, found


def _turns_kept(span: Span, skill: Skill, model: ExtractiveChatModel) -> set[str]:
    if skill.action_type is not ActionType.INSERT:
        return set()  # an empty memory holds nothing to change
    reply = model.invoke(extraction_messages(span, [skill], [], structured=False))
    notes = [action.content for action in parse_actions(str(reply.text), 0) if action.content]
    return {turn_id for note in notes for turn_id in attribute(note, span).turn_ids}


def rows(spans: Sequence[ReadSpan], bank: SkillBank, encoder: TextEncoder) -> dict[str, float]:
    """Share of all evidence that each way of choosing keeps, in [0, 1]."""
    weight_L = np.array([span.covered_SE.shape[1] for span in spans], dtype=np.float64)

    def mean(share_L: Shares) -> float:
        return float(np.average(share_L, weights=weight_L))

    choices = list(combinations(range(len(bank.candidates())), NUM_SKILLS))
    share_LC = np.array([[span.share(choice) for choice in choices] for span in spans])
    home_L = np.array([span.conversation for span in spans])
    return {
        "oracle": mean(share_LC.max(axis=1)),
        "best fixed": float((weight_L @ share_LC).max() / weight_L.sum()),
        "fixed, from the other conversations": mean(_held_out(share_LC, weight_L, home_L)),
        "similarity": mean(_selected(spans, bank, [SimilaritySelector(encoder)])),
        "similarity, no seeds": mean(_selected(spans, bank, [MostSimilar(encoder)])),
        "random": mean(_selected(spans, bank, list(map(RandomSelector, range(_RANDOM_DRAWS))))),
    }


def _held_out(share_LC: Shares, weight_L: Shares, home_L: NDArray[np.str_]) -> Shares:
    """What the choice that is best on all other conversations keeps of each span, [L]."""
    held = np.zeros(len(share_LC))
    for home in dict.fromkeys(home_L.tolist()):
        others = home_L != home
        best = int((weight_L[others] @ share_LC[others]).argmax())
        held[~others] = share_LC[~others, best]
    return held


def _selected(spans: Sequence[ReadSpan], bank: SkillBank, selectors: Sequence[Selector]) -> Shares:
    names = [skill.name for skill in bank.candidates()]
    nothing = np.zeros((0, len(spans[0].embedding)), dtype=np.float32)
    requests = [SelectionRequest(span=span.embedding, memories=nothing) for span in spans]
    shares = [
        [
            span.share([names.index(name) for name in selection.skills])
            for span, selection in zip(
                spans, selector.select(requests, bank, NUM_SKILLS), strict=True
            )
        ]
        for selector in selectors
    ]
    mean_L: Shares = np.mean(shares, axis=0, dtype=np.float64)
    return mean_L


def measure(
    conversations: Sequence[Conversation],
    limits: Sequence[int | None],
    encoder: TextEncoder,
    *,
    bank: SkillBank | None = None,
    on_limit: Callable[[int | None, dict[str, float]], None] = lambda limit, row: None,
) -> dict[int | None, dict[str, float]]:
    """The table for several limits of notes a skill.

    Args:
        conversations: Those that may be looked at: the training part.
        limits: Notes a skill; None sets no limit.
        encoder: Of the model and of the selectors.
        bank: None takes the seeds and the conversation pack.
        on_limit: Called with each row when it is known.
    """
    bank = bank or SkillBank.seed("conversation")
    found: dict[int | None, dict[str, float]] = {}
    for limit in limits:
        model = ExtractiveChatModel(encoder=encoder, notes_per_skill=limit)
        spans = read_spans(conversations, bank.candidates(), model, encoder)
        found[limit] = rows(spans, bank, encoder)
        on_limit(limit, found[limit])
    return found


def _print(limit: int | None, row: dict[str, float]) -> None:
    numbers = ", ".join(f"{name} {share:.3f}" for name, share in row.items())
    print(f"notes a skill: {limit or 'no limit'}: {numbers}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--limits", type=int, nargs="+", default=[0, 2, 4, 8], help="0: no limit")
    options = parser.parse_args()
    torch.set_num_threads(1)
    conversations = [conversation_of(sample) for sample in split(load_locomo(options.data)).train]
    limits = [limit or None for limit in options.limits]
    measure(conversations, limits, load_encoder(None), on_limit=_print)


if __name__ == "__main__":
    main()
