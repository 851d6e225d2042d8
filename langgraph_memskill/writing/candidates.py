"""Update candidates: memories that are close to single sentences of a span."""

from collections.abc import Sequence
from typing import NamedTuple

from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.extractive.sentences import (
    content_words,
    is_question,
    read_span,
    speaker_words,
    split_sentences,
)
from langgraph_memskill.records import Memory, Span

# Shapes: P pieces of a span, M memories, D embedding.
_MOST_PIECES = 4
_LEAST_WORDS = 2
"""Content words that a sentence needs to be about anything."""
NEIGHBOURS = 3
"""Memories looked at for each sentence."""


class Candidates(NamedTuple):
    """What a span may change."""

    added: list[Memory]
    """Memories that the search for the whole span has missed, the closest first."""
    close: list[str]
    """Ids of all memories, added or retrieved, that are close to a sentence."""


def pieces_of(span: Span) -> list[str]:
    """The sentences of a span that say something, questions left out.

    Returns:
        At most 4 texts, in the order of the span; neighbours of a long span share one.
    """
    taken_apart = read_span(span.text)
    names = speaker_words(taken_apart.utterances)
    sentences = [
        sentence
        for utterance in taken_apart.utterances
        for sentence in split_sentences(utterance.text)
        if not is_question(sentence) and len(content_words(sentence, names)) >= _LEAST_WORDS
    ]
    size = -(-len(sentences) // _MOST_PIECES) or 1
    grouped = (" ".join(sentences[i : i + size]) for i in range(0, len(sentences), size))
    return list(dict.fromkeys(grouped))


def find_candidates(
    pieces: Sequence[str],
    retrieved: Sequence[Memory],
    found: Sequence[Memory],
    encoder: TextEncoder,
    *,
    most: int,
    similarity: float,
) -> Candidates:
    """Choose the memories that the model is to see beside the retrieved ones.

    Args:
        pieces: What `pieces_of` gave.
        retrieved: The memories that the model is shown anyway.
        found: What the search for the pieces has found, in any order, with repetitions.
        encoder: Compares; what was searched for or stored before is in its cache.
        most: How many memories to add at most, >= 0.
        similarity: Cosine from which a memory is close to a piece, in [-1, 1].
    """
    shown = {memory.id for memory in retrieved}
    others = {memory.id: memory for memory in found if memory.id not in shown}
    memories = [*retrieved, *others.values()]
    if not pieces or not memories:
        return Candidates([], [])
    pieces_PD = encoder.encode(list(pieces))
    memories_MD = encoder.encode([memory.content for memory in memories])
    closeness = dict(
        zip((m.id for m in memories), (memories_MD @ pieces_PD.T).max(axis=1), strict=True)
    )
    close = [memory for memory in memories if closeness[memory.id] >= similarity]
    added = sorted(
        (memory for memory in close if memory.id in others),
        key=lambda memory: (-float(closeness[memory.id]), memory.id),
    )[:most]
    kept = shown | {memory.id for memory in added}
    return Candidates(added, [memory.id for memory in close if memory.id in kept])
