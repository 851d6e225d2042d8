"""`memskill controller`: log, rollback."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from langgraph_memskill.cli.options import (
    DEFAULT_FOLDER,
    FolderOption,
    JsonOption,
    check_exists,
)
from langgraph_memskill.cli.screen import Screen, printable

if TYPE_CHECKING:
    from langgraph_memskill.controller.versions import ControllerVersions

app = typer.Typer(no_args_is_help=True, help="The controllers that a memory has had.")


@app.command("log")
def show_log(folder: FolderOption = DEFAULT_FOLDER, as_json: JsonOption = False) -> None:
    """List the changes of the controller; the last one is in use."""
    from langgraph_memskill.state import dump_all

    screen = Screen(as_json=as_json)
    versions = controller_versions(folder)
    current, changes = versions.current, versions.log()
    screen.emit({"current": current, "changes": dump_all(changes)})
    table = Table.grid(padding=(0, 2))
    for change in changes:
        table.add_row(
            f"{change.at:%Y-%m-%d %H:%M}",
            change.action,
            f"{printable(change.previous)} → {printable(change.version)}",
            printable(change.note),
        )
    if changes:
        screen.show(table)
    screen.show(Text(f"in use: {printable(current)}", style="dim"))


@app.command()
def rollback(
    version: Annotated[
        str | None,
        typer.Argument(
            help="Which version, or its first characters; 'similarity' is no controller.",
            show_default="the one before",
        ),
    ] = None,
    folder: FolderOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Go back to an earlier controller; a memory that is open takes it when it is opened again."""
    from langgraph_memskill.state import dump

    screen = Screen(as_json=as_json)
    change = controller_versions(folder).rollback(version)
    screen.emit(dump(change))
    screen.show(f"{change.previous} → {change.version}")


def controller_versions(folder: Path) -> "ControllerVersions":
    """The controllers of a memory folder.

    Raises:
        StoreError: If there is no memory in the folder.
    """
    check_exists(folder)
    from langgraph_memskill.controller.versions import ControllerVersions
    from langgraph_memskill.memory_folder import MemoryFolder

    return ControllerVersions(MemoryFolder(folder).controller)
