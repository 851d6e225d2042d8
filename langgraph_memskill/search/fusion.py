"""Rankings become one ranking."""

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple, TypeVar

RANK_OFFSET = 10
"""The constant of reciprocal rank fusion. Cormack, Clarke and Buettcher (2009) have 60, for runs of
1,000 documents; on LoCoMo conversations 10 found more evidence, for turns and for memories."""

KeyT = TypeVar("KeyT", bound=Hashable)


class Neighbours(NamedTuple):
    """What stands next to a memory in its session; None where the session begins or ends."""

    before: str | None = None
    after: str | None = None


def fuse(rankings: Sequence[Sequence[KeyT]], weights: Sequence[float] | None = None) -> list[KeyT]:
    """Fuse rankings by reciprocal rank.

    Args:
        rankings: Each best first, without repetitions; a key may be missing in some.
        weights: One a ranking, >= 0; None weighs them alike.

    Returns:
        Every key once, by the sum of weight / (10 + rank) over the rankings that hold it, highest
        first; of equal ones the one that comes up first.
    """
    scores: dict[KeyT, float] = {}
    for ranking, weight in zip(rankings, weights or [1.0] * len(rankings), strict=True):
        for rank, key in enumerate(ranking, start=1):
            scores[key] = scores.get(key, 0.0) + weight / (RANK_OFFSET + rank)
    return sorted(scores, key=lambda key: -scores[key])


def best_first(scores: Mapping[str, float]) -> list[str]:
    """The keys by score, highest first; of equal ones the one that comes up first."""
    return sorted(scores, key=lambda key: -scores[key])


def spread(
    scores: Mapping[str, float],
    neighbours: Mapping[str, Neighbours],
    *,
    weight: float,
    floor: float = 0.0,
) -> dict[str, float]:
    """Add to each memory's score a share of its neighbours': the score of the passage around it.

    Args:
        scores: The scores of one ranking, as far as they are known.
        neighbours: The neighbours of all memories that `scores` holds.
        weight: What a neighbour's score counts, >= 0.
        floor: What a memory without a score is taken to have.

    Returns:
        Scores of all these memories and of their neighbours.
    """
    around = dict(neighbours)
    for key, (before, after) in neighbours.items():
        # A neighbour that the ranking does not hold knows at least this side of its own.
        if before is not None and before not in neighbours:
            around[before] = around.get(before, Neighbours())._replace(after=key)
        if after is not None and after not in neighbours:
            around[after] = around.get(after, Neighbours())._replace(before=key)

    def known(key: str | None) -> float:
        return floor if key is None else scores.get(key, floor)

    return {
        key: known(key) + weight * (known(before) + known(after))
        for key, (before, after) in around.items()
    }
