"""Rows of traces that are kept in memory, for another process to write."""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

from langgraph_memskill.traces.rows import BankTrace, EpisodeTrace, StepTrace
from langgraph_memskill.traces.writer import TraceSink


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeRows:
    """What was recorded of an episode."""

    steps: tuple[StepTrace, ...] = ()
    episodes: tuple[EpisodeTrace, ...] = ()
    """Its end, and its rewards."""
    banks: tuple[BankTrace, ...] = ()
    """Bank versions that no earlier rows had."""

    def write(self, sink: TraceSink) -> None:
        """Hand them to a writer."""
        for bank in self.banks:
            sink.add_bank(bank)
        sink.add_steps(self.steps)
        for episode in self.episodes:
            sink.add_episode(episode)


class TraceBuffer:
    """Takes rows as a `TraceWriter` does, and keeps them."""

    dropped = 0
    exists = True

    def __init__(self) -> None:
        """Begin with nothing."""
        self._steps: list[StepTrace] = []
        self._episodes: list[EpisodeTrace] = []
        self._banks: list[BankTrace] = []
        self._known: set[tuple[str, str]] = set()
        self._lock = Lock()

    def add_steps(self, steps: Sequence[StepTrace]) -> None:
        """Keep steps."""
        with self._lock:
            self._steps += steps

    def add_episode(self, episode: EpisodeTrace) -> None:
        """Keep an episode, or a reward."""
        with self._lock:
            self._episodes.append(episode)

    def has_bank(self, version: str, encoder: str) -> bool:
        """Whether a bank version was kept, now or before."""
        return (version, encoder) in self._known

    def add_bank(self, bank: BankTrace) -> None:
        """Keep a bank version, once."""
        with self._lock:
            if not self.has_bank(bank.version, bank.encoder):
                self._known.add((bank.version, bank.encoder))
                self._banks.append(bank)

    def flush(self) -> None:
        """Nothing is written here."""

    def close(self) -> None:
        """Nothing is open."""

    def take(self, episode_id: str) -> EpisodeRows:
        """Hand over what there is of an episode, with all new bank versions."""
        with self._lock:
            rows = EpisodeRows(
                steps=tuple(row for row in self._steps if row.episode_id == episode_id),
                episodes=tuple(row for row in self._episodes if row.episode_id == episode_id),
                banks=tuple(self._banks),
            )
            self._steps = [row for row in self._steps if row.episode_id != episode_id]
            self._episodes = [row for row in self._episodes if row.episode_id != episode_id]
            self._banks = []
        return rows
