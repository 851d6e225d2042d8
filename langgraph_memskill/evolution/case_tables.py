"""The tables of the pool's database: hard cases, and questions that were answered well.

Every function works within its caller's transaction.
"""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from langgraph_memskill.evolution.records import HardCase
from langgraph_memskill.state import dump, load

Table = Literal["cases", "answered"]

TABLES: tuple[Table, ...] = ("cases", "answered")
SCHEMAS = (
    (
        "CREATE TABLE cases (seq INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, "
        "epoch INTEGER NOT NULL, importance REAL NOT NULL, document TEXT NOT NULL)",
        "CREATE TABLE notes (name TEXT PRIMARY KEY, value INTEGER NOT NULL)",
    ),
    (
        "CREATE TABLE answered (seq INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, "
        "document TEXT NOT NULL)",
    ),
)
"""What each format version adds to the one before."""


def read_cases(connection: sqlite3.Connection, table: Table) -> list[HardCase]:
    """All of a table, in the order in which they came."""
    rows = connection.execute(f"SELECT document FROM {table} ORDER BY seq").fetchall()
    return [_case(row["document"]) for row in rows]


def find_case(connection: sqlite3.Connection, table: Table, key: str) -> HardCase | None:
    """The case of a key."""
    row = connection.execute(f"SELECT document FROM {table} WHERE key = ?", (key,)).fetchone()
    return None if row is None else _case(row["document"])


def drop_case(connection: sqlite3.Connection, table: Table, key: str) -> int:
    """Remove the case of a key; says how many there were, 0 or 1."""
    return connection.execute(f"DELETE FROM {table} WHERE key = ?", (key,)).rowcount


def put_answered(connection: sqlite3.Connection, case: HardCase, size: int) -> None:
    """Keep a question as the latest one, and of all only the latest.

    Args:
        connection: Of the database.
        case: Its memories and diagnosis are left out: nobody needs these texts.
        size: Questions at most; 0 is no limit.
    """
    kept = replace(case, memories=(), diagnosis=None)
    drop_case(connection, "answered", kept.key)
    connection.execute(
        "INSERT INTO answered (key, document) VALUES (?, ?)", (kept.key, json.dumps(dump(kept)))
    )
    if size:
        connection.execute(
            "DELETE FROM answered WHERE seq NOT IN "
            "(SELECT seq FROM answered ORDER BY seq DESC LIMIT ?)",
            (size,),
        )


def rewrite_cases(
    connection: sqlite3.Connection, table: Table, change: Callable[[HardCase], HardCase | None]
) -> int:
    """Change the cases of a table, or remove them where `change` gives None; says how many."""
    num_changed = 0
    for row in connection.execute(f"SELECT seq, document FROM {table}").fetchall():
        case = _case(row["document"])
        changed = change(case)
        if changed == case:
            continue
        num_changed += 1
        if changed is None:
            connection.execute(f"DELETE FROM {table} WHERE seq = ?", (row["seq"],))
        else:
            connection.execute(
                f"UPDATE {table} SET document = ? WHERE seq = ?",
                (json.dumps(dump(changed)), row["seq"]),
            )
    return num_changed


def _case(document: str) -> HardCase:
    return load(HardCase, json.loads(document))
