"""Engines that are used again: starting a process takes longer than loading a game."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from threading import Lock

from langgraph_memskill.alfworld.engine import Engine, TimeLimits, check_installed
from langgraph_memskill.closing import Closing
from langgraph_memskill.errors import ConfigError

GAMES_PER_PROCESS = 50
"""Games that a process plays before a new one takes its place: the engine's C library keeps some
memory of every game."""


def default_workers() -> int:
    """Engines that are worth having side by side on this machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class EnginePool(Closing):
    """Lends engines, and keeps those that come back for the next game.

    There are as many processes as are lent at once, which is for the borrower to limit; a broken
    engine is thrown away and a new one lent next time.
    """

    def __init__(self, limits: TimeLimits | None = None, *, spare: int | None = None) -> None:
        """Make a pool; nothing is started yet.

        Args:
            limits: Of every engine.
            spare: Idle processes that are kept at most, >= 0; None takes one a processor core.

        Raises:
            ConfigError: If `spare` is negative.
            MissingDependencyError: If the extra `alfworld` is not installed.
        """
        check_installed()
        if spare is not None and spare < 0:
            raise ConfigError(f"spare={spare!r} must be at least 0")
        self._limits = limits
        self._spare = default_workers() if spare is None else spare
        self._idle: list[Engine] = []
        self._lock = Lock()
        self._is_closed = False

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        """Borrow an engine."""
        engine = self._take()
        try:
            yield engine
        finally:
            if not self._keep(engine):
                engine.close()

    @asynccontextmanager
    async def aengine(self) -> AsyncIterator[Engine]:
        """Borrow an engine in async code."""
        engine = self._take()
        try:
            yield engine
        finally:
            if not self._keep(engine):
                # Also when the borrower was cancelled: no process is left behind.
                await asyncio.shield(engine.aclose())

    def close(self) -> None:
        """End all idle processes; those that are lent end when they come back."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for engine in idle:
            engine.close()

    def _take(self) -> Engine:
        with self._lock:
            if self._is_closed:
                raise ConfigError("this pool of engines is closed: make a new one")
            return self._idle.pop() if self._idle else Engine(self._limits)

    def _keep(self, engine: Engine) -> bool:
        if not engine.is_running or engine.num_games >= GAMES_PER_PROCESS:
            return False
        with self._lock:
            is_wanted = not self._is_closed and len(self._idle) < self._spare
            if is_wanted:
                self._idle.append(engine)
        return is_wanted
