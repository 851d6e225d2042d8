"""The SQLite file of a lexical index."""

import sqlite3
from pathlib import Path

FORMAT_VERSION = 1
"""`PRAGMA user_version` of the file; a file of another version is made anew."""

_BUSY_MS = 60_000
_SCHEMA = (
    "CREATE TABLE memories (place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, "
    "session TEXT NOT NULL, created TEXT NOT NULL)",
    "CREATE INDEX memories_session ON memories (session, created, place)",
    "CREATE VIRTUAL TABLE words USING fts5 (text, "
    "tokenize = 'porter unicode61 remove_diacritics 2')",
    "CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
)


def connect(path: Path | None) -> sqlite3.Connection:
    """Open the file of an index, making it if it is not there or of another version.

    Args:
        path: Where; None is in memory.

    Returns:
        A connection in autocommit mode that any one thread at a time may use.

    Raises:
        sqlite3.Error: If it cannot be opened, or is damaged.
        OSError: If its folder cannot be made.
    """
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(
        ":memory:" if path is None else path, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        connection.execute("PRAGMA synchronous = NORMAL")
        if _version(connection) != FORMAT_VERSION:
            _make(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _make(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _version(connection) != FORMAT_VERSION:  # another process may have been quicker
            for name in ("memories", "words", "notes"):
                connection.execute(f"DROP TABLE IF EXISTS {name}")
            for statement in _SCHEMA:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
