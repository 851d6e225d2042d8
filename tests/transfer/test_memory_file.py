"""The export format: whole, or refused with the line and field that is wrong."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_memskill.errors import DataError
from langgraph_memskill.records import Memory, MemoryVersion, Source
from langgraph_memskill.transfer.memory_file import (
    FileEntry,
    MemoryFile,
    write_memory_file,
)

NS = ("memories", "u1")
AT = datetime(2025, 5, 5, 12, tzinfo=UTC)


def version(content: str) -> MemoryVersion:
    return MemoryVersion(
        content=content,
        change_id="c",
        cause="span",
        skills=("insert",),
        model="m",
        span_id="e/0",
        at=AT,
    )


def entry(memory_id: str = "a", content: str = "one", *, is_deleted: bool = False) -> FileEntry:
    memory = Memory(
        id=memory_id,
        content=content,
        namespace=NS,
        created_at=AT,
        updated_at=AT,
        skills=("insert",),
        sources=(Source(span_id="e/0", turn_ids=("D1:1",), time="5 May", details='{"x": 1}'),),
        model="m",
        history=(version(content), *((version(""),) if is_deleted else ())),
    )
    return FileEntry(memory=memory, is_deleted=is_deleted)


def write(path: Path, *entries: FileEntry) -> Path:
    write_memory_file(path, entries, encoder="words", dims=48)
    return path


def checked(path: Path) -> list[FileEntry]:
    with MemoryFile(path) as file:
        file.check()
        return list(file.entries())


def resealed(lines: list[dict[str, Any]]) -> bytes:
    """The lines with right checksums, whatever is in them."""

    def canonical(document: dict[str, Any]) -> bytes:
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

    body = b""
    for line in lines:
        bare = {name: value for name, value in line.items() if not name.endswith("_sha256")}
        digest = hashlib.sha256(canonical(bare)).hexdigest()
        body += canonical({**bare, "line_sha256": digest}) + b"\n"
    end = {"kind": "end", "file_sha256": hashlib.sha256(body).hexdigest()}
    return body + canonical(end) + b"\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "m.jsonl", entry("a"), entry("b", "two", is_deleted=True))


def test_what_was_written_is_read(path: Path) -> None:
    assert checked(path) == [entry("a"), entry("b", "two", is_deleted=True)]
    header, *_, end = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert header["format"] == "langgraph-memskill memories"
    assert (header["version"], header["encoder"], header["dims"]) == (1, "words", 48)
    assert (header["num_memories"], header["num_deleted"]) == (1, 1)
    assert end["kind"] == "end"
    assert path.stat().st_mode & 0o077 == 0


@given(content=st.text(min_size=1), memory_id=st.text(min_size=1))
def test_every_text_survives(
    tmp_path_factory: pytest.TempPathFactory, content: str, memory_id: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    given_entry = entry(memory_id, content + "\ud800\0\u2028")
    assert checked(write(path, given_entry)) == [given_entry]


def test_an_empty_file_of_memories(tmp_path: Path) -> None:
    assert checked(write(tmp_path / "m.jsonl")) == []


def test_a_cut_at_any_place_is_noticed(path: Path) -> None:
    whole = path.read_bytes()
    for end in [0, 1, *range(10, len(whole) - 1, 97), len(whole) - 2]:
        path.write_bytes(whole[:end])
        with pytest.raises(DataError, match=r"cut off|is no|end is missing|checksum|header"):
            checked(path)


def test_lines_that_were_cut_out_or_moved_are_noticed(path: Path) -> None:
    header, first, second, end = path.read_bytes().splitlines(keepends=True)
    for lines in ([header, first, end], [header, second, first, end], [header, end]):
        path.write_bytes(b"".join(lines))
        with pytest.raises(DataError, match="the file's checksum is wrong"):
            checked(path)
    path.write_bytes(b"".join([header, first, second, end, first]))
    with pytest.raises(DataError, match="line 5: there is something behind the end"):
        checked(path)


def test_an_edit_names_the_line(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"content":"one"', b'"content":"won"', 1))
    with pytest.raises(DataError, match="line 2: the line's checksum is wrong"):
        checked(path)


Edit = Callable[[list[dict[str, Any]]], object]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda lines: lines[1].pop("content"), "line 2: field 'content'"),
        (lambda lines: lines[1].update(content=5), "line 2: field 'content'"),
        (lambda lines: lines[1].update(created_at="soon"), "line 2: field 'created_at'"),
        (lambda lines: lines[1].update(created_at="2025-05-05T12:00:00"), "has no time zone"),
        (lambda lines: lines[1].update(kind="thing"), "line 2: field 'kind'"),
        (lambda lines: lines[1].update(id=""), "line 2: field 'id'"),
        (lambda lines: lines[1]["history"][0].pop("at"), "line 2: field 'history.0.at'"),
        (lambda lines: lines[1].update(namespace=["memskill", "deleted"]), "'namespace'"),
        (lambda lines: lines[1].update(namespace=["memories", "a.b"]), "'namespace'"),
        (lambda lines: lines[1].update(namespace=[]), "'namespace'"),
        (lambda lines: lines[2].update(history=[]), "line 3: field 'history'"),
        (lambda lines: lines[2].update(lines[1]), "line 3: the memory 'a' is there twice"),
        (lambda lines: lines[0].update(num_memories=7), "the header tells of 7 memories"),
        (lambda lines: lines[0].update(version=2), "line 1: field 'version': the file has format"),
        (lambda lines: lines[0].update(format="other"), "line 1: this is no file of"),
        (lambda lines: lines.pop(0), "line 1: this is no file of"),
    ],
)
def test_what_is_wrong_is_named(path: Path, edit: Edit, message: str) -> None:
    lines = [json.loads(line) for line in path.read_bytes().splitlines()[:-1]]
    edit(lines)
    path.write_bytes(resealed(lines))
    with pytest.raises(DataError, match=message):
        checked(path)


def test_sealing_again_without_an_edit_is_right(path: Path) -> None:
    lines = [json.loads(line) for line in path.read_bytes().splitlines()[:-1]]
    assert resealed(lines) == path.read_bytes()


@pytest.mark.parametrize(
    "content",
    [b"", b"hello\n", b"[1]\n", b'{"a": 1}\n', b"\xff\xfe\n", b"[" * 100_000],
)
def test_another_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DataError, match=r"x, line 1: (this is no|it was cut)|was cut off"):
        checked(tmp_path / "x")


def test_no_file_and_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        MemoryFile(tmp_path / "none")
    with pytest.raises(DataError, match="cannot be written: No such file"):
        write(tmp_path / "none" / "m.jsonl", entry())


def test_a_failure_leaves_the_former_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def broken() -> Iterator[FileEntry]:
        yield entry("c")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_memory_file(path, broken(), encoder="words", dims=48)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left"):
        write(path, entry("c"))
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["m.jsonl"]
