"""ChangeLog: every insert, update, delete and touch of a memory, in order, in one SQLite file."""

import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakKeyDictionary

from langgraph.store.base import BaseStore

from langgraph_memskill.closing import Closing
from langgraph_memskill.errors import ChangeLogError
from langgraph_memskill.namespaces import Namespace
from langgraph_memskill.records import Change
from langgraph_memskill.stores.change_file import open_file
from langgraph_memskill.stores.change_rows import (
    INSERT,
    SELECT,
    TEXT_COLUMNS,
    change_of,
    encode,
    encode_namespace,
    encode_time,
    row_of,
)
from langgraph_memskill.stores.locks import NamespaceLocks

_PAGE = 1000
_MOST_VARIABLES = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the log knows of some memories."""

    last: Mapping[str, Change] = field(default_factory=dict)
    """The newest change of each memory, by memory id."""
    applied: Mapping[tuple[str, str], Change] = field(default_factory=dict)
    """The asked-for changes that are in the log, by memory id and change id."""
    pending: bool = False
    """Whether a crash left unsettled changes in the namespace."""


class ChangeLog(Closing):
    """An append-only log beside a store.

    A change is *pending* from before the store is written until after: so what a crash leaves can
    be brought to an end. Reading shows settled changes. Threads and processes may share a file;
    a log without a file lives as long as its object.
    """

    def __init__(self, path: str | Path | None = None, *, read_only: bool = False) -> None:
        """Open a log, or make it.

        Args:
            path: The SQLite file; None keeps the log in memory.
            read_only: Write nothing at all; the file must exist.

        Raises:
            ChangeLogError: If it cannot be opened, is damaged, or is of a newer version.
        """
        self.path = None if path is None else Path(path).expanduser().resolve()
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._is_closed = False
        folder = None if self.path is None else self.path.with_name(f"{self.path.name}.locks")
        self.locks = NamespaceLocks(folder)
        with self._translated("opening"):
            self._connection = open_file(self.path, read_only=read_only)

    @classmethod
    def beside(cls, store: BaseStore) -> "ChangeLog":
        """The in-memory log that everything in this process shares for a store object."""
        with _beside_guard:
            log = _beside.get(store)
            if log is None:
                log = _beside[store] = cls()
            return log

    def look(
        self, namespace: Namespace, memory_ids: Iterable[str], change_ids: Iterable[str] = ()
    ) -> Known:
        """Read what a writer needs before it writes."""
        place = encode_namespace(namespace)
        memories = [encode(memory_id) for memory_id in dict.fromkeys(memory_ids)]
        wanted = [encode(change_id) for change_id in dict.fromkeys(change_ids)]
        last: dict[str, Change] = {}
        applied: dict[tuple[str, str], Change] = {}
        with self._reading() as connection:
            pending = connection.execute(
                "SELECT 1 FROM changes WHERE state = 'pending' AND namespace = ? LIMIT 1", (place,)
            ).fetchone()
            for some in _portions(memories):
                rows = connection.execute(
                    f"{SELECT} AS c WHERE namespace = ? AND memory_id IN ({_marks(some)}) AND "
                    "version = (SELECT max(version) FROM changes AS m WHERE m.namespace = "
                    "c.namespace AND m.memory_id = c.memory_id)",
                    (place, *some),
                )
                last |= {change.memory_id: change for change in map(change_of, rows)}
            for some in _portions(wanted):
                rows = connection.execute(
                    f"{SELECT} WHERE id IN ({_marks(some)}) AND namespace = ?", (*some, place)
                )
                applied |= {(c.memory_id, c.id): c for c in map(change_of, rows)}
        return Known(last=last, applied=applied, pending=pending is not None)

    def append(self, pending: Sequence[Change], settled: Sequence[Change] = ()) -> None:
        """Write changes in one transaction; `settled` are those that the store has already."""
        rows = [row_of(change, "settled") for change in settled]
        rows += [row_of(change, "pending") for change in pending]
        with self._writing() as connection:
            connection.executemany(INSERT, rows)

    def settle(self, namespace: Namespace, *, dropped: Sequence[Change] = ()) -> None:
        """End the pending changes of a namespace: some are dropped, the rest settled."""
        place = encode_namespace(namespace)
        keys = [(place, encode(c.memory_id), c.version) for c in dropped]
        with self._writing() as connection:
            connection.executemany(
                "DELETE FROM changes WHERE namespace = ? AND memory_id = ? AND version = ? "
                "AND state = 'pending'",
                keys,
            )
            connection.execute(
                "UPDATE changes SET state = 'settled' WHERE state = 'pending' AND namespace = ?",
                (place,),
            )

    def entries(
        self,
        namespace: Namespace | None = None,
        *,
        memory_id: str | None = None,
        run_id: str | None = None,
        change_id: str | None = None,
        limit: int | None = None,
        pending: bool = False,
    ) -> list[Change]:
        """Read settled changes, oldest first.

        Args:
            namespace: Only those of this namespace.
            memory_id: Only those of this memory.
            run_id: Only those of this run.
            change_id: Only the one with this id (several memories may have one).
            limit: Only the newest so many.
            pending: Read the pending ones instead.
        """
        where, values = _conditions(
            namespace=None if namespace is None else encode_namespace(namespace),
            memory_id=None if memory_id is None else encode(memory_id),
            run_id=None if run_id is None else encode(run_id),
            id=None if change_id is None else encode(change_id),
            state="pending" if pending else "settled",
        )
        bound = -1 if limit is None else limit
        with self._reading() as connection:
            rows = connection.execute(
                f"{SELECT} WHERE {where} ORDER BY seq DESC LIMIT ?", (*values, bound)
            ).fetchall()
        return [change_of(row) for row in reversed(rows)]

    def read_all(self, namespace: Namespace | None = None, *, after: int = 0) -> Iterator[Change]:
        """Read every settled change, of one namespace or of all, in order, page by page.

        Args:
            namespace: Only those of this namespace.
            after: Only those whose `seq` is higher.
        """
        where, values = _conditions(
            namespace=None if namespace is None else encode_namespace(namespace), state="settled"
        )
        seq = after
        while True:
            with self._reading() as connection:
                rows = connection.execute(
                    f"{SELECT} WHERE seq > ? AND {where} ORDER BY seq LIMIT {_PAGE}",
                    (seq, *values),
                ).fetchall()
            yield from map(change_of, rows)
            if len(rows) < _PAGE:
                return
            seq = rows[-1]["seq"]

    def newest(self, namespace: Namespace) -> int:
        """The `seq` of the namespace's newest settled change; 0 if there is none.

        Every later change of the namespace gets a higher one, also one that is pending now.
        """
        with self._reading() as connection:
            row = connection.execute(
                "SELECT max(seq) FROM changes WHERE namespace = ? AND state = 'settled'",
                (encode_namespace(namespace),),
            ).fetchone()
        return int(row[0] or 0)

    def last(self, namespace: Namespace) -> dict[str, Change]:
        """The newest settled change of every memory of a namespace, by memory id."""
        with self._reading() as connection:
            rows = connection.execute(
                f"{SELECT} AS c WHERE namespace = ? AND state = 'settled' AND version = "
                "(SELECT max(version) FROM changes AS m WHERE m.namespace = c.namespace AND "
                "m.memory_id = c.memory_id AND m.state = 'settled') ORDER BY seq",
                (encode_namespace(namespace),),
            ).fetchall()
        return {change.memory_id: change for change in map(change_of, rows)}

    def namespaces(self, *, pending: bool = False) -> list[Namespace]:
        """The namespaces that have changes, or pending ones."""
        state = "state = 'pending'" if pending else "1"
        with self._reading() as connection:
            rows = connection.execute(
                f"SELECT namespace FROM changes WHERE {state} GROUP BY 1 ORDER BY min(seq)"
            ).fetchall()
        return [tuple(json.loads(row["namespace"])) for row in rows]

    def import_changes(self, changes: Iterable[Change]) -> int:
        """Append changes from elsewhere as settled; those that are there already are skipped.

        Args:
            changes: With their ids, versions, times and causes; a memory's in order.

        Returns:
            How many were added.

        Raises:
            ChangeLogError: If a memory has another change with the same number; nothing is added.
        """
        added = 0
        with self._writing() as connection:
            for change in changes:
                key = (encode_namespace(change.namespace), encode(change.memory_id))
                same = connection.execute(
                    "SELECT 1 FROM changes WHERE namespace = ? AND memory_id = ? AND id = ?",
                    (*key, encode(change.id)),
                ).fetchone()
                if same is not None:
                    continue
                newest = connection.execute(
                    "SELECT max(version) FROM changes WHERE namespace = ? AND memory_id = ?", key
                ).fetchone()[0]
                if change.version != (newest or 0) + 1:
                    raise ChangeLogError(
                        f"change {change.id!r} of memory {change.memory_id!r} has the number "
                        f"{change.version}, but the log has {newest or 0} others of this memory: "
                        "import them in order, into a log without changes of its own to it"
                    )
                connection.execute(INSERT, row_of(change, "settled"))
                added += 1
        return added

    def purge(self, namespace: Namespace, marks: Sequence[Change]) -> None:
        """Blank the texts of memories and append what marks each of them as purged.

        Args:
            namespace: Whose memories.
            marks: One change a memory, without texts, `purged_at` set.
        """
        blanks = ", ".join(f"{name} = NULL" for name in TEXT_COLUMNS)
        place = encode_namespace(namespace)
        with self._writing() as connection:
            for mark in marks:
                connection.execute(
                    f"UPDATE changes SET {blanks}, purged_at = ? "
                    "WHERE namespace = ? AND memory_id = ?",
                    (encode_time(mark.at), place, encode(mark.memory_id)),
                )
            connection.executemany(INSERT, [row_of(mark, "settled") for mark in marks])

    def scrub(self) -> None:
        """Remove the bytes of what was blanked from the file and its journal."""
        with self._lock, self._translated("scrubbing"):
            self._check_usable()
            self._connection.execute("VACUUM")
            busy = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            if busy:
                raise ChangeLogError(
                    f"{self._place} is being read, so its journal still holds what was blanked: "
                    "purge again when nobody reads"
                )

    def note(self, name: str) -> str | None:
        """Read a note about the log itself."""
        with self._reading() as connection:
            row = connection.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row["value"])

    def write_note(self, name: str, value: str) -> None:
        """Write a note about the log itself."""
        with self._writing() as connection:
            connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))

    def num_pending(self) -> int:
        """How many changes a crash left unsettled."""
        with self._reading() as connection:
            query = "SELECT count(*) FROM changes WHERE state = 'pending'"
            return int(connection.execute(query).fetchone()[0])

    def check(self) -> list[str]:
        """What is wrong with the file itself: damage, gaps in a memory's numbers."""
        with self._reading() as connection:
            damage = [row[0] for row in connection.execute("PRAGMA integrity_check")]
            gaps = connection.execute(
                "SELECT memory_id, count(*), max(version) FROM changes "
                "GROUP BY namespace, memory_id HAVING count(*) <> max(version)"
            ).fetchall()
        return [text for text in damage if text != "ok"] + [
            f"memory {json.loads(row[0])!r} has {row[1]} changes, but its last number is {row[2]}"
            for row in gaps
        ]

    def close(self) -> None:
        """Close the file. Closing twice is no error."""
        with self._lock:
            if not self._is_closed and os.getpid() == self._process:
                self._connection.close()
            self._is_closed = True

    @property
    def _place(self) -> str:
        return "the change log" if self.path is None else f"the change log {str(self.path)!r}"

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._translated("reading"):
            self._check_usable()
            yield self._connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._translated("writing"):
            self._check_usable()
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _check_usable(self) -> None:
        if self._is_closed:
            raise ChangeLogError(f"{self._place} is closed: open it again")
        if os.getpid() != self._process:
            raise ChangeLogError(
                f"{self._place} was opened before this process was forked: open it in each process"
            )

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise ChangeLogError(f"{doing} failed in {self._place}: {error}") from error


_beside: WeakKeyDictionary[BaseStore, ChangeLog] = WeakKeyDictionary()
_beside_guard = threading.Lock()


def _conditions(**columns: str | None) -> tuple[str, list[str]]:
    known = {name: value for name, value in columns.items() if value is not None}
    return " AND ".join(f"{name} = ?" for name in known), list(known.values())


def _portions(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), _MOST_VARIABLES):
        yield values[start : start + _MOST_VARIABLES]


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))
