"""`memskill doctor`: checks the installation and a memory, and changes nothing."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from langgraph_memskill.cli.options import (
    DEFAULT_FOLDER,
    EncoderOption,
    FolderOption,
    JsonOption,
    ModelOption,
    Place,
)
from langgraph_memskill.cli.screen import Screen, counted, printable

if TYPE_CHECKING:
    from langgraph_memskill.cli.check_results import Check

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(
    call: Annotated[bool, typer.Option("--call", help="Call the model once.")] = False,
    folder: FolderOption = DEFAULT_FOLDER,
    model: ModelOption = None,
    encoder: EncoderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check versions, memory, encoder and model. Nothing is created or changed."""
    screen = Screen(as_json=as_json)
    from langgraph_memskill.cli.check_results import Status
    from langgraph_memskill.cli.checks import Question, run_checks
    from langgraph_memskill.state import dump_all

    question = Question(place=Place(folder=folder, encoder=encoder), model=model, call=call)
    checks = run_checks(question, lambda check: screen.show(_row(check)))
    failed = sum(check.status is Status.FAIL for check in checks)
    warned = sum(check.status is Status.WARN for check in checks)
    screen.emit({"failed": failed, "warnings": warned, "checks": dump_all(checks)})
    total = f"{failed} failed, {counted(warned, 'warning')}"
    screen.show(Text(total, style="red" if failed else "dim"))
    if failed:
        raise typer.Exit(1)


def _row(check: "Check") -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(width=4)
    grid.add_column(width=13)
    grid.add_column(overflow="fold")
    found = Text(printable(check.found))
    if check.advice:
        found.append(f"\n→ {printable(check.advice)}", style="yellow")
    grid.add_row(Text(check.status, style=_STYLES[check.status]), check.name, found)
    return grid
