"""What a gate is told, and what it says."""

from dataclasses import dataclass
from enum import StrEnum

from langgraph_memskill.ranges import check_above, check_at_least, check_count, check_share


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSettings:
    """When a new bank may replace the old.

    Raises:
        ConfigError: If a value is out of its range.
    """

    margin: float = 0.0
    """Mean score by which the new bank may be worse, >= 0."""
    confidence: float = 0.95
    """Of the interval of the difference, in (0, 1)."""
    min_questions: int = 5
    """Held-out questions below which nothing can be said, >= 1."""
    max_spans: int = 60
    """Held-out spans that each bank reads at most, >= 1: the gate costs two calls a span and two a
    question. Episodes that would go beyond are left out."""
    require: bool = False
    """Whether a bank that cannot be tried is refused."""
    force: bool = False
    """Whether the bank is taken whatever comes out."""
    resamples: int = 2000
    """Draws of the bootstrap, >= 1."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_at_least(self, 0.0, "margin")
        check_share(self, "confidence")
        check_above(self, 0.0, "confidence")
        check_count(self, 1, "min_questions", "max_spans", "resamples")
        check_count(self, 0, "seed")


class GateVerdict(StrEnum):
    """What came out."""

    NOT_WORSE = "not_worse"
    WORSE = "worse"
    NOT_TRIED = "not_tried"
    """There was too little to try the banks on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOutcome:
    """How a new bank did beside the old one."""

    verdict: GateVerdict
    is_allowed: bool
    """Whether the new bank may replace the old."""
    is_forced: bool = False
    """Whether it may only because it was forced."""
    reason: str
    """For people."""
    before: float | None = None
    """Mean score of the old bank, in [0, 1]; None if nothing was tried."""
    after: float | None = None
    """Mean score of the new bank."""
    low: float | None = None
    """Lower end of the interval of the difference, new less old."""
    high: float | None = None
    num_questions: int = 0
    num_episodes: int = 0

    @property
    def difference(self) -> float | None:
        """Mean score of the new bank less that of the old one."""
        return None if self.before is None or self.after is None else self.after - self.before
