"""Credit by span: which step earned which evidence (an option beside METHOD's shared reward).

One reward for a whole conversation says little about each of its choices. A memory knows the turns
that it was written from, so the evidence that a question's memories bring back can be given to the
step that read it. Plays of the same window with other choices say what was to be expected.

Shapes: P plays of one window, L spans (steps) of it.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from langgraph_memskill.errors import ConfigError
from langgraph_memskill.records import Memory, Span


def recalled_turns(memories: Iterable[Memory]) -> frozenset[str]:
    """Ids of the turns that memories were written from."""
    return frozenset(
        turn_id for memory in memories for source in memory.sources for turn_id in source.turn_ids
    )


def span_shares(
    spans: Sequence[Span], asked: Iterable[tuple[Iterable[str], frozenset[str]]]
) -> NDArray[np.float64]:
    """For each span, the share of the evidence in it that its questions' memories bring back.

    A turn that is evidence of two questions counts twice; a turn that stands in several spans
    (windows that overlap) counts for each of them.

    Args:
        spans: The spans of an episode.
        asked: For each question its evidence and the turns that were recalled for it. Evidence
            that stands in no span is left out.

    Returns:
        float64 [L] in [0, 1], NaN for a span without evidence.
    """
    places = _places(spans)
    found_L, wanted_L = np.zeros(len(spans)), np.zeros(len(spans))
    for evidence, recalled in asked:
        for turn_id in evidence:
            for place in places.get(turn_id, ()):
                wanted_L[place] += 1
                found_L[place] += turn_id in recalled
    shares_L: NDArray[np.float64] = np.full(len(spans), np.nan)
    np.divide(found_L, wanted_L, out=shares_L, where=wanted_L > 0)
    return shares_L


def _places(spans: Sequence[Span]) -> Mapping[str, list[int]]:
    places: dict[str, list[int]] = {}
    for place, span in enumerate(spans):
        for turn_id in dict.fromkeys(turn.id for turn in span.turns):
            places.setdefault(turn_id, []).append(place)
    return places


def less_other_plays(rewards_PL: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each play's rewards less the mean of the other plays at the same step (leave-one-out).

    The baseline does not depend on the play's own choices, so it adds no bias.

    Args:
        rewards_PL: [P, L]; NaN where nothing could be earned.

    Returns:
        float64 [P, L], 0 where nothing could be earned.

    Raises:
        ConfigError: If there are fewer than two plays.
    """
    plays = len(rewards_PL)
    if plays < 2:
        raise ConfigError(f"{plays} plays cannot be compared: at least 2 are needed")
    others_PL = (rewards_PL.sum(axis=0, keepdims=True) - rewards_PL) / (plays - 1)
    compared: NDArray[np.float64] = np.nan_to_num(rewards_PL - others_PL)
    return compared
