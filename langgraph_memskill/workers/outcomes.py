"""What comes back from a worker: a value, or why there is none, and what was logged meanwhile."""

import logging
import traceback
from dataclasses import dataclass
from typing import Generic, TypeVar

from langgraph_memskill.errors import MemSkillError

T = TypeVar("T")

_MAX_REASON = 500


class RemoteCallError(MemSkillError):
    """An error of another package that a worker met; its class may not be known here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A warning of a worker."""

    logger: str
    level: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Done(Generic[T]):
    """It worked."""

    value: T
    logs: tuple[LogLine, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """It did not."""

    kind: type[MemSkillError] | None
    """Its class, if it is one of this package."""
    message: str
    """Its own words; with the name of its class in front if `kind` is None."""
    trace: str
    """Where on the worker it happened, for whoever debugs."""
    logs: tuple[LogLine, ...] = ()

    def error(self) -> MemSkillError:
        """The error, ready to raise here; its notes hold the worker's traceback."""
        error = (self.kind or RemoteCallError)(self.message)
        error.add_note(f"On the worker:\n{self.trace}")
        return error


def failed(error: Exception, logs: tuple[LogLine, ...] = ()) -> Failed:
    """Describe an error that was caught on a worker."""
    is_ours = isinstance(error, MemSkillError)
    return Failed(
        kind=type(error) if isinstance(error, MemSkillError) else None,
        message=str(error) if is_ours else reason_of(error),
        trace="".join(traceback.format_exception(error)),
        logs=logs,
    )


def reason_of(error: BaseException) -> str:
    """An error in one line, the same wherever it was raised: its class and what it says."""
    if isinstance(error, RemoteCallError):
        return str(error)
    return f"{type(error).__name__}: {' '.join(str(error).split())[:_MAX_REASON]}"


class LogCollector(logging.Handler):
    """Keeps warnings until they are taken along with a result."""

    def __init__(self) -> None:
        """Begin with none."""
        super().__init__(logging.WARNING)
        self._lines: list[LogLine] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        line = LogLine(logger=record.name, level=record.levelno, text=record.getMessage())
        self._lines.append(line)

    def take(self) -> tuple[LogLine, ...]:
        """Those since the last time."""
        lines, self._lines = self._lines, []
        return tuple(lines)


def relay(lines: tuple[LogLine, ...], worker: str) -> None:
    """Log here what a worker has logged.

    Args:
        lines: Its warnings.
        worker: Which one it was.
    """
    for line in lines:
        logging.getLogger(line.logger).log(line.level, "%s (%s)", line.text, worker)
