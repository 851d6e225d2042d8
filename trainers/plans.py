"""What is settled about an episode before it is played, whatever it is made of."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from langgraph_memskill.records import Span
from langgraph_memskill.trainers.config import TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodePlan:
    """Everything that is settled about an episode before it is played."""

    id: str = ""
    trace_id: str
    """What is remembered: a conversation, or a type of games."""
    seed: int = 0
    """Of the sampling of skills."""
    window: int
    """Number of its window in the update; plays of one window share it."""
    spans: tuple[Span, ...]


PlanT = TypeVar("PlanT", bound=EpisodePlan)


def played_in_turn(
    windows: Sequence[PlanT], config: TrainConfig, *, outer: int, inner: int
) -> list[PlanT]:
    """The plans of an update: every window as often as it is played, with ids and seeds.

    Args:
        windows: One plan each, without id and seed.
        config: Of the run.
        outer: Outer epoch, from 0.
        inner: Inner epoch, from 0.
    """
    plans = []
    for place, window in enumerate(windows):
        first = place * config.plays
        plans += [
            replace(
                window,
                id=f"o{outer}-i{inner}-e{number}",
                seed=seed_of(config.seed, outer, inner, number),
            )
            for number in range(first, first + config.plays)
        ]
    return plans


def seed_of(*parts: int) -> int:
    """A seed that follows from numbers, the same on every machine."""
    text = "|".join(map(str, parts))
    return int(hashlib.sha256(text.encode("ascii")).hexdigest()[:15], 16)
