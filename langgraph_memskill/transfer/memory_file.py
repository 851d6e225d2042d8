"""The file format of exported memories: JSON Lines that notice when they are cut or edited.

The first line is the header, the last one the end; each line between is one memory with all that
is known of it. Every line has a checksum of its own, so that a message can name the line, and the
end has one of all lines before it.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

from pydantic import ValidationError

from langgraph_memskill.errors import DataError
from langgraph_memskill.namespaces import INTERNAL_LABEL, Namespace
from langgraph_memskill.records import Memory
from langgraph_memskill.state import Document, dump, load

FORMAT = "langgraph-memskill memories"
FORMAT_VERSION = 1

_LINE_SUM = "line_sha256"
_FILE_SUM = "file_sha256"
_MEMORY, _DELETED, _END = "memory", "deleted", "end"
_LONGEST_LINE = 1 << 28
_UNUSABLE_LABEL = re.compile(r"[.\0]")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One memory of a file."""

    memory: Memory
    is_deleted: bool = False
    """Whether it was deleted; the memory then is as it was before, its history tells the rest."""

    def moved_to(self, namespace: Namespace) -> "FileEntry":
        """The same memory in another namespace."""
        return replace(self, memory=replace(self.memory, namespace=namespace))


@dataclass(frozen=True, slots=True, kw_only=True)
class FileHeader:
    """The first line."""

    format: str
    version: int
    package: str
    """Version of the package that wrote the file."""
    encoder: str
    """The embedding model of the store that it comes from; a load embeds the texts anew."""
    dims: int
    created_at: datetime
    num_memories: int
    num_deleted: int


class FileContents(NamedTuple):
    """What a whole, sound file holds."""

    header: FileHeader
    namespaces: Mapping[Namespace, int]
    """How many memories each has, deleted ones included; in the order of the file."""


class Written(NamedTuple):
    """How much was written."""

    num_memories: int
    num_deleted: int


def write_memory_file(
    path: Path, entries: Iterable[FileEntry], *, encoder: str, dims: int
) -> Written:
    """Write a file; whoever reads the path sees the former file or the whole new one.

    Only the user who writes it may read it.

    Args:
        path: Where.
        entries: What; they are written one by one, so they need not be in memory together.
        encoder: Name of the store's embedding model.
        dims: Width of its vectors.

    Raises:
        DataError: If the file cannot be written; one that was there stays as it was.
    """
    # The header tells the counts, which are known only at the end: so the body is written first.
    with (
        _readable_errors(path, "written", "name a file in a folder that you may write to"),
        tempfile.TemporaryFile(dir=path.parent) as body,
    ):
        num_memories = num_deleted = 0
        for entry in entries:
            body.write(_line_of(entry))
            num_deleted += entry.is_deleted
            num_memories += not entry.is_deleted
        header = FileHeader(
            format=FORMAT,
            version=FORMAT_VERSION,
            package=version("langgraph-memskill"),
            encoder=encoder,
            dims=dims,
            created_at=datetime.now(UTC),
            num_memories=num_memories,
            num_deleted=num_deleted,
        )
        body.seek(0)
        _write_whole(path, _encoded(dump(header)), body)
    return Written(num_memories, num_deleted)


class MemoryFile:
    """A file that is read twice: first checked as a whole, then entry by entry."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            DataError: If it cannot be opened.
        """
        self.path = path
        with _readable_errors(path, "read", "name an existing file"):
            self._file = path.open("rb")

    def __enter__(self) -> Self:
        """Use it in a with statement; leaving that closes it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self._file.close()

    def check(self) -> FileContents:
        """Read and check all of it.

        Raises:
            DataError: If it is damaged, edited, cut off, or of another format; the message names
                the line, and the field where there is one.
        """
        header: FileHeader | None = None
        namespaces: dict[Namespace, int] = {}
        seen: set[tuple[Namespace, str]] = set()
        counts = {False: 0, True: 0}
        for number, found in self._lines():
            if isinstance(found, FileHeader):
                header = found
                continue
            key = (found.memory.namespace, found.memory.id)
            if key in seen:
                raise self._wrong(number, f"the memory {found.memory.id!r} is there twice")
            seen.add(key)
            counts[found.is_deleted] += 1
            namespaces[found.memory.namespace] = namespaces.get(found.memory.namespace, 0) + 1
        if header is None:
            raise self._wrong(1, f"this is no file of {FORMAT}: the header is missing")
        if (counts[False], counts[True]) != (header.num_memories, header.num_deleted):
            raise self._wrong(
                1,
                f"the header tells of {header.num_memories} memories and {header.num_deleted} "
                f"deleted ones, the file holds {counts[False]} and {counts[True]}",
            )
        return FileContents(header, namespaces)

    def entries(self) -> Iterator[FileEntry]:
        """Read the memories one by one; every line is checked once more."""
        for _, found in self._lines():
            if isinstance(found, FileEntry):
                yield found

    def _lines(self) -> Iterator[tuple[int, FileHeader | FileEntry]]:
        """The header and the entries with their line numbers; an error if the end is not right."""
        self._file.seek(0)
        digest, number, is_over = hashlib.sha256(), 0, False
        while line := self._read_line():
            number += 1
            if is_over:
                raise self._wrong(number, "there is something behind the end of the file")
            document = self._document(number, line)
            if document.get("kind") == _END:
                is_over = True
                if document.get(_FILE_SUM) != digest.hexdigest():
                    raise self._wrong(number, "the file's checksum is wrong: it was edited")
                continue
            digest.update(line)
            yield number, self._record(number, document)
        if not is_over:
            raise DataError(f"{self.path} was cut off behind line {number}: its end is missing")

    def _read_line(self) -> bytes:
        with _readable_errors(self.path, "read", "copy it to a sound disk"):
            return self._file.readline(_LONGEST_LINE)

    def _document(self, number: int, line: bytes) -> Document:
        try:
            document = json.loads(line)
        except (ValueError, RecursionError) as error:
            what = (
                "it was cut off here" if not line.endswith(b"\n") else f"this is no JSON: {error}"
            )
            raise self._wrong(number, what) from error
        if not isinstance(document, dict):
            raise self._wrong(number, "this is no JSON object")
        if number == 1:
            self._check_format(document)
        if document.get("kind") != _END and document.pop(_LINE_SUM, None) != _sum_of(document):
            raise self._wrong(number, "the line's checksum is wrong: it was edited or damaged")
        return document

    def _check_format(self, document: Document) -> None:
        if document.get("format") != FORMAT:
            raise self._wrong(1, f"this is no file of {FORMAT}")
        found = document.get("version")
        if not isinstance(found, int) or found > FORMAT_VERSION:
            raise self._wrong(
                1,
                f"field 'version': the file has format {found!r}, this package reads up to "
                f"{FORMAT_VERSION}: upgrade langgraph-memskill",
            )

    def _record(self, number: int, document: Document) -> FileHeader | FileEntry:
        try:
            if number == 1:
                return load(FileHeader, document)
            kind = document.get("kind")
            if kind not in (_MEMORY, _DELETED):
                raise self._wrong(number, f"field 'kind': {kind!r} is neither memory nor deleted")
            memory = load(Memory, document)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(map(str, first["loc"]))
            raise self._wrong(number, f"field {field!r}: {first['msg']}") from error
        if problem := _problem(memory, is_deleted=kind == _DELETED):
            raise self._wrong(number, problem)
        return FileEntry(memory=memory, is_deleted=kind == _DELETED)

    def _wrong(self, number: int, what: str) -> DataError:
        return DataError(f"{self.path}, line {number}: {what}. Nothing was loaded")


def _problem(memory: Memory, *, is_deleted: bool) -> str | None:
    """What is wrong with a memory of the right form; None if nothing is."""
    labels = memory.namespace
    if not labels or labels[0] in (INTERNAL_LABEL, "langgraph"):
        return f"field 'namespace': {list(labels)!r} is no namespace of memories"
    if any(not label or _UNUSABLE_LABEL.search(label) for label in labels):
        return f"field 'namespace': a label of {list(labels)!r} is empty or has a dot in it"
    if not memory.id:
        return "field 'id': it is empty"
    times = {"created_at": memory.created_at, "updated_at": memory.updated_at}
    times |= {f"history.{n}.at": version.at for n, version in enumerate(memory.history)}
    for field, time in times.items():
        if time.tzinfo is None:
            return f"field {field!r}: the time has no time zone"
    if is_deleted and not memory.history:
        return "field 'history': a deleted memory needs one"
    return None


def _line_of(entry: FileEntry) -> bytes:
    document = dump(replace(entry.memory, score=None))
    del document["score"]
    return _encoded({"kind": _DELETED if entry.is_deleted else _MEMORY, **document})


def _encoded(document: Document) -> bytes:
    return _canonical(document | {_LINE_SUM: _sum_of(document)}) + b"\n"


def _sum_of(document: Document) -> str:
    return hashlib.sha256(_canonical(document)).hexdigest()


def _canonical(document: Document) -> bytes:
    # ASCII, so that every text survives, also halves of characters.
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii")


def _write_whole(path: Path, header: bytes, body: BinaryIO) -> None:
    digest = hashlib.sha256(header)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(header)
            for line in body:
                digest.update(line)
            body.seek(0)
            shutil.copyfileobj(body, file)
            file.write(_canonical({"kind": _END, _FILE_SUM: digest.hexdigest()}) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


@contextmanager
def _readable_errors(path: Path, done: str, advice: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"the file {str(path)!r} cannot be {done}: {error.strerror or error}. Please {advice}"
        ) from error
