"""A guard against calls that block the event loop."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from blockbuster import BlockBuster

# Locks are held for microseconds only; the rest belongs to the machinery of tests and tracebacks.
_ALLOWED = ("threading.Lock.acquire", "threading.Lock.acquire_lock", "os.getcwd", "os.path.abspath")


@contextmanager
def nothing_blocks() -> Iterator[None]:
    """Forbid what blocks; the files that earlier tests left open are closed before it."""
    gc.collect()
    gc.disable()
    guard = BlockBuster()
    for name in _ALLOWED:
        guard.functions.pop(name, None)
    guard.activate()
    try:
        yield
    finally:
        guard.deactivate()
        gc.enable()
