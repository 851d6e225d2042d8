"""Log messages of a command: errors of ours as one line, all others only with --verbose."""

import logging
import sys
from collections.abc import Callable

from langgraph_memskill.cli.screen import printable

_OURS = "langgraph_memskill"


class _OneLine(logging.Formatter):
    """Message and error without the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        cause = "" if error is None else f" ({type(error).__name__}: {error})"
        return printable(f"error: {record.getMessage()}{cause}").replace("\n", " ")


class _Safe(logging.Formatter):
    """Everything, without control characters of the data that is logged."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def configure_logs(*, verbose: bool) -> Callable[[], None]:
    """Set up logging for a command.

    Args:
        verbose: Show everything instead of our own errors only.

    Returns:
        What puts logging back as it was.
    """
    root, ours = logging.getLogger(), logging.getLogger(_OURS)
    levels = (root.level, ours.level)
    if verbose:
        handler: logging.Handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_Safe("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        root.setLevel(logging.INFO)
        ours.setLevel(logging.DEBUG)
        added = [(root, handler)]
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setLevel(logging.ERROR)
        handler.setFormatter(_OneLine())
        # Without any handler at the root, Python prints warnings to stderr by itself.
        added = [(ours, handler), (root, logging.NullHandler())]
    for where, what in added:
        where.addHandler(what)

    def restore() -> None:
        for where, what in added:
            where.removeHandler(what)
        root.setLevel(levels[0])
        ours.setLevel(levels[1])

    return restore
