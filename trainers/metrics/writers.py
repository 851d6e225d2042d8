"""Where the numbers of a training run go.

```python
with open_writers(run_folder, tensorboard=True, start_step=step) as writer:
    for step in range(step, num_epochs):
        ...
        writer.write(step, {Metric.REWARD: 0.4, Metric.ENTROPY: 2.1, skill_usage("insert"): 0.9})
write_curves(run_folder / METRICS_FILE, run_folder / CURVES_FILE)  # curves.py
```

`metrics.jsonl` is always written and is what the page of curves is made from. TensorBoard and wandb
are imported only if they are asked for.
"""

import json
import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from langgraph_memskill.errors import ConfigError, TrainingError, missing_dependency
from langgraph_memskill.trainers.metrics.reading import STEP, TIME, read_lines

logger = logging.getLogger(__name__)

METRICS_FILE = "metrics.jsonl"
CURVES_FILE = "curves.html"
TENSORBOARD_FOLDER = "tensorboard"


class MetricWriter(Protocol):
    """Takes the numbers of one inner epoch after another."""

    def write(self, step: int, values: Mapping[str, float | None]) -> None:
        """Write the numbers of a step.

        Args:
            step: Inner epoch, from 0 over the whole run; it grows from call to call.
            values: Metric name (see `names`) to number. None and numbers that are not finite are
                gaps: they are noted in the JSONL file and left out elsewhere.

        Raises:
            TrainingError: If it cannot be written.
        """

    def close(self) -> None:
        """Write out what is held back and let go of the files; a second call does nothing."""


class JsonlWriter:
    """One JSON object a step, flushed at once; a killed run leaves whole lines but for the last."""

    def __init__(self, path: str | Path, *, start_step: int = 0) -> None:
        """Open the file.

        Args:
            path: The file; its folder is made if need be.
            start_step: The step that the run begins, or goes on, with. Lines of this and later
                steps, which a resumed run repeats, and a line that was cut off are dropped first.

        Raises:
            ConfigError: If `start_step` is negative.
            TrainingError: If the file cannot be written.
        """
        if start_step < 0:
            raise ConfigError(f"start_step={start_step!r} must be 0 or more")
        self._path = Path(path)
        self._last = start_step - 1
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            _keep_before(self._path, start_step)
            self._file = self._path.open("a", encoding="utf-8")
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def write(self, step: int, values: Mapping[str, float | None]) -> None:
        """Append a line; see `MetricWriter.write`.

        Raises:
            ConfigError: If the step does not come after the last one.
            TrainingError: If the line cannot be written.
        """
        if step <= self._last:
            raise ConfigError(f"step {step} comes after step {self._last}: steps must grow")
        numbers = {str(name): _finite(value) for name, value in values.items()}
        line = {STEP: step, TIME: datetime.now(UTC).isoformat(timespec="seconds"), **numbers}
        try:
            self._file.write(json.dumps(line, allow_nan=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise _unwritable(self._path, error) from error
        self._last = step

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TensorBoardWriter:
    """Scalars for TensorBoard (extra `tensorboard`; TensorFlow is not needed)."""

    def __init__(self, folder: str | Path, *, start_step: int = 0) -> None:
        """Open an event file in the folder.

        Args:
            folder: What `tensorboard --logdir` is to be given.
            start_step: TensorBoard forgets what earlier event files say of this and later steps.

        Raises:
            MissingDependencyError: If the package is not installed.
            TrainingError: If the folder cannot be written.
        """
        summary_writer = _import_summary_writer()
        self._folder = Path(folder)
        try:
            self._writer: Any = summary_writer(str(folder), purge_step=start_step or None)
        except OSError as error:
            raise _unwritable(self._folder, error) from error

    def write(self, step: int, values: Mapping[str, float | None]) -> None:
        """Add the step's numbers; see `MetricWriter.write`."""
        if self._writer is None:
            raise TrainingError(f"the TensorBoard writer of {self._folder} is closed")
        for name, value in values.items():
            if (number := _finite(value)) is not None:
                self._writer.add_scalar(str(name), number, step)

    def close(self) -> None:
        """Write out what is queued."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class WandbWriter:
    """A run of Weights & Biases (extra `wandb`); what it sends where is wandb's configuration."""

    def __init__(
        self, *, project: str, name: str | None = None, run_id: str | None = None, folder: Path
    ) -> None:
        """Start or continue a run.

        Args:
            project: Of wandb.
            name: Of the run; None lets wandb choose.
            run_id: Of the run to go on with; None starts a new one.
            folder: Where wandb keeps its files.

        Raises:
            MissingDependencyError: If the package is not installed.
        """
        wandb = _import_wandb()
        self._run = wandb.init(
            project=project,
            name=name,
            id=run_id,
            dir=str(folder),
            resume="allow" if run_id else None,
        )

    @property
    def run_id(self) -> str:
        """Identifier to go on with."""
        return str(self._run.id)

    def write(self, step: int, values: Mapping[str, float | None]) -> None:
        """Log the step's numbers; see `MetricWriter.write`."""
        numbers = {str(name): _finite(value) for name, value in values.items()}
        self._run.log({k: v for k, v in numbers.items() if v is not None}, step=step)

    def close(self) -> None:
        """Finish the run; wandb sends what is left."""
        self._run.finish()


class ManyWriters:
    """Hands every number to several writers."""

    def __init__(self, writers: Sequence[MetricWriter]) -> None:
        """Write to all of these."""
        self._writers = tuple(writers)

    def write(self, step: int, values: Mapping[str, float | None]) -> None:
        """Write to each; see `MetricWriter.write`."""
        for writer in self._writers:
            writer.write(step, values)

    def close(self) -> None:
        """Close each, also if one fails."""
        with ExitStack() as stack:
            for writer in self._writers:
                stack.callback(writer.close)


def check_writers(*, tensorboard: bool = False, wandb_project: str | None = None) -> None:
    """Refuse what `open_writers` would refuse, before anything has been written.

    Args:
        tensorboard: As for `open_writers`.
        wandb_project: As for `open_writers`.

    Raises:
        MissingDependencyError: If what is asked for is not installed.
    """
    if tensorboard:
        _import_summary_writer()
    if wandb_project is not None:
        _import_wandb()


@contextmanager
def open_writers(
    folder: str | Path,
    *,
    start_step: int = 0,
    tensorboard: bool = False,
    wandb_project: str | None = None,
    wandb_run_id: str | None = None,
) -> Iterator[MetricWriter]:
    """Open the writers of a run folder, and close them afterwards.

    Args:
        folder: The run folder: metrics.jsonl, and tensorboard/ if asked for.
        start_step: The step that the run begins, or goes on, with.
        tensorboard: Whether to write TensorBoard files, too.
        wandb_project: Project of wandb to log to; None leaves wandb alone.
        wandb_run_id: Run of wandb to go on with.

    Raises:
        MissingDependencyError: If what was asked for is not installed; nothing has been written.
        TrainingError: If a file cannot be written.
    """
    root = Path(folder)
    writers: list[MetricWriter] = []
    try:
        # The ones that may be missing come first, so that then nothing has been changed.
        if tensorboard:
            writers.append(TensorBoardWriter(root / TENSORBOARD_FOLDER, start_step=start_step))
        if wandb_project is not None:
            writers.append(
                WandbWriter(project=wandb_project, name=root.name, run_id=wandb_run_id, folder=root)
            )
        writers.append(JsonlWriter(root / METRICS_FILE, start_step=start_step))
        yield ManyWriters(writers)
    finally:
        ManyWriters(writers).close()


def _keep_before(path: Path, step: int) -> None:
    """Drop the lines of a step and later ones, and what is no whole line."""
    if not path.exists():
        return
    lines = read_lines(path)
    kept = [line.text for line in lines.whole if line.step < step]
    dropped = len(lines.whole) - len(kept) + lines.num_broken
    if dropped:
        logger.info("%d lines of %s are dropped: the run repeats them", dropped, path)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text("".join(f"{text}\n" for text in kept), encoding="utf-8")
        os.replace(partial, path)


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _unwritable(path: Path, error: OSError) -> TrainingError:
    reason = error.strerror or error
    return TrainingError(f"{path} cannot be written: {reason}. Free space, or name another folder")


def _import_summary_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise missing_dependency(
            "tensorboard", "tensorboard", "Writing TensorBoard files"
        ) from error
    return SummaryWriter


def _import_wandb() -> ModuleType:
    try:
        import wandb
    except ImportError as error:
        raise missing_dependency("wandb", "wandb", "Logging to Weights & Biases") from error
    module: ModuleType = wandb
    return module
