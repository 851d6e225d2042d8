"""Locks by namespace, held by threads and by tasks alike, and between processes by lock files."""

import asyncio
import hashlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from weakref import WeakValueDictionary

from filelock import FileLock, Timeout

from langgraph_memskill.errors import ChangeLogError
from langgraph_memskill.namespaces import Namespace

_POLL_S = 0.002
_FILE_POLL_S = 0.005
_NUM_FILES = 16
_FILE_WAIT_S = 120.0


class _Lock:
    """A lock object that can be weakly referenced."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


class NamespaceLocks:
    """One lock a namespace: two writers of one user take turns, two users hardly ever wait.

    With a folder, other processes take their turn, too: the namespaces share a few lock files. The
    system frees such a lock when its process ends, however it ends.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Make the locks.

        Args:
            folder: Where the lock files are, for locks between processes; it is made if needed.
        """
        self._locks: WeakValueDictionary[Namespace, _Lock] = WeakValueDictionary()
        self._guard = threading.Lock()
        self._folder = folder

    @contextmanager
    def hold(self, namespace: Namespace) -> Iterator[None]:
        """Hold the namespace's lock in a thread.

        Raises:
            ChangeLogError: If the lock files cannot be used, or another process keeps the lock.
        """
        entry, file = self._get(namespace), self._file(namespace)
        with entry.lock:
            if file is None:
                yield
                return
            with _readable_errors(file):
                file.acquire(timeout=_FILE_WAIT_S, poll_interval=_FILE_POLL_S)
            try:
                yield
            finally:
                file.release()

    @asynccontextmanager
    async def ahold(self, namespace: Namespace) -> AsyncIterator[None]:
        """Hold the namespace's lock in a task."""
        release = await self.aacquire(namespace)
        try:
            yield
        finally:
            release()

    async def aacquire(self, namespace: Namespace) -> Callable[[], None]:
        """Take the namespace's lock in a task.

        It polls: waiting in a worker thread would leave the lock taken for ever if the task were
        cancelled at the wrong moment, and an asyncio lock knows only one event loop.

        Returns:
            What gives it back, to be called once, from any thread.
        """
        entry = self._get(namespace)
        while not entry.lock.acquire(blocking=False):
            await asyncio.sleep(_POLL_S)
        try:
            file = await asyncio.to_thread(self._file, namespace)
            if file is not None:
                await _aacquire_file(file)
        except BaseException:
            entry.lock.release()
            raise

        def release() -> None:
            if file is not None:
                file.release()
            entry.lock.release()

        return release

    def _get(self, namespace: Namespace) -> _Lock:
        with self._guard:
            return self._locks.setdefault(namespace, _Lock())

    def _file(self, namespace: Namespace) -> FileLock | None:
        if self._folder is None:
            return None
        digest = hashlib.sha256(json.dumps(list(namespace)).encode("ascii")).digest()
        path = self._folder / f"{digest[0] % _NUM_FILES:02}.lock"
        with _readable_errors(path):
            self._folder.mkdir(parents=True, exist_ok=True)
        # One object a holder: two of them exclude each other in one process as in two.
        return FileLock(path, thread_local=False)


async def _aacquire_file(file: FileLock) -> None:
    clock = asyncio.get_running_loop()
    deadline = clock.time() + _FILE_WAIT_S
    with _readable_errors(file):
        while not await _atry(file):
            if clock.time() >= deadline:
                raise Timeout(file.lock_file)
            await asyncio.sleep(_FILE_POLL_S)


async def _atry(file: FileLock) -> bool:
    """Try to lock the file in a worker thread; whether it is locked now."""
    attempt = asyncio.ensure_future(asyncio.to_thread(_try, file))
    try:
        return await asyncio.shield(attempt)
    except asyncio.CancelledError:
        # The thread cannot be stopped; what it still gets, nobody is there to give back.
        attempt.add_done_callback(lambda done: _give_back(file, done))
        raise


def _try(file: FileLock) -> bool:
    try:
        file.acquire(blocking=False)
    except Timeout:
        return False
    return True


def _give_back(file: FileLock, attempt: "asyncio.Future[bool]") -> None:
    if not attempt.cancelled() and attempt.exception() is None and attempt.result():
        file.release()


@contextmanager
def _readable_errors(file: FileLock | Path) -> Iterator[None]:
    path = file if isinstance(file, Path) else file.lock_file
    try:
        yield
    except Timeout as error:
        raise ChangeLogError(
            f"another process has kept the lock {str(path)!r} for {_FILE_WAIT_S:g} s: wait for it, "
            "or stop it"
        ) from error
    except OSError as error:
        raise ChangeLogError(
            f"the lock file {str(path)!r} cannot be used: {error}. Make its folder writable"
        ) from error
