"""The pool of hard cases, in a SQLite file or in memory (METHOD, "Evolution")."""

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import RLock
from typing import cast

from pydantic import JsonValue, ValidationError

from langgraph_memskill.errors import ConfigError, EvolutionError
from langgraph_memskill.evolution.case_tables import (
    SCHEMAS,
    TABLES,
    drop_case,
    find_case,
    put_answered,
    read_cases,
    rewrite_cases,
)
from langgraph_memskill.evolution.records import HardCase
from langgraph_memskill.evolution.selection import importance
from langgraph_memskill.state import dump, load

WINDOW_EPOCHS = 100
POOL_SIZE = 2000
ANSWERED_SIZE = 2000
FORMAT_VERSION = 2

_BUSY_MS = 60_000
_MAX_TRAJECTORY_CHARS = 20_000


class HardCasePool:
    """One entry a query; a repeat raises its failure count and refreshes it.

    What is older than the window goes, and above the size limit what is least important. A query
    that is answered later leaves the pool; with its right answer it is kept beside the cases, so
    that a gate can see whether new skills still serve it. Every change is one transaction, so a
    crash loses nothing that was added, and several processes may use one file.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        window_epochs: int = WINDOW_EPOCHS,
        size: int = POOL_SIZE,
        answered_size: int = ANSWERED_SIZE,
    ) -> None:
        """Name a pool; its file is opened when it is first used.

        Args:
            path: The file, made by the first case; None keeps the cases in this process only.
            window_epochs: Inner epochs that a case stays without failing again; 0 is for ever.
            size: Cases at most; 0 is no limit.
            answered_size: Answered questions at most, the latest ones; 0 is no limit.

        Raises:
            ConfigError: If a number is negative.
        """
        limits = {"window_epochs": window_epochs, "size": size, "answered_size": answered_size}
        for name, value in limits.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ConfigError(f"{name}={value!r} must be a whole number of at least 0")
        self._path = None if path is None else Path(path)
        self._window, self._size, self._answered_size = window_epochs, size, answered_size
        self._lock = RLock()
        self._connection: sqlite3.Connection | None = None

    @property
    def epoch(self) -> int:
        """The latest epoch that the pool knows of: a case's, or the one that was moved on to."""
        if self._is_missing:
            return 0
        with self._reading() as connection:
            return _epoch(connection)

    def add(self, case: HardCase) -> HardCase:
        """Take a failure.

        Args:
            case: A repeat of a known query counts as one failure more; what else it says replaces
                what is there, unless it comes from an earlier epoch.

        Returns:
            The case as it is in the pool now.

        Raises:
            ConfigError: If it has neither an id nor a question.
            EvolutionError: If the file cannot be written.
        """
        return self.add_all([case])[0]

    def add_all(self, cases: Iterable[HardCase]) -> list[HardCase]:
        """Take several failures, all or none of them; see `add`."""
        wanted = list(cases)
        for case in wanted:
            if not case.key:
                raise ConfigError("a hard case needs a question")
        with self._writing() as connection:
            stored = [self._put(connection, case) for case in wanted]
            self._prune(connection)
        return stored

    def resolve(self, keys: Collection[str]) -> int:
        """Drop queries that have been answered since.

        Args:
            keys: `HardCase.key` of each; unknown ones count for nothing.

        Returns:
            How many were dropped.
        """
        if self._is_missing:
            return 0
        with self._writing() as connection:
            return sum(drop_case(connection, "cases", key) for key in keys)

    def answer(self, case: HardCase) -> None:
        """Take a question that was answered well: it is no hard case any more.

        Args:
            case: If its right answer is given, or known from its failure, the question is kept.

        Raises:
            ConfigError: If it has neither an id nor a question.
            EvolutionError: If the file cannot be written.
        """
        if not case.key:
            raise ConfigError("an answered question needs its text")
        if self._is_missing and case.expected is None:
            return
        with self._writing() as connection:
            expected = case.expected
            for table in TABLES:
                known = find_case(connection, table, case.key)
                if expected is None and known is not None:
                    expected = known.expected
            drop_case(connection, "cases", case.key)
            if expected is not None:
                put_answered(connection, replace(case, expected=expected), self._answered_size)

    def answered(self) -> list[HardCase]:
        """Questions with right answers that were answered well, without memories, oldest first."""
        if self._is_missing:
            return []
        with self._reading() as connection:
            return read_cases(connection, "answered")

    def move_on(self, epoch: int) -> None:
        """Say that an epoch has come; cases that are older than the window then go.

        Args:
            epoch: One that is below the pool's epoch changes nothing.
        """
        with self._writing() as connection:
            _note_epoch(connection, epoch)
            self._prune(connection)

    def cases(self) -> list[HardCase]:
        """All cases, in the order in which they first failed."""
        if self._is_missing:
            return []
        with self._reading() as connection:
            return read_cases(connection, "cases")

    def __len__(self) -> int:
        if self._is_missing:
            return 0
        with self._reading() as connection:
            return int(connection.execute("SELECT count(*) FROM cases").fetchone()[0])

    def rewrite(self, change: Callable[[HardCase], HardCase | None]) -> int:
        """Change cases and answered questions, or remove them.

        The file is rewritten, so that no old text stays in it.

        Args:
            change: Gives what a case becomes, itself if it stays as it is; None removes it.

        Returns:
            How many were changed or removed.
        """
        if self._is_missing:
            return 0
        num_changed = 0
        with self._writing() as connection:
            for table in TABLES:
                num_changed += rewrite_cases(connection, table, change)
        if num_changed:
            with self._reading() as connection:
                connection.execute("VACUUM")
        return num_changed

    def clear(self) -> None:
        """Remove all cases and answered questions; the epoch stays."""
        self.rewrite(lambda case: None)

    def to_json(self) -> dict[str, JsonValue]:
        """The cases, answered questions and the epoch as plain JSON values, for a checkpoint."""
        with self._lock:
            return {
                "epoch": self.epoch,
                "cases": [dump(case) for case in self.cases()],
                "answered": [dump(case) for case in self.answered()],
            }

    def restore(self, content: Mapping[str, JsonValue]) -> None:
        """Replace everything by what `to_json` gave.

        Raises:
            EvolutionError: If the values are not such; nothing is changed then.
        """
        try:
            cases = _loaded(content["cases"])
            questions = _loaded(content.get("answered", []))
            epoch = int(cast(int, content["epoch"]))
        except (KeyError, TypeError, ValueError) as error:
            raise EvolutionError(f"this is no saved pool of hard cases: {error}") from error
        with self._writing() as connection:
            connection.execute("DELETE FROM cases")
            connection.execute("DELETE FROM answered")
            connection.execute("DELETE FROM notes")
            _note_epoch(connection, epoch)
            for case in cases:
                self._put(connection, case)
            for question in questions:
                put_answered(connection, question, self._answered_size)
            self._prune(connection)

    def close(self) -> None:
        """Close the file. Closing twice is no error."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _put(self, connection: sqlite3.Connection, case: HardCase) -> HardCase:
        known = find_case(connection, "cases", case.key)
        failures = max(1, case.fail_count)
        kept = replace(case, fail_count=failures, trajectory=_shortened(case.trajectory))
        if known is not None:
            newest = kept if case.epoch >= known.epoch else known
            kept = replace(
                newest,
                id=known.id,
                question=known.question,
                expected=newest.expected if newest.expected is not None else known.expected,
                fail_count=known.fail_count + 1,
            )
        elif case.expected is None:
            served = find_case(connection, "answered", case.key)
            kept = replace(kept, expected=served.expected if served else None)
        drop_case(connection, "answered", case.key)
        connection.execute(
            "INSERT INTO cases (key, epoch, importance, document) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (key) DO UPDATE SET epoch = excluded.epoch, "
            "importance = excluded.importance, document = excluded.document",
            (kept.key, kept.epoch, importance(kept), json.dumps(dump(kept))),
        )
        _note_epoch(connection, case.epoch)
        return kept

    def _prune(self, connection: sqlite3.Connection) -> None:
        if self._window:
            oldest = _epoch(connection) - self._window
            connection.execute("DELETE FROM cases WHERE epoch < ?", (oldest,))
        if self._size:
            # Of equally important cases the earlier epoch goes, then the one that came later.
            connection.execute(
                "DELETE FROM cases WHERE seq NOT IN (SELECT seq FROM cases "
                "ORDER BY importance DESC, epoch DESC, seq LIMIT ?)",
                (self._size,),
            )

    @property
    def _is_missing(self) -> bool:
        """Whether there is no file yet; looking at a pool makes none."""
        return self._path is not None and self._connection is None and not self._path.exists()

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = _connect(self._path)
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        with _transaction(connection):
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if version > FORMAT_VERSION:
                raise EvolutionError(
                    f"{self._place} has format version {version}; this package reads up to "
                    f"{FORMAT_VERSION}: upgrade langgraph-memskill"
                )
            if version < FORMAT_VERSION:
                for statements in SCHEMAS[version:]:
                    for statement in statements:
                        connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")

    @property
    def _place(self) -> str:
        where = "" if self._path is None else f" {str(self._path)!r}"
        return f"the pool of hard cases{where}"

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._translated("read"):
            yield self._opened()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._translated("written"):
            connection = self._opened()
            with _transaction(connection):
                yield connection

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise EvolutionError(f"{self._place} cannot be {doing}: {error}") from error
        except ValidationError as error:
            raise EvolutionError(
                f"{self._place} is damaged: {error.error_count()} values of a case cannot be read; "
                "remove the file to start a new pool"
            ) from error


def _connect(path: Path | None) -> sqlite3.Connection:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(
        ":memory:" if path is None else path, isolation_level=None, check_same_thread=False
    )
    connection.row_factory = sqlite3.Row
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    # No write-ahead log: processes that make a file at once would lock each other out.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = ON")
    return connection


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _epoch(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT value FROM notes WHERE name = 'epoch'").fetchone()
    return 0 if row is None else int(row["value"])


def _note_epoch(connection: sqlite3.Connection, epoch: int) -> None:
    connection.execute(
        "INSERT INTO notes VALUES ('epoch', ?) "
        "ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
        (epoch,),
    )


def _loaded(documents: JsonValue) -> list[HardCase]:
    return [load(HardCase, found) for found in cast(list[dict[str, JsonValue]], documents)]


def _shortened(trajectory: str | None) -> str | None:
    """The end of a long trajectory: that is where a task fails."""
    if trajectory is None or len(trajectory) <= _MAX_TRAJECTORY_CHARS:
        return trajectory
    return f"... {trajectory[-_MAX_TRAJECTORY_CHARS:]}"
