"""`memskill memories changes`, `undo`, `purge` and `sweep`: the change log, and what it is told."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from langgraph_memskill.cli.options import (
    DEFAULT_FOLDER,
    DEFAULT_USER,
    EncoderOption,
    FolderOption,
    JsonOption,
    Place,
    UserOption,
    open_for_reading,
    open_for_recall,
)
from langgraph_memskill.cli.screen import Screen, counted, printable
from langgraph_memskill.cli.short_ids import full_change_id, full_id
from langgraph_memskill.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langgraph_memskill.records import Change

AllOption = Annotated[bool, typer.Option("--all", help="Look at all users' changes.")]

_MARKS = {"insert": "+", "update": "~", "delete": "-", "touch": "·"}


def changes(
    memory: Annotated[
        str | None, typer.Option("--memory", help="Only those of this memory (id or beginning).")
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", help="Only those of this run (id or beginning).")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="The newest so many.")] = 50,
    everyone: AllOption = False,
    folder: FolderOption = DEFAULT_FOLDER,
    user: UserOption = DEFAULT_USER,
    as_json: JsonOption = False,
) -> None:
    """List what was changed, when and by what; newest last."""
    screen = Screen(as_json=as_json)
    whose = None if everyone else user
    with open_for_reading(folder) as stored:
        found = stored.changes(
            user_id=whose,
            memory_id=None if memory is None else full_id(stored, memory, user, forgotten=True),
            run_id=None if run is None else full_change_id(stored, run, whose),
            limit=limit,
        )
    from langgraph_memskill.state import dump_all

    screen.emit({"changes": dump_all(found)})
    of_whom = "all users" if everyone else f"user {printable(user)}"
    screen.show(Text(f"{counted(len(found), 'change')} of {of_whom}", style="dim"))
    screen.show(changes_table(found))


def undo(
    change: Annotated[
        str, typer.Argument(metavar="ID", help="A change or run id, or its beginning.")
    ],
    everyone: AllOption = False,
    folder: FolderOption = DEFAULT_FOLDER,
    user: UserOption = DEFAULT_USER,
    encoder: EncoderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take back one change, or all changes of a run, or an undo.

    It is refused, with the reason, if a later change depends on it.
    """
    screen = Screen(as_json=as_json)
    whose = None if everyone else user
    with open_for_recall(Place(folder=folder, user=user, encoder=encoder)) as stored:
        made = stored.undo(full_change_id(stored, change, whose), user_id=whose)
    from langgraph_memskill.state import dump_all

    screen.emit({"run_id": made[0].run_id, "changes": dump_all(made)})
    screen.show(changes_table(made))
    screen.show(Text(f"undo this with: memskill memories undo {made[0].run_id}", style="dim"))


def purge(
    memory: Annotated[
        str | None, typer.Argument(metavar="ID", help="A memory id, or its beginning.")
    ] = None,
    user_all: Annotated[
        bool, typer.Option("--user-all", help="Purge everything of the user instead.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    folder: FolderOption = DEFAULT_FOLDER,
    user: UserOption = DEFAULT_USER,
    as_json: JsonOption = False,
) -> None:
    """Remove a memory with all its versions for good, bytes included."""
    screen = Screen(as_json=as_json)
    if (memory is None) is not user_all:
        raise ConfigError("name one memory id, or use --user-all: not both")
    with open_for_reading(folder) as stored:
        wanted = None if memory is None else full_id(stored, memory, user, forgotten=True)
        what = f"all memories of user {user!r}" if wanted is None else f"the memory {wanted!r}"
        if not yes:
            question = f"Purge {what} for good? This cannot be undone"
            typer.confirm(printable(question), abort=True, err=True)
        if wanted is None:
            num_purged = stored.purge_user(user)
        else:
            stored.purge(wanted, user_id=user)
            num_purged = 1
    screen.emit({"user": user, "id": wanted, "num_purged": num_purged})
    screen.show(Text(f"purged {counted(num_purged, 'memory')} of user {printable(user)}"))


def sweep(folder: FolderOption = DEFAULT_FOLDER, as_json: JsonOption = False) -> None:
    """Delete the memories that have expired; their histories stay readable."""
    screen = Screen(as_json=as_json)
    with open_for_reading(folder) as stored:
        num_swept = stored.sweep()
    screen.emit({"num_swept": num_swept})
    screen.show(Text(f"swept {counted(num_swept, 'expired memory')}"))


def changes_table(changes: "Sequence[Change]") -> Table:
    """Changes with short ids, times, causes and texts."""
    from langgraph_memskill.cli.rendering import short_id

    grid = Table.grid(padding=(0, 2))
    for style in ("cyan", "dim", "bold", "dim", "cyan"):
        grid.add_column(style=style, no_wrap=True)
    grid.add_column(overflow="fold")
    for change in changes:
        run = f" run {short_id(change.run_id)}" if change.run_id else ""
        grid.add_row(
            short_id(change.id),
            change.at.isoformat(" ", "seconds").removesuffix("+00:00"),
            _MARKS[change.kind],
            printable(change.cause) + run,
            short_id(change.memory_id),
            _text(change),
        )
    return grid


def _text(change: "Change") -> Text:
    if change.purged_at is not None:
        return Text("purged", style="red")
    text = Text()
    if change.previous is not None and change.previous != change.content:
        text.append(printable(change.previous), style="dim" if change.content else "red strike")
        text.append(" → " if change.content else "", style="dim")
    return text.append(printable(change.content or ""))
