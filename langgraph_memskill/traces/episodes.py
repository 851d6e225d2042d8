"""Recorded episodes: the steps of one episode together, with its final reward."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from langgraph_memskill.traces.reader import TraceReader
from langgraph_memskill.traces.rows import EpisodeTrace, StepTrace


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordedEpisode:
    """The steps of one episode that can be used, in order."""

    id: str
    steps: tuple[StepTrace, ...]
    """Sorted by position. Of a span that was tried several times the last try alone; spans that a
    gate passed over are missing."""
    reward: float | None
    """Final reward; None if none has arrived."""
    source: str | None
    """Where the reward came from."""
    is_finished: bool
    """Whether the run came to its end."""


def read_recorded(
    reader: TraceReader, rewards: Iterable[EpisodeTrace] = ()
) -> Iterator[RecordedEpisode]:
    """Put the steps of every episode together.

    The folder is read twice: first the steps' episode ids alone, so that an episode can be handed
    on as soon as its last row is there. In memory are one count and one reward an episode, and the
    steps of the episodes that are incomplete at that point of the files.

    Args:
        reader: Where from.
        rewards: Further rewards, such as an application's feedback. Of all rewards for an episode
            the latest one holds.

    Yields:
        The episodes in the order in which they become complete. An episode of which a row is
        damaged is counted and left out.

    Raises:
        TraceError: If a file was removed while it was read.
    """
    ends = read_ends(chain(reader.episodes(), rewards))
    left: Counter[str] = Counter()
    for batch in reader.step_batches(["episode_id"]):
        left.update(batch.column("episode_id").to_pylist())
    waiting: dict[str, list[StepTrace]] = {}
    for step in reader.steps():
        steps = waiting.setdefault(step.episode_id, [])
        steps.append(step)
        if len(steps) == left[step.episode_id]:
            yield _episode(step.episode_id, waiting.pop(step.episode_id), ends)
    for episode_id in waiting:
        reader.skip("episode", "some of its rows cannot be used", episode_id)


class Ends(NamedTuple):
    """What the episodes' own rows say."""

    finished: set[str]
    """Episodes whose run came to its end."""
    rewards: dict[str, EpisodeTrace]
    """For every episode with rewards the row of the latest."""


def read_ends(rows: Iterable[EpisodeTrace]) -> Ends:
    """Sum the episodes' rows up; rewards that are not finite count for nothing."""
    ends = Ends(set(), {})
    for row in rows:
        if row.num_steps is not None:
            ends.finished.add(row.episode_id)
        if row.reward is None or not np.isfinite(row.reward):
            continue
        known = ends.rewards.get(row.episode_id)
        if known is None or row.at >= known.at:
            ends.rewards[row.episode_id] = row
    return ends


def _episode(episode_id: str, steps: list[StepTrace], ends: Ends) -> RecordedEpisode:
    tries = {step.span_id: step for step in sorted(steps, key=attrgetter("stored_at"))}
    row = ends.rewards.get(episode_id)
    return RecordedEpisode(
        id=episode_id,
        steps=tuple(sorted(tries.values(), key=attrgetter("step", "chosen_at"))),
        reward=None if row is None else row.reward,
        source=None if row is None else row.source,
        is_finished=episode_id in ends.finished,
    )
