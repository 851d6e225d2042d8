"""Streams traces back; what cannot be used is counted, never passed on."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from langgraph_memskill.errors import TraceError
from langgraph_memskill.traces.files import FileInfo, SkipLog, Skipped, batches_of, find_files
from langgraph_memskill.traces.rows import BankTrace, EpisodeTrace, StepTrace
from langgraph_memskill.traces.schema import (
    TraceKind,
    arrow_schema,
    read_bank,
    read_episodes,
    read_steps,
)

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 1024
_SUM_TOLERANCE = 1e-3
_LOG_PROB_TOLERANCE = 1e-6


class TraceReader:
    """One reading of a folder of traces, as it was when the reader was made.

    Nothing is held but the batch at hand, so a million steps take no more memory than a thousand.
    """

    def __init__(self, folder: str | Path, *, batch_rows: int = _BATCH_ROWS) -> None:
        """Find the files.

        Args:
            folder: Of the traces; its subfolders are named after `TraceKind`.
            batch_rows: Rows that are in memory at a time, >= 1.

        Raises:
            TraceError: If there is no such folder, or no file in it that can be read; the message
                says what was skipped.
        """
        self.folder = Path(folder)
        self._batch_rows = batch_rows
        self._skipped = SkipLog()
        self._files = {kind: find_files(self.folder, kind, self._skipped) for kind in TraceKind}
        if not any(self._files.values()):
            raise TraceError(
                f"there are no traces in {str(folder)!r} that can be read. Record some with "
                f"`memskill chat --record`, or name another folder{self._what_was_skipped()}"
            )

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """What was not read so far, and why."""
        return self._skipped.entries

    def files(self, kind: TraceKind) -> tuple[FileInfo, ...]:
        """The files of a kind that are read, sorted by name."""
        return tuple(self._files[kind])

    @property
    def num_steps(self) -> int:
        """Rows of all step files, those included that turn out to be unusable."""
        return sum(info.num_rows for info in self._files[TraceKind.STEPS])

    def step_batches(self, columns: Sequence[str] | None = None) -> "Iterator[pa.RecordBatch]":
        """Stream the steps as pyarrow record batches, unchecked.

        Args:
            columns: Which columns; None takes all. Only these are read from the disk.

        Yields:
            Batches of at most `batch_rows` rows, in the order of the files' names.

        Raises:
            TraceError: If there is no such column, or a file was removed while it was read.
        """
        names = arrow_schema(TraceKind.STEPS).names
        if unknown := sorted(set(columns or ()) - set(names)):
            raise TraceError(f"steps have no column {unknown[0]!r}; there are {', '.join(names)}")
        for info in self._files[TraceKind.STEPS]:
            yield from self._batches(info, columns or names)

    def steps(self) -> Iterator[StepTrace]:
        """Stream the steps as records; rows that make no sense are counted and left out.

        Raises:
            TraceError: If a file was removed while it was read.
        """
        for batch in self.step_batches():
            for step in read_steps(batch):
                if problem := step_problem(step):
                    self._skipped.add("row", problem, f"span {step.span_id}")
                else:
                    yield step

    def episodes(self) -> Iterator[EpisodeTrace]:
        """Stream the episodes' rows: ends and rewards; not finite rewards are counted, left out.

        Raises:
            TraceError: If a file was removed while it was read.
        """
        names = arrow_schema(TraceKind.EPISODES).names
        for info in self._files[TraceKind.EPISODES]:
            for batch in self._batches(info, names):
                for episode in read_episodes(batch):
                    if episode.reward is not None and not np.isfinite(episode.reward):
                        name = f"episode {episode.episode_id}"
                        self._skipped.add("row", "its reward is not a finite number", name)
                    else:
                        yield episode

    def banks(self) -> dict[tuple[str, str], BankTrace]:
        """The bank versions, by version and encoder; files that hold none are counted."""
        found = [self._read_bank(info) for info in self._files[TraceKind.BANKS]]
        return {(bank.version, bank.encoder): bank for bank in found if bank is not None}

    def skip(self, what: str, reason: str, name: str) -> None:
        """Count something that cannot be used."""
        self._skipped.add(what, reason, name)

    def _batches(self, info: FileInfo, columns: Sequence[str]) -> "Iterator[pa.RecordBatch]":
        import pyarrow as pa

        try:
            yield from batches_of(info, columns, self._batch_rows)
        except (OSError, pa.ArrowException):
            self._skipped.add("file", "damaged: not all of its rows can be read", info.path.name)

    def _read_bank(self, info: FileInfo) -> BankTrace | None:
        import pyarrow as pa

        try:
            tables = list(self._batches(info, arrow_schema(TraceKind.BANKS).names))
            return read_bank(pa.Table.from_batches(tables).combine_chunks().to_batches()[0])
        except (IndexError, ValueError) as error:
            self._skipped.add("file", f"no skill bank: {error}", info.path.name)
            return None

    def _what_was_skipped(self) -> str:
        return "".join(f"\n{entry}" for entry in self.skipped)


def step_problem(step: StepTrace) -> str | None:
    """Why a step makes no sense; None if it does."""
    probabilities, chosen = step.probabilities, step.chosen
    if step.state.size == 0 or step.state.size % 2 or not np.isfinite(step.state).all():
        return "its state is not an even number of finite numbers"
    if not np.isfinite(probabilities).all() or (probabilities < 0).any():
        return "its probabilities are not finite numbers of at least 0"
    if abs(float(probabilities.sum()) - 1) > _SUM_TOLERANCE:
        return "its probabilities do not sum to 1"
    if not chosen or len(set(chosen)) < len(chosen):
        return "it chose no skill, or one twice"
    if min(chosen) < 0 or max(chosen) >= len(probabilities):
        return "it chose a skill that was no candidate"
    if not step.log_prob <= _LOG_PROB_TOLERANCE or np.isinf(step.log_prob):
        return "its log-probability is not a finite number of at most 0"
    if any(x is not None and not np.isfinite(x) for x in (step.value, step.process_reward)):
        return "its value or process reward is not a finite number"
    return None
