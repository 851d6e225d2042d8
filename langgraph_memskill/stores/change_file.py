"""The SQLite file of a change log: how it is opened, made, and brought to the present format."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from langgraph_memskill.errors import ChangeLogError
from langgraph_memskill.stores.change_rows import NAMESPACE_INDEX, SCHEMA

FORMAT_VERSION = 2
"""`PRAGMA user_version` of the file."""

_BUSY_MS = 60_000

Migration = Callable[[sqlite3.Connection], object]
MIGRATIONS: dict[int, Migration] = {1: lambda connection: connection.execute(NAMESPACE_INDEX)}
"""What turns a file of format n into one of format n + 1, by n; all in one transaction."""


def open_file(path: Path | None, *, read_only: bool) -> sqlite3.Connection:
    """Open a file, making it or bringing it to the present format if it may be written.

    Args:
        path: Where; None is in memory.
        read_only: Whether nothing at all may be written.

    Raises:
        ChangeLogError: If a newer version made it, or it is too old to be only read.
        sqlite3.Error: If it cannot be opened.
    """
    connection = _connect(path, read_only=read_only)
    place = "the change log" if path is None else f"the change log {str(path)!r}"
    try:
        _prepare(connection, place, read_only=read_only)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, place: str, *, read_only: bool) -> None:
    version = _version(connection)
    if version > FORMAT_VERSION:
        raise ChangeLogError(
            f"{place} has format version {version}; this package reads up to {FORMAT_VERSION}: "
            "upgrade langgraph-memskill"
        )
    if version == FORMAT_VERSION:
        return
    if read_only:
        raise ChangeLogError(
            f"{place} has format version {version} and cannot be read as it is: open it for "
            "writing once"
        )
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection)  # another process may have been quicker
        if version == 0:
            for statement in _statements(SCHEMA):
                connection.execute(statement)
            version = FORMAT_VERSION
        for old in range(version, FORMAT_VERSION):
            MIGRATIONS[old](connection)
        connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _connect(path: Path | None, *, read_only: bool) -> sqlite3.Connection:
    options: dict[str, Any] = {"isolation_level": None, "check_same_thread": False}
    connection: sqlite3.Connection
    if path is None:
        connection = sqlite3.connect(":memory:", **options)
    elif read_only:
        # Without a journal nobody writes; only then may SQLite be told to make no files at all.
        journal = path.with_name(f"{path.name}-wal")
        suffix = "mode=ro" if journal.exists() else "mode=ro&immutable=1"
        connection = sqlite3.connect(f"{path.as_uri()}?{suffix}", uri=True, **options)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, **options)
    connection.row_factory = sqlite3.Row
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    if not read_only:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
    return connection


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
