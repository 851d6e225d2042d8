"""Trace files in their folder: whole or not there at all, and what of them can be read.

A file is written under a hidden name and renamed when it is complete, so a run that is killed
leaves whole files and perhaps one hidden one. Files are never changed. When small files are joined,
the new file names them in its metadata; from that moment they do not count any more, whether they
have been removed yet or not.
"""

import json
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from langgraph_memskill.errors import TraceError
from langgraph_memskill.traces.rows import text_hash
from langgraph_memskill.traces.schema import SCHEMA_VERSION, TraceKind, arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

logger = logging.getLogger(__name__)

SUFFIX = ".parquet"
METADATA_KEY = b"memskill_traces"
ROW_GROUP_ROWS = 2048

_PARTIAL = ".partial"
_ENCODER_CHARS = 8
_NUM_EXAMPLES = 3


class FileInfo(NamedTuple):
    """A whole file of the present schema."""

    path: Path
    num_rows: int
    contains: frozenset[str]
    """Names of the files that it was made from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Something that was not read, and why."""

    what: str
    """"file", "row" or "episode"."""
    reason: str
    count: int
    examples: tuple[str, ...]
    """The first few names."""

    def __str__(self) -> str:
        """One line for people."""
        plural = "" if self.count == 1 else "s"
        more = ", ..." if self.count > len(self.examples) else ""
        named = f" ({', '.join(self.examples)}{more})" if self.examples else ""
        return f"skipped {self.count} {self.what}{plural}: {self.reason}{named}"


class SkipLog:
    """Counts what was not read."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], list[str]] = {}

    def add(self, what: str, reason: str, name: str) -> None:
        """Count one."""
        logger.warning("skipped %s %s: %s", what, name, reason)
        self._counts[what, reason] += 1
        examples = self._examples.setdefault((what, reason), [])
        if len(examples) < _NUM_EXAMPLES:
            examples.append(name)

    @property
    def entries(self) -> tuple[Skipped, ...]:
        """What was skipped so far, in order of first occurrence."""
        return tuple(
            Skipped(what=w, reason=r, count=n, examples=tuple(self._examples[w, r]))
            for (w, r), n in self._counts.items()
        )


def new_name(writer_id: str, number: int) -> str:
    """A file name that no other writer uses; names sort by time."""
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    return f"{now}-{writer_id}-{number:06d}{SUFFIX}"


def bank_name(version: str, encoder: str) -> str:
    """The name of a bank version's file; the same everywhere."""
    return f"{version}-{text_hash(encoder)[:_ENCODER_CHARS]}{SUFFIX}"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a hidden path to write to; it takes the place of `path` when all went well.

    Raises:
        OSError: If the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid4().hex[:12]}{_PARTIAL}")
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def open_writer(path: Path, kind: TraceKind, contains: Sequence[str] = ()) -> "pq.ParquetWriter":
    """Open a Parquet file of a kind for writing, compressed, with our metadata."""
    import pyarrow.parquet as pq

    about: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "kind": kind.value}
    if contains:
        about["contains"] = list(contains)
    schema = arrow_schema(kind)
    return pq.ParquetWriter(
        path,
        schema.with_metadata({METADATA_KEY: json.dumps(about).encode()}),
        compression="zstd",
        use_dictionary=[n for n in schema.names if n not in ("state", "probabilities")],
        write_statistics=False,
    )


def write_table(
    path: Path, kind: TraceKind, table: "pa.Table", contains: Sequence[str] = ()
) -> None:
    """Write a whole file at once.

    Raises:
        OSError: If it cannot be written; nothing is left of it.
    """
    with replacing(path) as partial, open_writer(partial, kind, contains) as file:
        file.write_table(table, row_group_size=ROW_GROUP_ROWS)


def join_files(path: Path, kind: TraceKind, sources: Sequence[FileInfo]) -> None:
    """Write one file with the rows of several, and remove those that are in the same folder.

    The new file names the others, so a kill at any point neither loses nor doubles a row.

    Raises:
        DamagedFileError: If one of them cannot be read to its end; nothing is changed then.
        OSError: If the file cannot be written.
    """
    names = [name for info in sources for name in (info.path.name, *sorted(info.contains))]
    columns = arrow_schema(kind).names
    with replacing(path) as partial, open_writer(partial, kind, names) as file:
        for table in _row_groups(sources, columns):
            file.write_table(table, row_group_size=ROW_GROUP_ROWS)
    for info in sources:
        if info.path.parent.resolve() == path.parent.resolve():
            info.path.unlink(missing_ok=True)


def _row_groups(sources: Sequence[FileInfo], columns: Sequence[str]) -> "Iterator[pa.Table]":
    """The rows of several files in tables of about a row group each."""
    import pyarrow as pa

    waiting: list[pa.RecordBatch] = []
    for info in sources:
        for batch in _all_batches(info, columns):
            waiting.append(batch)
            if sum(map(len, waiting)) >= ROW_GROUP_ROWS:
                yield pa.Table.from_batches(waiting)
                waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting)


def _all_batches(info: FileInfo, columns: Sequence[str]) -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa

    try:
        yield from batches_of(info, columns, ROW_GROUP_ROWS)
    except (OSError, TraceError, pa.ArrowException) as error:
        raise DamagedFileError(info) from error


class DamagedFileError(OSError):
    """A file cannot be read to its end."""

    def __init__(self, info: FileInfo) -> None:
        """Say which."""
        super().__init__(f"{info.path} is damaged: not all of its rows can be read")
        self.info = info


def find_files(folder: Path, kind: TraceKind, skipped: SkipLog) -> list[FileInfo]:
    """The files of a kind that can be read, sorted by name; files that others replace are left out.

    Args:
        folder: The folder of the traces.
        kind: Which files.
        skipped: Counts those that are unfinished, damaged or of another schema version.
    """
    inside = folder / kind.value
    found = []
    for path in sorted(inside.iterdir()) if inside.is_dir() else []:
        if path.name.endswith(_PARTIAL):
            skipped.add(
                "file", "unfinished: its process was killed, or is still writing", path.name
            )
        elif path.suffix == SUFFIX and not path.name.startswith("."):
            try:
                found.append(_read_info(path, kind))
            except FileNotFoundError:
                continue  # joined with others and removed since the folder was listed
            except _Unreadable as problem:
                skipped.add("file", str(problem), path.name)
    replaced = frozenset[str]().union(*(info.contains for info in found))
    return [info for info in found if info.path.name not in replaced]


def remove_replaced(folder: Path, kind: TraceKind) -> None:
    """Remove files that another one contains, which a kill may have left behind."""
    there = find_files(folder, kind, SkipLog())
    replaced = frozenset[str]().union(*(info.contains for info in there))
    for path in (folder / kind.value).glob(f"*{SUFFIX}"):
        if path.name in replaced:
            path.unlink(missing_ok=True)


def batches_of(
    info: FileInfo, columns: Sequence[str], batch_rows: int
) -> "Iterator[pa.RecordBatch]":
    """Stream a file.

    Raises:
        TraceError: If it was removed since it was listed.
        OSError: If it is damaged behind an intact footer; also pyarrow's own errors are of this
            kind or `ValueError`s.
    """
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(info.path)
    except FileNotFoundError as error:
        raise TraceError(
            f"{info.path} was removed while the traces were being read; its rows are in another "
            "file now: read again"
        ) from error
    with file:
        # Group by group: one iteration over all of them keeps what it has read.
        for group in range(file.num_row_groups):
            yield from file.iter_batches(batch_rows, row_groups=[group], columns=list(columns))


class _Unreadable(Exception):
    """A file that cannot be used; the message is the reason."""


def _read_info(path: Path, kind: TraceKind) -> FileInfo:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            schema, num_rows = file.schema_arrow, file.metadata.num_rows
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise _Unreadable("truncated, or no Parquet file") from error
    try:
        about = json.loads((schema.metadata or {})[METADATA_KEY])
        version, found = about["schema_version"], about["kind"]
        contains = frozenset(map(str, about.get("contains", ())))
    except (KeyError, TypeError, ValueError) as error:
        raise _Unreadable("not written by langgraph-memskill") from error
    if version != SCHEMA_VERSION:
        raise _Unreadable(
            f"it has schema version {version!r}, and this package reads version {SCHEMA_VERSION}"
        )
    if found != kind.value or not schema.remove_metadata().equals(arrow_schema(kind)):
        raise _Unreadable(f"its columns are not those of {kind.value}")
    return FileInfo(path, num_rows, contains)
