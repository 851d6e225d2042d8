"""What a folder of traces holds, in numbers."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from langgraph_memskill.traces.episodes import read_ends
from langgraph_memskill.traces.files import Skipped
from langgraph_memskill.traces.reader import TraceReader
from langgraph_memskill.traces.rows import BankTrace, EpisodeTrace

NUM_BINS = 10
"""Bins of the reward histogram."""
NUM_POINTS = 40
"""Points of the reward curve at most."""

_COLUMNS = (
    *("episode_id", "bank_version", "encoder", "selector", "controller_version", "sampled"),
    *("chosen", "probabilities", "actions", "failure", "calls", "input_tokens", "output_tokens"),
    *("chosen_at", "extract_s"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillSummary:
    """How often a skill was picked."""

    name: str
    picks: int
    offers: int
    """Steps at which it could be picked."""
    mean_reward: float | None
    """Mean final reward of the steps that picked it; None if none of their episodes has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardSummary:
    """The final rewards."""

    episodes: int
    mean: float
    std: float
    low: float
    high: float
    histogram: tuple[int, ...]
    """Episodes in `NUM_BINS` bins of equal width from `low` to `high`."""
    curve: tuple[float, ...]
    """Means of at most `NUM_POINTS` groups of equally many episodes, by time."""
    sources: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSummary:
    """A folder of traces."""

    steps: int
    """Rows; a span that was tried again counts again."""
    episodes: int
    finished_episodes: int
    orphan_rewards: int
    """Rewards for episodes of which no step was recorded."""
    first: datetime | None
    last: datetime | None
    rewards: RewardSummary | None
    """None if no episode has a reward."""
    skills: tuple[SkillSummary, ...]
    """Most picked first."""
    selectors: dict[str, int]
    """Steps by selector; "(sampled)" marks choices that were drawn at random."""
    controllers: dict[str, int]
    """Steps by controller version."""
    banks: dict[str, int]
    """Steps by bank version."""
    missing_banks: int
    """Steps whose bank version has no file."""
    actions: dict[str, int]
    """By type and status ("insert applied")."""
    failures: dict[str, int]
    """Steps by kind of failure."""
    calls: int
    input_tokens: int
    output_tokens: int
    extract_s: float
    """Seconds that the model took, over all steps."""
    skipped: tuple[Skipped, ...]


def summarise(reader: TraceReader) -> TraceSummary:
    """Count what a folder holds; streams, without the states.

    Args:
        reader: Where from.

    Raises:
        TraceError: If a file was removed while it was read.
    """
    ends = read_ends(reader.episodes())
    counts = _Counts(reader.banks(), {name: row.reward for name, row in ends.rewards.items()})
    for batch in reader.step_batches(_COLUMNS):
        for row in batch.to_pylist():
            counts.add(row)
    episodes = counts.episodes
    known = [row for name, row in ends.rewards.items() if name in episodes]
    return TraceSummary(
        steps=counts.steps,
        episodes=len(episodes),
        finished_episodes=len(ends.finished & episodes),
        orphan_rewards=len(ends.rewards) - len(known),
        first=counts.first,
        last=counts.last,
        rewards=_reward_summary(known) if known else None,
        skills=counts.skills(),
        selectors=_ordered(counts.selectors),
        controllers=_ordered(counts.controllers),
        banks=_ordered(counts.banks),
        missing_banks=counts.missing_banks,
        actions=_ordered(counts.actions),
        failures=_ordered(counts.failures),
        calls=counts.calls,
        input_tokens=counts.input_tokens,
        output_tokens=counts.output_tokens,
        extract_s=counts.extract_s,
        skipped=reader.skipped,
    )


class _Counts:
    """What is counted while the steps stream by."""

    def __init__(
        self, banks: Mapping[tuple[str, str], BankTrace], rewards: Mapping[str, float | None]
    ) -> None:
        self.steps = self.missing_banks = self.calls = 0
        self.input_tokens = self.output_tokens = 0
        self.extract_s = 0.0
        self.first: datetime | None = None
        self.last: datetime | None = None
        self.episodes: set[str] = set()
        self.selectors: Counter[str] = Counter()
        self.controllers: Counter[str] = Counter()
        self.banks: Counter[str] = Counter()
        self.actions: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self._names = {key: [skill.name for skill in bank.skills] for key, bank in banks.items()}
        self._rewards = rewards
        self._picks: Counter[str] = Counter()
        self._offers: Counter[str] = Counter()
        self._rewarded: Counter[str] = Counter()
        self._reward_sums: defaultdict[str, float] = defaultdict(float)

    def add(self, row: dict[str, Any]) -> None:
        self.steps += 1
        self.episodes.add(row["episode_id"])
        self.selectors[row["selector"] + (" (sampled)" if row["sampled"] else "")] += 1
        self.banks[row["bank_version"]] += 1
        if row["controller_version"]:
            self.controllers[row["controller_version"]] += 1
        if row["failure"] is not None:
            self.failures[row["failure"]] += 1
        self.actions.update(f"{a['type']} {a['status']}" for a in row["actions"])
        self.calls += row["calls"]
        self.input_tokens += row["input_tokens"]
        self.output_tokens += row["output_tokens"]
        self.extract_s += row["extract_s"] or 0.0
        self.first = min(self.first or row["chosen_at"], row["chosen_at"])
        self.last = max(self.last or row["chosen_at"], row["chosen_at"])
        self._add_skills(row)

    def _add_skills(self, row: dict[str, Any]) -> None:
        names = self._names.get((row["bank_version"], row["encoder"]))
        if names is None or len(names) != len(row["probabilities"]):
            self.missing_banks += 1
            return
        self._offers.update(names)
        reward = self._rewards.get(row["episode_id"])
        for name in (names[index] for index in row["chosen"] if 0 <= index < len(names)):
            self._picks[name] += 1
            if reward is not None:
                self._rewarded[name] += 1
                self._reward_sums[name] += reward

    def skills(self) -> tuple[SkillSummary, ...]:
        ordered = sorted(self._offers, key=lambda name: (-self._picks[name], name))
        return tuple(
            SkillSummary(
                name=name,
                picks=self._picks[name],
                offers=self._offers[name],
                mean_reward=self._reward_sums[name] / self._rewarded[name]
                if self._rewarded[name]
                else None,
            )
            for name in ordered
        )


def _reward_summary(rows: Sequence[EpisodeTrace]) -> RewardSummary:
    ordered = sorted(rows, key=lambda row: row.at)
    rewards = np.array([row.reward for row in ordered], float)
    groups = np.array_split(rewards, min(NUM_POINTS, len(rewards)))
    return RewardSummary(
        episodes=len(rewards),
        mean=float(rewards.mean()),
        std=float(rewards.std()),
        low=float(rewards.min()),
        high=float(rewards.max()),
        histogram=tuple(np.histogram(rewards, NUM_BINS)[0].tolist()),
        curve=tuple(float(group.mean()) for group in groups),
        sources=_ordered(Counter(row.source or "unknown" for row in ordered)),
    )


def _ordered(counts: Counter[str]) -> dict[str, int]:
    return dict(counts.most_common())
