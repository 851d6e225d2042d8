"""Chroma inside this process: in memory, or in a folder.

Seen in chromadb 1.5.9, and the reason for this module (plain clients would do otherwise):

- Chroma keeps at most `ulimit -n` / 5 vector indexes. One that it drops gives stale or empty
  results from then on: in a folder until that is opened again, in memory for ever. So in memory
  nothing is ever dropped, and a folder is opened anew (5 to 25 ms) before Chroma would drop one.
- A vector index takes 2.7 MB and, in a folder, four open files.
- Two engines open on one folder, in one process or in two, spoil each other's vector indexes; an
  engine that opens after the other's last write reads everything. So a process has one engine a
  folder, a file lock is held during every batch, and a note in the folder says who was there last.
- Such a foreign engine keeps to no lock, but opening and writing change the database file, which
  nobody but us may do between two batches of ours.
- All in-memory clients of a process share one database; an engine of one's own does not.
"""

import ctypes
import logging
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import ClassVar

from chromadb.api.rust import RustBindingsAPI
from chromadb.config import DEFAULT_DATABASE, DEFAULT_TENANT, System

from langgraph_memskill.errors import StoreError
from langgraph_memskill.stores.connection import (
    RUST_API,
    ApiConnection,
    chroma_settings,
    open_files_limit,
)
from langgraph_memskill.stores.folder_lock import FolderLock
from langgraph_memskill.stores.guards import translated

logger = logging.getLogger(__name__)

_LOCK_WAIT_S = 60.0
_NO_LIMIT = 1 << 30
_FEWEST_INDEXES = 16
_MOST_INDEXES = 256
_FILES_AN_INDEX = 7
"""Four open files an index, and room for the rest of the process."""


class EmbeddedConnection(ApiConnection):
    """A Chroma engine of our own; batches take turns."""

    exclusive = True
    _folders: ClassVar[dict[Path, "EmbeddedConnection"]] = {}
    """One engine a folder and process: two would spoil each other's indexes."""
    _folders_lock: ClassVar[RLock] = RLock()

    @classmethod
    def in_folder(cls, path: Path) -> "EmbeddedConnection":
        """Open a folder, or share it if this process has it open.

        Raises:
            StoreError: If the folder cannot be made, locked, read or written.
        """
        with cls._folders_lock:
            with translated(f"the folder {str(path)!r}", "opening"):
                folder = path.expanduser().resolve()
            connection = cls._folders.get(folder)
            if connection is None:
                connection = cls._folders[folder] = cls(folder)
            connection._num_users += 1
            return connection

    def __init__(self, folder: Path | None = None) -> None:
        """Start an engine, in memory if no folder is given."""
        self._folder = folder
        self._lock = RLock()
        self._num_users = 0
        self._is_closed = False
        self._is_running = False
        self._process = os.getpid()
        self._token = uuid.uuid4().hex
        self._touched: set[str] = set()
        self._file = (folder or Path()) / "chroma.sqlite3"
        self._last_state: tuple[int, int] | None = None
        files = open_files_limit() // _FILES_AN_INDEX
        self._max_touched = (
            _NO_LIMIT if folder is None else max(_FEWEST_INDEXES, min(_MOST_INDEXES, files))
        )
        place = "memory" if folder is None else f"the folder {str(folder)!r}"
        with translated(place, "opening"):
            self._folder_lock: FolderLock | None = None
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
                self._folder_lock = FolderLock(folder, _LOCK_WAIT_S)
            self._system = System(
                chroma_settings(
                    chroma_api_impl=RUST_API,
                    is_persistent=folder is not None,
                    persist_directory=str(folder or ""),
                )
            )
            api = self._system.instance(RustBindingsAPI)
        # Twice our own limit: Chroma must never be the one to drop an index.
        api.hnsw_cache_size = _NO_LIMIT if folder is None else 2 * self._max_touched
        super().__init__(place, api, DEFAULT_TENANT, DEFAULT_DATABASE)
        try:
            with self.session(write=True):
                pass
        except BaseException:
            self._close_files()
            raise

    @contextmanager
    def session(self, *, write: bool) -> Iterator[None]:
        """Hold the place for one batch, alone among threads and processes."""
        with self._lock:
            self._check_usable()
            if self._folder_lock is None:
                self._start()
                yield
                return
            with translated(self.place, "locking"):
                self._folder_lock.acquire()
            try:
                self._take_over(self._folder_lock)
                yield
            finally:
                self._last_state = self._file_state()
                self._folder_lock.release()

    def touch(self, collection_id: str) -> None:
        """Make room for this collection's vector index."""
        if collection_id in self._touched:
            return
        if len(self._touched) >= self._max_touched:
            logger.debug("reopening %s to free vector indexes", self.place)
            self._restart()
        self._touched.add(collection_id)

    def release(self) -> None:
        """Give the connection up; the last user's call stops the engine."""
        if os.getpid() != self._process:
            return
        with self._folders_lock:
            self._num_users -= 1
            if self._num_users > 0 or self._is_closed:
                return
            self._is_closed = True
            if self._folder is not None:
                self._folders.pop(self._folder, None)
        with self._lock:
            self._stop()
            self._close_files()

    def _check_usable(self) -> None:
        if self._is_closed:
            raise StoreError(f"the store in {self.place} is closed: open it again")
        if os.getpid() != self._process:
            raise StoreError(
                f"the store in {self.place} was opened before this process was forked: open it in "
                "each process, after forking, or let all use a Chroma server"
            )

    def _take_over(self, lock: FolderLock) -> None:
        """Start the engine, or start it again if another process was here since."""
        with translated(self.place, "opening"):
            is_ours = lock.read_note() == self._token
        if is_ours:
            if self._is_running and self._file_state() != self._last_state:
                self._stop()
                self.forget()
                raise StoreError(
                    f"a Chroma client that is not ChromaStore's used {self.place} since the last "
                    "call, and two of them spoil each other's vector indexes: close that client "
                    "and repeat the call, or let both use a Chroma server (chroma run --path "
                    "FOLDER, then its URL instead of the folder)"
                )
            self._start()
            return
        self._restart()
        self.forget()
        with translated(self.place, "opening"):
            lock.write_note(self._token)

    def _file_state(self) -> tuple[int, int] | None:
        """What changes whenever somebody writes to the database."""
        try:
            found = os.stat(self._file)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size

    def _start(self) -> None:
        if not self._is_running:
            self._restart()

    def _restart(self) -> None:
        with translated(self.place, "opening"):
            self._stop()
            self._system.start()
        self._is_running = True

    def _stop(self) -> None:
        if self._is_running:
            self._is_running = False
            self._system.stop()
            _return_memory()
        self._touched.clear()

    def _close_files(self) -> None:
        if self._folder_lock is not None:
            self._folder_lock.close()


def _return_memory() -> None:
    """Give freed memory back to the system.

    The engine's threads end with it, and glibc would keep for each of them what it had freed: 1,000
    namespaces in turn took 7.8 GB so.
    """
    with suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)
