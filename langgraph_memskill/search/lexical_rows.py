"""What is in the SQLite file of a lexical index: memories and their words."""

import re
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC

from langgraph_memskill.records import Memory
from langgraph_memskill.search.fusion import Neighbours
from langgraph_memskill.stop_words import STOP_WORDS

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_APOSTROPHE = re.compile(r"['’]")
_MOST_WORDS = 64
"""Words of a question that are looked for; a longer one is a text rather than a question."""
_READ_CHARACTERS = 20_000
_MOST_VARIABLES = 500
_FED = "fed"


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write all or nothing; other writers wait."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def read_fed(connection: sqlite3.Connection) -> int | None:
    """The `seq` of the last change that the index knows; None if it was never built."""
    row = connection.execute("SELECT value FROM notes WHERE name = ?", (_FED,)).fetchone()
    return None if row is None else int(row[0])


def note_fed(connection: sqlite3.Connection, seq: int) -> None:
    """Note the `seq` of the last change that the index knows."""
    connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (_FED, str(seq)))


def put(connection: sqlite3.Connection, memory: Memory) -> None:
    """Write a memory, or its new text; it keeps its place among its neighbours."""
    key, text = index_text(memory.id), index_text(memory.content)
    row = connection.execute("SELECT place FROM memories WHERE id = ?", (key,)).fetchone()
    if row is not None:
        connection.execute("UPDATE words SET text = ? WHERE rowid = ?", (text, row[0]))
        return
    created = memory.created_at.astimezone(UTC).isoformat(timespec="microseconds")
    place = connection.execute(
        "INSERT INTO memories (id, session, created) VALUES (?, ?, ?)",
        (key, index_text(_session(memory)), created),
    ).lastrowid
    connection.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (place, text))


def remove(connection: sqlite3.Connection, memory_id: str) -> None:
    """Remove a memory, if it is there."""
    key = index_text(memory_id)
    row = connection.execute("SELECT place FROM memories WHERE id = ?", (key,)).fetchone()
    if row is not None:
        connection.execute("DELETE FROM words WHERE rowid = ?", row)
        connection.execute("DELETE FROM memories WHERE place = ?", row)


def _session(memory: Memory) -> str:
    """What a memory's neighbours have in common with it: the session, or else the episode."""
    if not memory.sources:
        return ""
    source = memory.sources[0]
    return source.session or source.span_id.rpartition("/")[0]


def search_words(
    connection: sqlite3.Connection, words: Sequence[str], limit: int
) -> dict[str, float]:
    """Find memories by words of `words_of_query`: BM25 scores by id, highest first."""
    count = "SELECT count(*) FROM words WHERE words MATCH ?"
    total = connection.execute("SELECT count(*) FROM memories").fetchone()[0]
    frequency = {word: connection.execute(count, (f'"{word}"',)).fetchone()[0] for word in words}
    # BM25 gives a word that half of the memories have no weight, but takes its time over it.
    telling = [word for word in words if 0 < 2 * frequency[word] <= total]
    chosen = telling or [word for word in words if frequency[word]]
    if not chosen:
        return {}
    rows = connection.execute(
        "SELECT m.id, -w.rank FROM words AS w JOIN memories AS m ON m.place = w.rowid "
        "WHERE words MATCH ? ORDER BY w.rank, w.rowid LIMIT ?",
        (" OR ".join(f'"{word}"' for word in chosen), limit),
    )
    return dict(rows)


def read_neighbours(connection: sqlite3.Connection, ids: Collection[str]) -> dict[str, Neighbours]:
    """The memories before and after each memory in its session, by id."""
    beside = (
        "(SELECT n.id FROM memories AS n WHERE n.session = m.session AND "
        "(n.created, n.place) {sign} (m.created, m.place) "
        "ORDER BY n.created {order}, n.place {order} LIMIT 1)"
    )
    before = beside.format(sign="<", order="DESC")
    after = beside.format(sign=">", order="ASC")
    rows = read_rows(
        connection, f"SELECT m.id, {before}, {after} FROM memories AS m WHERE m.id IN ({{}})", ids
    )
    return {key: Neighbours(*others) for key, *others in rows}


def read_texts(connection: sqlite3.Connection, ids: Collection[str]) -> dict[str, str]:
    """What the index has as the texts of memories, by id."""
    rows = read_rows(
        connection,
        "SELECT m.id, w.text FROM memories AS m JOIN words AS w ON w.rowid = m.place "
        "WHERE m.id IN ({})",
        ids,
    )
    return {row[0]: row[1] for row in rows}


def read_rows(
    connection: sqlite3.Connection, query: str, ids: Collection[str]
) -> list[tuple[str, ...]]:
    """Ask about many ids; `query` has one `{}` for the list of them."""
    keys = [index_text(key) for key in ids]
    rows: list[tuple[str, ...]] = []
    for start in range(0, len(keys), _MOST_VARIABLES):
        some = keys[start : start + _MOST_VARIABLES]
        rows += connection.execute(query.format(", ".join("?" * len(some))), some).fetchall()
    return rows


def words_of_query(query: str) -> list[str]:
    """The distinct words of a query that tell something; all of them if none does."""
    found = _WORD.findall(index_text(query[:_READ_CHARACTERS]).casefold())
    telling = [word for word in found if word.replace("’", "'") not in STOP_WORDS] or found
    parts = [part for word in telling for part in _APOSTROPHE.split(word)]
    # What is left of "Ann's" and "won't" are single letters.
    words = [part for part in parts if len(part) > 1 or part.isdigit()] or parts
    return list(dict.fromkeys(words))[:_MOST_WORDS]


def index_text(text: str) -> str:
    """A text that SQLite can hold: without lone surrogates and NULs."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", " ")
