"""Appends traces to a folder; several threads and processes may write into one."""

import logging
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

from langgraph_memskill.errors import ConfigError, TraceError
from langgraph_memskill.traces.files import (
    ROW_GROUP_ROWS,
    FileInfo,
    bank_name,
    join_files,
    new_name,
    write_table,
)
from langgraph_memskill.traces.rows import BankTrace, EpisodeTrace, StepTrace
from langgraph_memskill.traces.schema import (
    TraceKind,
    bank_table,
    episodes_table,
    steps_table,
)

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

MAX_WAITING = 10_000
"""Rows that are kept in memory while the folder cannot be written; beyond it the oldest go."""


RowT = TypeVar("RowT")


class TraceSink(Protocol):
    """What takes the rows of a recorder; `TraceWriter` does."""

    @property
    def dropped(self) -> int:
        """Rows that were given up."""

    @property
    def exists(self) -> bool:
        """Whether there is anything that rewards could belong to."""

    def add_steps(self, steps: Sequence[StepTrace]) -> None:
        """Take steps."""

    def add_episode(self, episode: EpisodeTrace) -> None:
        """Take an episode, or a reward."""

    def has_bank(self, version: str, encoder: str) -> bool:
        """Whether it has a bank version already."""

    def add_bank(self, bank: BankTrace) -> None:
        """Take a bank version."""

    def flush(self) -> None:
        """Make sure that what was taken is kept."""

    def close(self) -> None:
        """Flush a last time."""


class TraceWriter:
    """Collects rows and writes them as new files: with every flush one file a kind, or none.

    What was flushed survives a kill. Every `join_after` files of its own the writer joins them into
    one, so a long session does not leave thousands.
    """

    def __init__(self, folder: str | Path, *, flush_rows: int = 512, join_after: int = 64) -> None:
        """Make a writer; the folder is made when there is something to write.

        Args:
            folder: Of the traces.
            flush_rows: Steps after which the writer flushes by itself, >= 1.
            join_after: Files of its own that are joined into one, >= 2.

        Raises:
            ConfigError: If a number is out of range.
        """
        if flush_rows < 1:
            raise ConfigError(f"flush_rows={flush_rows!r} must be at least 1")
        if join_after < 2:
            raise ConfigError(f"join_after={join_after!r} must be at least 2")
        self.folder = Path(folder)
        self._flush_rows = flush_rows
        self._lock = Lock()
        writer_id = uuid.uuid4().hex[:12]
        inside = self.folder / TraceKind.STEPS.value, self.folder / TraceKind.EPISODES.value
        self._steps = _Rows(TraceKind.STEPS, steps_table, inside[0], writer_id, join_after)
        self._episodes = _Rows(TraceKind.EPISODES, episodes_table, inside[1], writer_id, join_after)

    @property
    def dropped(self) -> int:
        """Rows that were given up because the folder could not be written for too long."""
        return self._steps.dropped + self._episodes.dropped

    @property
    def exists(self) -> bool:
        """Whether the folder is there."""
        return self.folder.is_dir()

    def add_steps(self, steps: Sequence[StepTrace]) -> None:
        """Append steps; they are on disk after the next flush.

        Raises:
            TraceError: If a value does not fit its column: then nothing is appended. Or if a flush
                is due and fails: then the rows are kept for the next one.
        """
        with self._lock, _or_trace_error(self.folder):
            self._steps.add(steps)
            if len(self._steps) >= self._flush_rows:
                self._flush()

    def add_episode(self, episode: EpisodeTrace) -> None:
        """Append an episode, or a reward, and flush: so an episode is on disk when it has ended.

        Raises:
            TraceError: As for `add_steps`.
        """
        with self._lock, _or_trace_error(self.folder):
            self._episodes.add([episode])
            self._flush()

    def has_bank(self, version: str, encoder: str) -> bool:
        """Whether a bank version is in the folder already."""
        return self._bank_path(version, encoder).exists()

    def add_bank(self, bank: BankTrace) -> None:
        """Write a bank version, if the folder does not have it.

        Raises:
            TraceError: If it cannot be written.
        """
        with self._lock, _or_trace_error(self.folder):
            if not self.has_bank(bank.version, bank.encoder):
                path = self._bank_path(bank.version, bank.encoder)
                write_table(path, TraceKind.BANKS, bank_table(bank))

    def flush(self) -> None:
        """Write what waits.

        Raises:
            TraceError: If the folder cannot be written. The rows are kept for the next flush.
        """
        with self._lock, _or_trace_error(self.folder):
            self._flush()

    def close(self) -> None:
        """Flush; a writer that is used again afterwards goes on.

        Raises:
            TraceError: If the folder cannot be written.
        """
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _flush(self) -> None:
        # Steps first: an episode's row says that all of its steps are there.
        self._steps.write()
        self._episodes.write()

    def _bank_path(self, version: str, encoder: str) -> Path:
        return self.folder / TraceKind.BANKS.value / bank_name(version, encoder)


class _Rows(Generic[RowT]):
    """The rows of one kind that wait, and the files that this writer has made of earlier ones."""

    def __init__(
        self,
        kind: TraceKind,
        to_table: "Callable[[Sequence[RowT]], pa.Table]",
        folder: Path,
        writer_id: str,
        join_after: int,
    ) -> None:
        self.dropped = 0
        self._kind = kind
        self._to_table = to_table
        self._folder = folder
        self._writer_id = writer_id
        self._join_after = join_after
        self._waiting: deque[pa.Table] = deque()
        self._files: list[FileInfo] = []
        self._number = 0

    def __len__(self) -> int:
        return sum(table.num_rows for table in self._waiting)

    def add(self, rows: Sequence[RowT]) -> None:
        # Turned into columns here, so that a row that does not fit never stands in others' way.
        self._waiting.append(self._to_table(rows))
        while len(self) > MAX_WAITING:
            lost = self._waiting.popleft().num_rows
            logger.error("%d rows could not be written to %s and are lost", lost, self._folder)
            self.dropped += lost

    def write(self) -> None:
        """Write what waits; it stays if that fails."""
        import pyarrow as pa

        if not self._waiting:
            return
        path, num_rows = self._next_path(), len(self)
        write_table(path, self._kind, pa.concat_tables(self._waiting))
        self._waiting.clear()
        if num_rows < ROW_GROUP_ROWS:
            self._files.append(FileInfo(path, num_rows, frozenset()))
        if len(self._files) >= self._join_after:
            self._join()

    def _join(self) -> None:
        import pyarrow as pa

        files, self._files = self._files, []
        try:
            join_files(self._next_path(), self._kind, files)
        except (OSError, pa.ArrowException):
            logger.warning("%d trace files stay as they are", len(files), exc_info=True)

    def _next_path(self) -> Path:
        self._number += 1
        return self._folder / new_name(self._writer_id, self._number)


@contextmanager
def _or_trace_error(folder: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowException, ValueError, TypeError) as error:
        raise TraceError(f"traces cannot be written to {str(folder)!r}: {error}") from error
