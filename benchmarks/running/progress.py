"""Counting what a run has done, and stopping one that fails too often."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from langgraph_memskill.errors import BenchmarkError
from langgraph_memskill.records import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a run is."""

    done: int
    """Spans and questions."""
    total: int
    usage: Usage
    """Calls of this process."""
    price: float | None
    """What they cost; None without a price table."""
    failed: int


OnProgress = Callable[[Progress], None]


class Tally:
    """Adds up what the units report."""

    def __init__(self, total: int, on_progress: OnProgress | None) -> None:
        """Begin.

        Args:
            total: Spans and questions.
            on_progress: Called after each of them.
        """
        self._total = total
        self._on_progress = on_progress
        self._done = 0
        self._usage = Usage()
        self._price: float | None = None
        self._failed = 0

    def step(self, count: int = 1) -> None:
        """Some spans or questions are done."""
        self._done += count
        self._report()

    def spend(self, usage: Usage, price: float | None) -> None:
        """Some calls were made."""
        self._usage += usage
        if price is not None:
            self._price = (self._price or 0.0) + price

    def fail(self) -> None:
        """A question has failed."""
        self._failed += 1

    def _report(self) -> None:
        if self._on_progress is not None:
            self._on_progress(
                Progress(
                    done=self._done,
                    total=self._total,
                    usage=self._usage,
                    price=self._price,
                    failed=self._failed,
                )
            )


class FailureLimit:
    """Stops a run as soon as it is certain that too much of a row fails."""

    def __init__(self, max_share: float) -> None:
        """Let `max_share` of a row's questions, and of its spans, fail."""
        self._max_share = max_share
        self._failed: Counter[tuple[str, str]] = Counter()

    def add(self, row: str, kind: str, total: int, reason: str, count: int = 1) -> None:
        """Note failures.

        Args:
            row: Name of the row.
            kind: What failed, in the plural.
            total: How many the row has of it.
            reason: The last one.
            count: How many have failed.

        Raises:
            BenchmarkError: If more have failed than may fail.
        """
        if not count:
            return
        self._failed[row, kind] += count
        failed = self._failed[row, kind]
        if failed > self._max_share * total:
            raise BenchmarkError(
                f"{failed} of {total} {kind} of the row {row!r} have failed, and --max-failures "
                f"allows {self._max_share:.0%}; the last one: {reason}. What was done is kept: the "
                "same command goes on there"
            )
