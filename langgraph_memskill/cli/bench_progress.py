"""The progress bar of `memskill bench`: rate, tokens, cost and the time that is left."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from langgraph_memskill.cli.screen import Rate

if TYPE_CHECKING:
    from langgraph_memskill.benchmarks.running.progress import OnProgress
    from langgraph_memskill.benchmarks.running.progress import Progress as RunProgress


@contextmanager
def watched(title: str) -> "Iterator[OnProgress]":
    """Show how far a run is, on stderr; only on a terminal.

    Args:
        title: What is run.
    """
    console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TextColumn("{task.fields[spent]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left", markup=False),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(title, total=None, spent="")

        def advance(progress: "RunProgress") -> None:
            bar.update(task, completed=progress.done, total=progress.total, spent=_spent(progress))

        yield advance


def _spent(progress: "RunProgress") -> str:
    usage = progress.usage
    parts = [f"{usage.calls:,} calls", f"{usage.tokens:,} tokens"]
    if progress.price is not None:
        parts.append(f"cost {progress.price:.2f}")
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    return ", ".join(parts)
