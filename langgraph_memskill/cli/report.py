"""`memskill report`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from langgraph_memskill.cli.options import JsonOption
from langgraph_memskill.cli.screen import Screen, printable


def report(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders of benchmark runs, or their run.json.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="The page to write.", show_default="report.html beside the first log"),
    ] = None,
    title: Annotated[str | None, typer.Option(help="Heading of the page.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show benchmark runs as one HTML page that needs no network."""
    screen = Screen(as_json=as_json)
    with screen.busy("writing the page"):
        from langgraph_memskill.benchmarks.report.rendering import PAGE_FILE, write_report

        first = runs[0] if runs[0].is_dir() else runs[0].parent
        page = out or first / PAGE_FILE
        written = write_report(runs, page, title=title)
    screen.emit({"page": str(page), "rows": [row.label for row in written.rows]})
    screen.show(Text(f"Written: {printable(str(page))}"))
