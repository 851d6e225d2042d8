"""A lock between processes on a folder, with a note of who held it last.

Taken twice a store operation: the filelock package needs half a millisecond for what the system
call does in a microsecond.
"""

import errno
import os
import sys
import time
from pathlib import Path

from langgraph_memskill.errors import StoreError

if sys.platform == "win32":
    import msvcrt

    # Windows locks keep others from reading what is locked, so this is behind any content.
    _LOCKED_BYTE = 1 << 20

    def _lock(file: int) -> None:
        os.lseek(file, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

    def _unlock(file: int) -> None:
        os.lseek(file, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)


_NAME = ".memskill.lock"
# What the system calls say if somebody else holds the lock; the last two on Windows.
_HELD = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)
_POLL_S = 0.005
_NOTE_LENGTH = 64


class FolderLock:
    """The lock of one folder. The system frees it when its process ends, however it ends."""

    def __init__(self, folder: Path, timeout_s: float) -> None:
        """Make the lock file.

        Raises:
            OSError: If the folder cannot be written.
        """
        self._folder = folder
        self._timeout_s = timeout_s
        self._file: int | None = os.open(folder / _NAME, os.O_RDWR | os.O_CREAT, 0o666)

    def acquire(self) -> None:
        """Wait for the lock and take it.

        Raises:
            StoreError: If another process keeps it for longer than the time limit, or the file
                system knows no locks.
        """
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                _lock(self._opened())
            except OSError as error:
                if error.errno not in _HELD:
                    raise StoreError(
                        f"the folder {str(self._folder)!r} cannot be locked ({error}), so it "
                        "cannot be shared: its file system, perhaps a network's, knows no locks; "
                        "use a folder on a local disk, or a Chroma server"
                    ) from error
                if time.monotonic() >= deadline:
                    raise StoreError(
                        f"the folder {str(self._folder)!r} was locked by another process for "
                        f"{self._timeout_s:g} s: wait for it, stop it, or let both use a Chroma "
                        "server"
                    ) from error
                time.sleep(_POLL_S)
            else:
                return

    def release(self) -> None:
        """Let go of the lock."""
        _unlock(self._opened())

    def read_note(self) -> str:
        """Read who noted itself last; only while the lock is held."""
        os.lseek(self._opened(), 0, os.SEEK_SET)
        return os.read(self._opened(), _NOTE_LENGTH).decode("ascii", "replace")

    def write_note(self, note: str) -> None:
        """Note oneself; only while the lock is held."""
        os.lseek(self._opened(), 0, os.SEEK_SET)
        os.ftruncate(self._opened(), 0)
        os.write(self._opened(), note.encode("ascii"))

    def close(self) -> None:
        """Close the lock file. Closing twice is no error."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _opened(self) -> int:
        if self._file is None:
            raise StoreError(f"the store in the folder {str(self._folder)!r} is closed")
        return self._file
