import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_memskill.errors import ChangeLogError
from langgraph_memskill.records import Change, ChangeKind, Memory, Source
from langgraph_memskill.stores import change_file
from langgraph_memskill.stores.change_rows import change_of, row_of
from langgraph_memskill.stores.changes import ChangeLog

NS = ("memories", "u1")
START = datetime(2026, 1, 1, 12, tzinfo=UTC)


def _memory(content: str, memory_id: str = "m") -> Memory:
    return Memory(
        id=memory_id,
        content=content,
        namespace=NS,
        created_at=START,
        updated_at=START,
        sources=(Source(span_id="s/0"),),
    )


def _change(version: int, content: str | None, **other: object) -> Change:
    fields: dict[str, object] = {
        "id": f"c{version}",
        "memory_id": "m",
        "namespace": NS,
        "version": version,
        "kind": ChangeKind.INSERT if version == 1 else ChangeKind.UPDATE,
        "cause": "span",
        "after": None if content is None else _memory(content),
        "at": START + timedelta(seconds=version),
    }
    return Change(**(fields | other))  # type: ignore[arg-type]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[ChangeLog]:
    with ChangeLog(tmp_path / "changes.db") as opened:
        yield opened


@given(st.text(st.characters(exclude_categories=())), st.text(st.characters(exclude_categories=())))
def test_every_text_survives(content: str, name: str) -> None:
    log = ChangeLog()
    memory_id = f"x{name}"
    change = _change(
        1, None, after=_memory(content, memory_id), memory_id=memory_id, span_id=name, id=memory_id
    )
    log.append((), [change])
    [read] = log.entries(NS, memory_id=memory_id)
    assert (read.content, read.span_id, read.id) == (content, name, memory_id)
    assert log.look(NS, [memory_id], [memory_id]).applied[memory_id, memory_id] == read


def test_a_text_with_lone_surrogates_survives_on_disk(log: ChangeLog) -> None:
    log.append((), [_change(1, "half \ud83d of a \0 smile")])
    assert [c.content for c in log.read_all()] == ["half \ud83d of a \0 smile"]


def test_pending_changes_are_not_shown_until_settled(log: ChangeLog) -> None:
    log.append([_change(1, "a"), _change(2, "b")])
    assert log.entries() == []
    assert log.num_pending() == 2
    assert log.namespaces(pending=True) == [NS]
    assert log.look(NS, ["m"]).pending
    log.settle(NS, dropped=[_change(2, "b")])
    assert [c.content for c in log.entries(NS)] == ["a"]
    assert not log.look(NS, ["m"]).pending


def test_filters_and_the_newest_so_many(log: ChangeLog) -> None:
    changes = [_change(n, str(n), run_id="r" if n % 2 else None) for n in range(1, 6)]
    log.append((), changes)
    assert [c.version for c in log.entries(limit=2)] == [4, 5]
    assert [c.version for c in log.entries(run_id="r")] == [1, 3, 5]
    assert [c.version for c in log.entries(change_id="c4")] == [4]
    assert log.entries(("memories", "u2")) == []
    assert log.last(NS)["m"].version == 5


def test_the_table_is_append_only(log: ChangeLog) -> None:
    log.append((), [_change(1, "a")])
    assert log.path is not None
    with sqlite3.connect(log.path) as raw:
        for statement in (
            "DELETE FROM changes",
            "UPDATE changes SET after_text = '\"b\"'",
            "UPDATE changes SET state = 'pending'",
            "UPDATE changes SET cause = '\"x\"'",
            "UPDATE changes SET after_text = NULL",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                raw.execute(statement)
    assert [c.content for c in log.entries()] == ["a"]


def test_a_newer_format_is_refused(log: ChangeLog) -> None:
    log.close()
    assert log.path is not None
    with sqlite3.connect(log.path) as raw:
        raw.execute(f"PRAGMA user_version = {change_file.FORMAT_VERSION + 1}")
    with pytest.raises(ChangeLogError, match="upgrade langgraph-memskill"):
        ChangeLog(log.path)


def test_an_older_format_is_brought_up(log: ChangeLog, monkeypatch: pytest.MonkeyPatch) -> None:
    log.append((), [_change(1, "a")])
    log.close()

    def add_column(connection: sqlite3.Connection) -> None:
        connection.execute("ALTER TABLE changes ADD COLUMN note TEXT")

    present = change_file.FORMAT_VERSION
    monkeypatch.setattr(change_file, "FORMAT_VERSION", present + 1)
    monkeypatch.setitem(change_file.MIGRATIONS, present, add_column)
    assert log.path is not None
    with pytest.raises(ChangeLogError, match="open it for writing"):
        ChangeLog(log.path, read_only=True)
    with ChangeLog(log.path) as newer:
        assert [c.content for c in newer.entries()] == ["a"]
    with sqlite3.connect(log.path) as raw:
        assert raw.execute("PRAGMA user_version").fetchone() == (present + 1,)
        raw.execute("SELECT note FROM changes")


def test_a_log_of_the_first_format_gets_its_index(log: ChangeLog) -> None:
    log.append((), [_change(1, "a")])
    log.close()
    assert log.path is not None
    with sqlite3.connect(log.path) as raw:
        raw.execute("DROP INDEX changes_namespace")
        raw.execute("PRAGMA user_version = 1")
    with ChangeLog(log.path) as newer:
        [change] = newer.entries()
        assert newer.newest(change.namespace) == change.seq
    with sqlite3.connect(log.path) as raw:
        plan = raw.execute(
            "EXPLAIN QUERY PLAN SELECT max(seq) FROM changes WHERE namespace = ?", ("x",)
        ).fetchall()
    assert "changes_namespace" in str(plan)


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"no database at all, but long enough to look at" * 40)
    with pytest.raises(ChangeLogError, match=r"x\.db"):
        ChangeLog(tmp_path / "x.db")
    with pytest.raises(ChangeLogError):
        ChangeLog(tmp_path / "missing.db", read_only=True)
    assert not (tmp_path / "missing.db").exists()


def test_reading_only_writes_nothing(log: ChangeLog, tmp_path: Path) -> None:
    log.append((), [_change(1, "a")])
    log.close()
    before = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in tmp_path.rglob("*")}
    with ChangeLog(tmp_path / "changes.db", read_only=True) as reader:
        assert [c.content for c in reader.entries()] == ["a"]
        assert reader.check() == []
        with pytest.raises(ChangeLogError):
            reader.append((), [_change(2, "b")])
    assert {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in tmp_path.rglob("*")} == before


def test_import_is_idempotent_and_refuses_a_clash(log: ChangeLog) -> None:
    changes = [_change(1, "a"), _change(2, "b")]
    assert log.import_changes(changes) == 2
    assert log.import_changes(changes) == 0
    with pytest.raises(ChangeLogError, match="has the number 2"):
        log.import_changes([_change(1, "x", memory_id="new"), _change(2, "z", id="other")])
    assert [c.memory_id for c in log.read_all()] == ["m", "m"]


def test_reading_all_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("langgraph_memskill.stores.changes._PAGE", 2)
    log = ChangeLog()
    log.append((), [_change(n, str(n)) for n in range(1, 6)])
    assert [c.version for c in log.read_all(NS)] == [1, 2, 3, 4, 5]


def test_gaps_are_found(log: ChangeLog) -> None:
    log.append((), [_change(1, "a"), _change(3, "c")])
    assert log.check() == ["memory 'm' has 2 changes, but its last number is 3"]


def test_threads_share_a_log(log: ChangeLog) -> None:
    def write(worker: int) -> None:
        for n in range(20):
            change = _change(1, "x", memory_id=f"{worker}.{n}", id=f"{worker}.{n}")
            log.append((), [change])

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(log.entries()) == 80


def test_a_closed_log_says_so(log: ChangeLog) -> None:
    log.close()
    log.close()
    with pytest.raises(ChangeLogError, match="closed"):
        log.entries()


def test_rows_are_read_back_as_they_were(log: ChangeLog) -> None:
    change = _change(
        2,
        "new",
        before=_memory("old"),
        skills=("a", "b"),
        model="m",
        thread_id="t",
        run_id="r",
        undoes="c1",
        purged_at=START,
    )
    names = ("seq", "state", *_columns())
    row = dict(zip(names, (7, *row_of(change, "settled")), strict=True))
    read = change_of(row)
    assert (read.seq, read.previous, read.content) == (7, "old", "new")
    assert read.before == _memory("old")
    assert (read.skills, read.thread_id, read.undoes) == (("a", "b"), "t", "c1")


def _columns() -> tuple[str, ...]:
    from langgraph_memskill.stores.change_rows import COLUMNS

    return COLUMNS
