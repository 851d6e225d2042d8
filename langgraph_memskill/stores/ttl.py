"""Time to live: the sweep that removes what has expired, and a thread that repeats it."""

import asyncio
import logging
import math
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress

from langgraph.store.base import TTLConfig

from langgraph_memskill.errors import ConfigError, StoreError

logger = logging.getLogger(__name__)

_NS_A_MINUTE = 60 * 10**9
_LONGEST_MINUTES = 100 * 366 * 24 * 60.0
DEFAULT_SWEEP_MINUTES = 5.0
"""Minutes between two sweeps, unless the configuration says otherwise."""


def lifetime(minutes: float | None, what: str = "ttl") -> int:
    """Turn a time to live into ns; 0 stands for ever.

    Raises:
        ConfigError: If it is not a number of minutes above zero, or more than 100 years.
    """
    if minutes is None:
        return 0
    is_number = isinstance(minutes, int | float) and not isinstance(minutes, bool)
    if not is_number or not 0 < minutes <= _LONGEST_MINUTES:
        raise ConfigError(
            f"{what} is {minutes!r}: give minutes above 0 (100 years at most), or None to keep the "
            "item for ever"
        )
    return max(1, math.ceil(minutes * _NS_A_MINUTE))


def check_config(config: TTLConfig | None) -> TTLConfig | None:
    """Check a TTL configuration and copy it.

    Raises:
        ConfigError: If a number in it is unusable.
    """
    if config is None:
        return None
    lifetime(config.get("default_ttl"), "ttl['default_ttl']")
    lifetime(config.get("sweep_interval_minutes"), "ttl['sweep_interval_minutes']")
    return config.copy()


class Sweeper:
    """A daemon thread that calls a store's sweep again and again, and does not keep it alive."""

    def __init__(self, sweep: Callable[[], int]) -> None:
        """Take the sweep: a bound method; the thread ends when its object is gone."""
        self._sweep = weakref.WeakMethod(sweep)
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._finished: Future[None] = Future()
        self._lock = threading.Lock()

    def start(self, interval_s: float) -> Future[None]:
        """Start the thread, if none runs; it sweeps every so many seconds.

        Returns:
            A future that is done when the thread ends, and that stops it when it is cancelled.
        """
        with self._lock:
            thread = self._thread
            if thread is not None and thread.is_alive() and not self._stopped.is_set():
                return self._finished
            stopped, finished = threading.Event(), Future[None]()
            finished.add_done_callback(lambda _: stopped.set())
            self._stopped, self._finished = stopped, finished
            self._thread = threading.Thread(
                target=_sweep_on,
                args=(self._sweep, interval_s, stopped, finished),
                name="memskill-ttl-sweeper",
                daemon=True,
            )
            self._thread.start()
            return finished

    def stop(self, timeout_s: float | None = None) -> bool:
        """Stop, and wait for a sweep that is under way; tell whether it ended in this time."""
        with self._lock:
            thread = self._thread
            self._stopped.set()
        if thread is None:
            return True
        if thread is not threading.current_thread():
            thread.join(timeout_s)
        return not thread.is_alive()


def _sweep_on(
    method: "weakref.WeakMethod[Callable[[], int]]",
    interval_s: float,
    stopped: threading.Event,
    finished: "Future[None]",
) -> None:
    while not stopped.wait(interval_s):
        sweep = method()
        if sweep is None:
            break
        try:
            num_swept = sweep()
        except StoreError:
            logger.exception("a sweep of expired items failed; the next one tries again")
        else:
            if num_swept:
                logger.debug("%d expired items swept", num_swept)
        del sweep
    with suppress(InvalidStateError):  # It was cancelled.
        finished.set_result(None)


class TtlSweeping:
    """Sweeping of a store; LangGraph's server does not do it for stores of one's own."""

    __slots__ = ()

    ttl_config: TTLConfig | None
    _sweeper: Sweeper

    def sweep_ttl(self) -> int:
        """Delete what has expired.

        Returns:
            How many items were deleted.
        """
        raise NotImplementedError

    async def asweep_ttl(self) -> int:
        """Delete what has expired, without blocking the event loop; returns how many items."""
        return await asyncio.to_thread(self.sweep_ttl)

    def start_ttl_sweeper(self, sweep_interval_minutes: float | None = None) -> Future[None]:
        """Sweep now and then in a daemon thread of our own, until `stop_ttl_sweeper` or `close`.

        Args:
            sweep_interval_minutes: Minutes between two sweeps; None takes the interval of the
                store's TTL configuration, or 5.

        Returns:
            A future that is done when the thread ends; cancelling it stops the thread. If a thread
            runs already, its future.

        Raises:
            ConfigError: If the interval is unusable.
        """
        minutes = (
            sweep_interval_minutes
            or (self.ttl_config or {}).get("sweep_interval_minutes")
            or DEFAULT_SWEEP_MINUTES
        )
        return self._sweeper.start(lifetime(minutes, "sweep_interval_minutes") / 10**9)

    def stop_ttl_sweeper(self, timeout: float | None = None) -> bool:
        """Stop the sweeping thread.

        Args:
            timeout: How long to wait for a sweep that is under way, in seconds; None: as long as
                it takes.

        Returns:
            Whether no thread runs any more.
        """
        return self._sweeper.stop(timeout)
