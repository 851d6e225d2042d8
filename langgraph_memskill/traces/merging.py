"""Joins folders of traces into one, or the many files of one folder into few."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np

from langgraph_memskill.errors import TraceError
from langgraph_memskill.traces.files import (
    DamagedFileError,
    FileInfo,
    SkipLog,
    Skipped,
    bank_name,
    find_files,
    join_files,
    new_name,
    remove_replaced,
    write_table,
)
from langgraph_memskill.traces.reader import TraceReader
from langgraph_memskill.traces.schema import TraceKind, bank_table

ROWS_PER_FILE = 100_000
"""A merged file gets no further file once it has that many rows."""

_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeReport:
    """What a merge did."""

    files: int
    """Files of steps and episodes that were joined."""
    known: int
    """Files that were in the target already, by an earlier merge, and were not taken again."""
    steps: int
    episode_rows: int
    banks: int
    """Bank versions that were new."""
    skipped: tuple[Skipped, ...]


def merge_traces(sources: Sequence[str | Path], target: str | Path) -> MergeReport:
    """Join folders of traces.

    A merged file names the files that it was made from, so the same folder can be merged again when
    it has grown: only what is new is taken. Sources are left as they are, unless the target is one
    of them: its own files are then replaced by the joined ones. A kill at any point loses and
    doubles nothing.

    Args:
        sources: Folders of traces.
        target: The folder to merge into; it may hold traces already.

    Returns:
        What was joined, and what could not be read.

    Raises:
        TraceError: If no folder is given, one holds no traces, or the target cannot be written.
    """
    if not sources:
        raise TraceError("there is nothing to merge: name at least one folder of traces")
    folder = Path(target)
    readers = [TraceReader(source) for source in dict.fromkeys(map(Path, sources))]
    skipped = SkipLog()
    jobs = {k: _Job(k, readers, folder, skipped) for k in (TraceKind.STEPS, TraceKind.EPISODES)}
    try:
        banks = sum(_add_banks(reader, folder) for reader in readers)
        for kind, job in jobs.items():
            job.run()
            remove_replaced(folder, kind)
    except OSError as error:
        raise TraceError(f"traces cannot be merged into {str(folder)!r}: {error}") from error
    return MergeReport(
        files=sum(job.files for job in jobs.values()),
        known=sum(job.known for job in jobs.values()),
        steps=jobs[TraceKind.STEPS].rows,
        episode_rows=jobs[TraceKind.EPISODES].rows,
        banks=banks,
        skipped=(*(entry for reader in readers for entry in reader.skipped), *skipped.entries),
    )


class _Job:
    """All files of one kind on their way into the target."""

    def __init__(
        self, kind: TraceKind, readers: Sequence[TraceReader], target: Path, skipped: SkipLog
    ) -> None:
        self.files = self.known = self.rows = 0
        self._kind = kind
        self._target = target
        self._skipped = skipped
        self._names = _Names()
        there = find_files(target, kind, SkipLog())
        own = target.resolve()
        known = {name for info in there for name in (info.path.name, *info.contains)}
        self._groups: list[list[FileInfo]] = []
        for reader in readers:
            infos = list(reader.files(kind))
            if reader.folder.resolve() != own:
                new = [info for info in infos if info.path.name not in known]
                self.known += len(infos) - len(new)
                known.update(info.path.name for info in new)
                infos = new
            self._groups += _groups(infos)

    def run(self) -> None:
        for group in self._groups:
            self._join(group)

    def _join(self, group: list[FileInfo]) -> None:
        """Write one file from several; those that turn out to be damaged are left out."""
        while group:
            path = self._target / self._kind.value / self._names.next()
            try:
                join_files(path, self._kind, group)
            except DamagedFileError as damage:
                reason = "damaged: not all of its rows can be read"
                self._skipped.add("file", reason, damage.info.path.name)
                group = [info for info in group if info is not damage.info]
                continue
            self.files += len(group)
            self.rows += sum(info.num_rows for info in group)
            return


class _Names:
    """File names of one merge."""

    def __init__(self) -> None:
        self._id = uuid4().hex[:12]
        self._number = 0

    def next(self) -> str:
        self._number += 1
        return new_name(self._id, self._number)


def _groups(infos: Sequence[FileInfo]) -> list[list[FileInfo]]:
    groups: list[list[FileInfo]] = []
    rows = ROWS_PER_FILE
    for info in infos:
        if rows >= ROWS_PER_FILE:
            groups.append([])
            rows = 0
        groups[-1].append(info)
        rows += info.num_rows
    return groups


def _add_banks(reader: TraceReader, target: Path) -> int:
    """Copy the bank versions that the target does not have; returns how many."""
    known = TraceReader(target).banks() if _has_files(target) else {}
    added = 0
    for key, bank in reader.banks().items():
        other = known.get(key)
        if other is None:
            path = target / TraceKind.BANKS.value / bank_name(*key)
            write_table(path, TraceKind.BANKS, bank_table(bank))
            added += 1
        elif other.embeddings.shape != bank.embeddings.shape or not np.allclose(
            other.embeddings, bank.embeddings, atol=_TOLERANCE
        ):
            raise TraceError(
                f"{str(reader.folder)!r} and {str(target)!r} hold different embeddings of bank "
                f"version {key[0]!r} under the same encoder name {key[1]!r}: they cannot be merged"
            )
    return added


def _has_files(folder: Path) -> bool:
    return any(find_files(folder, kind, SkipLog()) for kind in TraceKind)
