"""Where a command writes: text for people on stdout, one JSON document for machines, notes aside.

Everything that comes from data (conversations, memories, models, files) goes through `printable` or
`Text`: it can neither use rich's markup nor steer the terminal.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

OnProgress = Callable[[str, int, int], None]
"""Called with what is being done, how many are done and how many there are."""

# Control characters but tab and newline, halves of characters, and what reverses the reading order.
_UNPRINTABLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u061c\u2028-\u202e\u2066-\u2069]"
)

_WIDTH_OF_A_PIPE = 1000
"""Columns where there is no terminal: one memory is one line there."""


def printable(text: str) -> str:
    """Make text from data safe for a terminal.

    Args:
        text: Any text.

    Returns:
        The text with control characters written out as in Python; tabs and newlines stay.
    """
    return _UNPRINTABLE.sub(
        lambda found: found[0].encode("unicode_escape").decode("ascii"), text.replace("\r\n", "\n")
    )


def one_line(text: str, limit: int) -> str:
    """The beginning of a text on one line, safe for a terminal.

    Args:
        text: Any text.
        limit: Characters at most, >= 1.
    """
    joined = " ".join(printable(text).split())
    return joined if len(joined) <= limit else joined[: limit - 1] + "…"


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 span", "2 spans", "3 memories"."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


class Screen:
    """The output of one command."""

    def __init__(self, *, as_json: bool) -> None:
        """Write for machines (`as_json`) or for people."""
        self.as_json = as_json
        self._out = _console(stderr=False)
        self._err = _console(stderr=True)

    def show(self, *renderables: RenderableType) -> None:
        """Print for people; nothing in JSON mode. Strings must be safe already."""
        if self.as_json or not renderables:
            return
        if self._out.is_terminal:
            for renderable in renderables:
                self._out.print(renderable)
            return
        with self._out.capture() as captured:
            self._out.print(*renderables, sep="\n")
        # Tables fill their lines with blanks, which a file or a program does not need.
        lines = captured.get().split("\n")
        self._out.file.write("\n".join(line.rstrip() for line in lines))

    def emit(self, document: object, *, one_line: bool = False) -> None:
        """Print JSON; nothing for people.

        Args:
            document: Plain JSON data.
            one_line: One document of several, each on a line of its own.
        """
        if self.as_json:
            # ASCII only, so that no terminal and no encoding can stumble over the data.
            text = json.dumps(document, ensure_ascii=True, indent=None if one_line else 2)
            self._out.file.write(text + "\n")
            self._out.file.flush()

    def note(self, text: str) -> None:
        """Say something beside the output, on stderr in both modes."""
        self._err.print(Text(printable(text), style="yellow"), soft_wrap=True)

    def error(self, text: str) -> None:
        """Say what went wrong, on stderr in both modes."""
        line = Text.assemble(("error: ", "bold red"), printable(text))
        self._err.print(line, soft_wrap=True)

    @contextmanager
    def busy(self, title: str) -> Iterator[None]:
        """Show that something takes a moment; only on a terminal."""
        console = self._console()
        with console.status(title) if console.is_terminal else nullcontext():
            yield

    @property
    def is_terminal(self) -> bool:
        """Whether somebody may be watching."""
        return self._console().is_terminal

    @contextmanager
    def live_line(self) -> Iterator[Callable[[str], None]]:
        """Show one line that is replaced again and again; only on a terminal."""
        console = self._console()
        if not console.is_terminal:
            yield lambda _: None
            return
        with console.status("starting") as status:
            yield lambda text: status.update(Text(printable(text)))

    @contextmanager
    def progress(self) -> Iterator[OnProgress]:
        """Show a progress bar while something long runs; only on a terminal."""
        console = self._console()
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            Rate(),
            TimeElapsedColumn(),
            TextColumn("left", markup=False),
            TimeRemainingColumn(),
        )
        with Progress(
            *columns, console=console, transient=True, disable=not console.is_terminal
        ) as bar:
            tasks: dict[str, TaskID] = {}

            def advance(title: str, done: int, total: int) -> None:
                for finished in set(tasks) - {title}:
                    bar.remove_task(tasks.pop(finished))
                if title not in tasks:
                    tasks[title] = bar.add_task(title, total=total)
                bar.update(tasks[title], completed=done, total=total)

            yield advance

    def _console(self) -> Console:
        return self._err if self.as_json else self._out


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDTH_OF_A_PIPE
    return console


class Rate(ProgressColumn):
    """How many are done in a second, or the seconds that one takes if that is more than one."""

    def render(self, task: Task) -> Text:
        """The rate of one bar."""
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each", style="dim")
