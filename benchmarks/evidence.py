"""Scores of retrieval: did the memories come from where the answer stands?

A memory's provenance (`Memory.sources`) says which turns, sessions or documents it was written
from; a question's evidence says which of them answer it.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeAlias

from langgraph_memskill.benchmarks.scorers import evidence_recall
from langgraph_memskill.records import Memory

EvidenceOf: TypeAlias = Callable[[Memory], frozenset[str]]
"""What a memory was written from, as ids of the kind that a benchmark's questions name."""


def turns_of(memory: Memory) -> frozenset[str]:
    """Ids of the turns that a memory was written from: LoCoMo's dialogue ids, HotpotQA's titles."""
    return frozenset(turn for source in memory.sources for turn in source.turn_ids)


def sessions_of(memory: Memory) -> frozenset[str]:
    """Ids of the sessions that a memory was written from (LongMemEval)."""
    return frozenset(source.session for source in memory.sources if source.session is not None)


def recall_at(k: int, ranked: Sequence[Collection[str]], gold_ids: Iterable[str]) -> float | None:
    """Return the share of the gold evidence among the sources of the first memories.

    Args:
        k: How many memories count, >= 1.
        ranked: The ids that each retrieved memory was written from, best memory first.
        gold_ids: What answers the question.

    Returns:
        A share in [0, 1], or None if the question names no evidence.
    """
    return evidence_recall((name for ids in ranked[:k] for name in ids), gold_ids)


def reciprocal_rank(ranked: Sequence[Collection[str]], gold_ids: Iterable[str]) -> float | None:
    """Return one over the rank of the first memory that was written from gold evidence.

    The mean over questions is the MRR.

    Args:
        ranked: The ids that each retrieved memory was written from, best memory first.
        gold_ids: What answers the question.

    Returns:
        A value in [0, 1], 0 if no memory was; None if the question names no evidence.
    """
    gold = set(gold_ids)
    if not gold:
        return None
    ranks = (rank for rank, ids in enumerate(ranked, 1) if not gold.isdisjoint(ids))
    return 1 / next(ranks, float("inf"))
