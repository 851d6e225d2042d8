"""Reads metrics.jsonl back, also that of a run that was killed or still goes on."""

import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from langgraph_memskill.errors import DataError

logger = logging.getLogger(__name__)

STEP = "step"
TIME = "time"


class MetricLine(NamedTuple):
    """One line of the file."""

    step: int
    values: dict[str, float]
    """Without gaps."""
    text: str


class MetricLines(NamedTuple):
    """All lines of a file."""

    whole: list[MetricLine]
    num_broken: int
    """Lines that cannot be read: the last one of a killed run, as a rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricHistory:
    """What a run has written so far."""

    steps: tuple[int, ...]
    """Rising."""
    series: dict[str, list[tuple[int, float]]]
    """Metric name to (step, number), in order; gaps are left out."""
    num_broken: int = 0
    """Lines that could not be read."""


def read_metrics(path: str | Path) -> MetricHistory:
    """Read a run's metrics.

    Args:
        path: A metrics.jsonl.

    Returns:
        The numbers; a step that is there twice counts as its later line says.

    Raises:
        DataError: If the file cannot be read, or holds no line of metrics.
    """
    file = Path(path)
    lines = read_lines(file)
    if not lines.whole:
        raise DataError(f"{file} holds no metrics: a line is a JSON object with {STEP!r}")
    if lines.num_broken:
        logger.warning("%d lines of %s cannot be read", lines.num_broken, file)
    by_step = {line.step: line.values for line in lines.whole}
    series: dict[str, list[tuple[int, float]]] = {}
    for step in sorted(by_step):
        for name, value in by_step[step].items():
            series.setdefault(name, []).append((step, value))
    return MetricHistory(steps=tuple(sorted(by_step)), series=series, num_broken=lines.num_broken)


def read_lines(path: Path) -> MetricLines:
    """Read every line by itself.

    Raises:
        DataError: If the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    found = [_parsed(line) for line in text.splitlines() if line.strip()]
    whole = [line for line in found if line is not None]
    return MetricLines(whole, len(found) - len(whole))


def _parsed(text: str) -> MetricLine | None:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or not _is_step(content.get(STEP)):
        return None
    values = {
        name: float(value)
        for name, value in content.items()
        if name not in (STEP, TIME) and _is_number(value)
    }
    return MetricLine(content[STEP], values, text)


def _is_step(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)  # type: ignore[arg-type]  # checked just now
