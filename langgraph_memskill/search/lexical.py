"""BM25 over the words of memories: one small SQLite FTS5 index a namespace."""

import hashlib
import logging
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from langgraph_memskill.errors import StoreError
from langgraph_memskill.namespaces import Namespace
from langgraph_memskill.records import Change, Memory
from langgraph_memskill.search.fusion import Neighbours
from langgraph_memskill.search.lexical_file import connect
from langgraph_memskill.search.lexical_rows import (
    note_fed,
    put,
    read_fed,
    read_neighbours,
    read_texts,
    remove,
    search_words,
    transaction,
    words_of_query,
)
from langgraph_memskill.stores.change_rows import encode_namespace
from langgraph_memskill.stores.changes import ChangeLog
from langgraph_memskill.stores.locks import NamespaceLocks

logger = logging.getLogger(__name__)

T = TypeVar("T")
_Work = Callable[[sqlite3.Connection], T]

_MOST_OPEN = 256
"""Indexes that are kept in memory where there is no folder; the least used is made anew later."""


class Look(NamedTuple):
    """What one look into an index shows."""

    fed: int | None
    """The `seq` of the last change that the index knows; None if it is to be built."""
    scores: dict[str, float]
    """BM25 scores of the memories that share words with the query, > 0, by id, highest first."""
    neighbours: dict[str, Neighbours]
    """What stands beside these and the asked-for memories in their sessions, by id."""
    texts: dict[str, str]
    """What the index has as the texts of all of them, by id."""


class LexicalIndexes:
    """The lexical indexes of a memory's namespaces.

    An index is derived from the store and its change log: it knows up to which change it has been
    fed, a search feeds it the rest first, and so writing memories costs nothing and a crash leaves
    nothing wrong. A damaged or deleted file is made anew. Every namespace has a file of its own, so
    what one user says neither shows up in another's search nor changes its scores.

    Statistics, stemming (Porter) and BM25 (k1 = 1.2, b = 0.75) are SQLite's; words that more than
    half of the memories have, such as the speakers' names, count nothing.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Keep indexes.

        Args:
            folder: Where their files are, made when needed; None keeps them in memory.
        """
        self._folder = folder
        self._locks = NamespaceLocks(None if folder is None else folder / "locks")
        self._in_memory: OrderedDict[Namespace, sqlite3.Connection] = OrderedDict()

    @classmethod
    def beside(cls, log: ChangeLog) -> "LexicalIndexes":
        """The indexes that everything in this process shares for a change log.

        They are files in a folder beside the log's file, or in memory where the log is.
        """
        with _beside_guard:
            indexes = _beside.get(log)
            if indexes is None:
                path = log.path
                folder = None if path is None else path.with_name(f"{path.name}.lexical")
                indexes = _beside[log] = cls(folder)
            return indexes

    def fed(self, namespace: Namespace) -> int | None:
        """The `seq` of the last change that the index knows; None if it is to be built."""
        return self._use(namespace, read_fed)

    def build(self, namespace: Namespace, memories: Iterable[Memory], seq: int) -> None:
        """Make the index from all memories of a namespace.

        Args:
            namespace: Whose.
            memories: All of them, read after `seq` was.
            seq: The newest change before that.
        """

        def build(connection: sqlite3.Connection) -> None:
            with transaction(connection):
                if read_fed(connection) is not None:
                    return  # another process was quicker
                for memory in sorted(memories, key=lambda memory: memory.created_at):
                    put(connection, memory)
                note_fed(connection, seq)

        self._use(namespace, build, write=True)

    def feed(self, namespace: Namespace, changes: Sequence[Change], *, after: int) -> None:
        """Bring the index up to date.

        Args:
            namespace: Whose.
            changes: What the log has behind `after`, in order.
            after: What `fed` said; if somebody else has fed the index meanwhile, nothing is done.
        """

        def feed(connection: sqlite3.Connection) -> None:
            with transaction(connection):
                if read_fed(connection) != after:
                    return
                for change in changes:
                    if change.after is None:
                        remove(connection, change.memory_id)
                    else:
                        put(connection, change.after)
                note_fed(connection, changes[-1].seq)

        if changes:
            self._use(namespace, feed, write=True)

    def mend(self, namespace: Namespace, seen: Iterable[Memory], gone: Iterable[str]) -> None:
        """Repair what the log did not tell: somebody else wrote to the store.

        Args:
            namespace: Whose.
            seen: Memories as they are in the store.
            gone: Ids that are not there any more.
        """

        def mend(connection: sqlite3.Connection) -> None:
            with transaction(connection):
                for memory in seen:
                    put(connection, memory)
                for memory_id in gone:
                    remove(connection, memory_id)

        self._use(namespace, mend, write=True)

    def look(
        self,
        namespace: Namespace,
        query: str,
        *,
        limit: int,
        ids: Collection[str] = (),
        neighbours: bool = True,
    ) -> "Look":
        """Find the memories that share words with a query, and what stands beside them.

        Args:
            namespace: Whose.
            query: Any text; nothing in it is an operator.
            limit: How many memories at most; 0 finds none.
            ids: Further memories whose neighbours are wanted.
            neighbours: Whether neighbours are wanted at all.
        """
        words = words_of_query(query) if limit else []

        def look(connection: sqlite3.Connection) -> Look:
            scores = search_words(connection, words, limit) if words else {}
            known = dict.fromkeys([*ids, *scores])
            beside = read_neighbours(connection, known) if neighbours else {}
            known |= dict.fromkeys(key for pair in beside.values() for key in pair if key)
            return Look(read_fed(connection), scores, beside, read_texts(connection, known))

        return self._use(namespace, look)

    def drop(self, namespace: Namespace) -> None:
        """Remove the index with everything that it holds; the next search makes it anew.

        Raises:
            StoreError: If its file cannot be removed.
        """
        with self._locks.hold(namespace):
            if (connection := self._in_memory.pop(namespace, None)) is not None:
                connection.close()
            if (path := self._path(namespace)) is not None:
                _unlink(path)

    def others(self, namespaces: Collection[Namespace]) -> list[Path]:
        """The files of all namespaces but these."""
        if self._folder is None or not self._folder.is_dir():
            return []
        kept = {path for namespace in namespaces if (path := self._path(namespace)) is not None}
        return [path for path in sorted(self._folder.glob("*.db")) if path not in kept]

    def drop_others(self, namespaces: Collection[Namespace]) -> int:
        """Remove the files of all namespaces but these.

        Returns:
            How many were removed.

        Raises:
            StoreError: If one of them cannot be removed.
        """
        others = self.others(namespaces)
        for path in others:
            _unlink(path)
        return len(others)

    def close(self) -> None:
        """Let go of the indexes in memory."""
        while self._in_memory:
            self._in_memory.popitem()[1].close()

    def _use(self, namespace: Namespace, work: _Work[T], *, write: bool = False) -> T:
        path = self._path(namespace)
        if path is None:
            with self._locks.hold(namespace):
                return work(self._connection(namespace))
        try:
            return self._use_file(namespace, path, work, write=write)
        except sqlite3.DatabaseError as error:
            logger.warning("the lexical index %s is made anew: %s", path, error)
            self.drop(namespace)
            try:
                return self._use_file(namespace, path, work, write=write)
            except sqlite3.Error as second:
                raise _unusable(path, second) from second
        except OSError as error:
            raise _unusable(path, error) from error

    def _use_file(
        self,
        namespace: Namespace,
        path: Path,
        work: _Work[T],
        *,
        write: bool,
    ) -> T:
        # Writers take turns, and nobody removes a file under one that writes: SQLite could not
        # tell the new file's journal from the old one's.
        if write or not path.exists():
            with self._locks.hold(namespace), _opened(path) as connection:
                return work(connection)
        with _opened(path) as connection:
            return work(connection)

    def _connection(self, namespace: Namespace) -> sqlite3.Connection:
        connection = self._in_memory.pop(namespace, None) or connect(None)
        self._in_memory[namespace] = connection
        if len(self._in_memory) > _MOST_OPEN:
            self._in_memory.popitem(last=False)
        return connection

    def _path(self, namespace: Namespace) -> Path | None:
        if self._folder is None:
            return None
        name = hashlib.sha256(encode_namespace(namespace).encode()).hexdigest()[:32]
        return self._folder / f"{name}.db"


_beside: WeakKeyDictionary[ChangeLog, LexicalIndexes] = WeakKeyDictionary()
_beside_guard = Lock()


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    connection = connect(path)
    try:
        yield connection
    finally:
        connection.close()


def _unlink(path: Path) -> None:
    for name in (path.name, f"{path.name}-journal"):
        try:
            path.with_name(name).unlink(missing_ok=True)
        except OSError as error:
            raise _unusable(path, error) from error


def _unusable(path: Path, error: Exception) -> StoreError:
    return StoreError(
        f"the lexical index {str(path)!r} cannot be used: {error}. Make its folder writable, or "
        'search with SearchSettings(mode="dense")'
    )
