"""When to save something that grows: often enough to lose little, seldom enough to cost little."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

_LEAST_S = 2.0
"""Seconds between two saves at least; the longer a save took, the more."""
_COST = 0.02
"""The share of the time that saving may take."""


class SavePace:
    """Says when to save again.

    Saving all that there is takes longer the more there is, so that equal steps of time would make
    a long job quadratic.
    """

    def __init__(self) -> None:
        """Begin now."""
        self._due_at = monotonic() + _LEAST_S

    @property
    def is_due(self) -> bool:
        """Whether it is time to save again."""
        return monotonic() >= self._due_at

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Around a save, which is timed."""
        begun = monotonic()
        yield
        now = monotonic()
        self._due_at = now + max(_LEAST_S, (now - begun) / _COST)
