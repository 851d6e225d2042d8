"""Errors of Chroma turned into ours, and a lock with readers and writers."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from langgraph_memskill.errors import MemSkillError, StoreError

_ADVICE = (
    (
        ("readonly database", "read-only", "permission denied"),
        "make it writable, or use a copy, or a Chroma server that may write there",
    ),
    (
        ("database is locked", "locking protocol"),
        "another program holds the database: close it, or let both use a Chroma server",
    ),
    (
        ("not a database", "malformed", "database corruption"),
        "its database file is damaged: restore a backup, or move the folder away to start anew",
    ),
    (("disk is full", "no space left"), "free some disk space"),
    (
        ("unable to open database file", "too many open files"),
        "files cannot be opened there: each namespace takes four file descriptors, so raise the "
        "limit of open files (ulimit -n), and check the permissions",
    ),
    (
        ("nothing found on disk", "error finding id"),
        "another program opened the folder with a Chroma client of its own: close that one, "
        "reopen this store, and let both use a Chroma server",
    ),
    (
        ("file exists", "not a directory"),
        "a file is in the way: give the path of a folder",
    ),
    (
        (
            *("connection refused", "connection reset", "could not connect", "timed out"),
            *("name or service", "disconnected"),
        ),
        "check the URL and that the server runs (chroma run --path DIR --port PORT)",
    ),
)


@contextmanager
def translated(place: str, doing: str) -> Iterator[None]:
    """Turn what Chroma, its HTTP client or the file system raise into a StoreError.

    Args:
        place: Which store, for the message.
        doing: What was tried, for the message ("writing 3 records").

    Raises:
        StoreError: With the original error as its cause and a hint what to do.
    """
    try:
        yield
    except MemSkillError:
        raise
    except Exception as error:
        # Chroma's HTTP client raises bare Exception for answers that it cannot read.
        text = str(error) or type(error).__name__
        raise StoreError(f"{doing} failed in {place}: {text}{_advice(text)}") from error


def _advice(text: str) -> str:
    lowered = text.lower()
    for signs, advice in _ADVICE:
        if any(sign in lowered for sign in signs):
            return f" ({advice})"
    return ""


class ReadWriteLock:
    """Many readers or one writer; a waiting writer goes before new readers."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._num_readers = 0
        self._num_waiting = 0
        self._is_writing = False

    @contextmanager
    def read(self) -> Iterator[None]:
        """Hold the lock together with other readers."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_writing and not self._num_waiting)
            self._num_readers += 1
        try:
            yield
        finally:
            with self._changed:
                self._num_readers -= 1
                self._changed.notify_all()

    @contextmanager
    def write(self) -> Iterator[None]:
        """Hold the lock alone."""
        with self._changed:
            self._num_waiting += 1
            try:
                self._changed.wait_for(lambda: not self._is_writing and not self._num_readers)
                self._is_writing = True
            finally:
                self._num_waiting -= 1
        try:
            yield
        finally:
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()
