"""The background writer: remembers after the agent has answered, and never loses a span."""

import logging
import threading
import time
from collections.abc import Callable

from langgraph_memskill.namespaces import Namespace

logger = logging.getLogger(__name__)


class BackgroundWriter:
    """One thread that drains the queued spans of the namespaces that it is told of.

    The spans themselves are in the durable queue before the writer hears of them. Several signals
    for one namespace within the delay become one run over all of its spans; a process that dies
    leaves them in the queue, for the next signal of the namespace or for `retry_failed()`.
    """

    def __init__(self, drain: Callable[[Namespace], None], *, delay_s: float = 0.0) -> None:
        """Make the writer; its thread starts with the first signal.

        Args:
            drain: Remembers everything that is queued for a namespace.
            delay_s: Seconds to wait after a signal for more of the same namespace, >= 0.
        """
        self._drain = drain
        self._delay_s = delay_s
        self._due: dict[Namespace, float] = {}
        self._busy = False
        self._closed = False
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None

    def signal(self, namespace: Namespace) -> None:
        """Say that spans are queued for a namespace; returns at once."""
        with self._condition:
            self._due[namespace] = time.monotonic() + self._delay_s
            if self._thread is None:
                self._start()
            self._condition.notify_all()

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until everything signalled so far has been tried.

        Args:
            timeout_s: Seconds to wait at most; None waits as long as it takes.

        Returns:
            Whether it is done.
        """
        with self._condition:
            self._due = dict.fromkeys(self._due, 0.0)
            self._condition.notify_all()
            return self._condition.wait_for(lambda: not self._due and not self._busy, timeout_s)

    def close(self) -> None:
        """Finish what was signalled, then stop the thread; signals after that start a new one."""
        with self._condition:
            self._closed = True
            self._due = dict.fromkeys(self._due, 0.0)
            self._condition.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _start(self) -> None:
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="memskill-writer", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (namespace := self._next()) is not None:
            try:
                self._drain(namespace)
            except Exception:  # the thread's outermost point: the next namespace must get its turn
                logger.exception("queued spans stay in the queue; retry_failed() takes them up")
            finally:
                with self._condition:
                    self._busy = False
                    self._condition.notify_all()

    def _next(self) -> Namespace | None:
        with self._condition:
            while True:
                now = time.monotonic()
                ready = [ns for ns, due in self._due.items() if due <= now]
                if ready:
                    self._busy = True
                    del self._due[ready[0]]
                    return ready[0]
                if self._closed and not self._due:
                    self._thread = None
                    return None
                wait = min(self._due.values()) - now if self._due else None
                self._condition.wait(wait)
