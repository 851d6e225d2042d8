"""`memskill memories export` and `import`: memories out of a folder and into one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
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
from langgraph_memskill.errors import ConfigError

if TYPE_CHECKING:
    from langgraph_memskill.stored_memories import StoredMemories
    from langgraph_memskill.transfer.reports import LoadReport

Format = Literal["memskill", "mem0"]
ConflictRule = Literal["skip", "replace", "error"]

_SHOWN = 20


def export_memories(
    file: Annotated[Path, typer.Argument(help="The file to write (JSON Lines).")],
    everyone: Annotated[bool, typer.Option("--all", help="Export all users' memories.")] = False,
    without_forgotten: Annotated[
        bool, typer.Option("--without-forgotten", help="Leave out what was forgotten.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    folder: FolderOption = DEFAULT_FOLDER,
    user: UserOption = DEFAULT_USER,
    as_json: JsonOption = False,
) -> None:
    """Write memories into a file, with their sources and all their versions."""
    screen = Screen(as_json=as_json)
    if file.exists() and not force:
        raise ConfigError(f"the file {str(file)!r} exists: name another one, or use --force")
    with open_for_reading(folder) as stored, screen.progress() as advance:
        report = stored.export(
            file,
            user_id=None if everyone else user,
            deleted=not without_forgotten,
            on_progress=lambda done, total: advance("exporting", done, total),
        )
    from langgraph_memskill.state import dump

    screen.emit(dump(report))
    what = counted(report.num_memories, "memory")
    if report.num_deleted:
        what += f" and {report.num_deleted} forgotten"
    whose = counted(len(report.namespaces), "user")
    screen.show(Text(f"wrote {what} of {whose} to {printable(str(report.path))}"))


def import_memories(
    file: Annotated[Path, typer.Argument(help="What 'memories export' wrote, or another file.")],
    origin: Annotated[
        Format,
        typer.Option("--from", help="Who wrote it; mem0: its get_all as JSON."),
    ] = "memskill",
    user: Annotated[
        str | None,
        typer.Option("--user", "-u", help="Whose memories they become.", show_default="the file's"),
    ] = None,
    from_user: Annotated[
        str | None,
        typer.Option("--from-user", help="The user in the file whose memories are taken."),
    ] = None,
    on_conflict: Annotated[
        ConflictRule,
        typer.Option(help="A memory that is here with another text: keep it, replace it, or stop."),
    ] = "skip",
    folder: FolderOption = DEFAULT_FOLDER,
    encoder: EncoderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Load memories from a file; what is here already is not loaded twice.

    The whole file is checked first. 'memskill memories undo RUN' takes a load back.
    """
    screen = Screen(as_json=as_json)
    place = Place(folder=folder, encoder=encoder)
    with open_for_recall(place, create=True) as stored:
        if origin == "mem0":
            report = stored.import_mem0(
                file, user_id=user, from_user=from_user, on_conflict=on_conflict
            )
        else:
            report = _load(stored, screen, file, user, from_user, on_conflict)
    from langgraph_memskill.state import dump

    screen.emit(dump(report))
    screen.show(*_report_lines(report))


def _load(
    stored: "StoredMemories",
    screen: Screen,
    file: Path,
    user: str | None,
    from_user: str | None,
    on_conflict: ConflictRule,
) -> "LoadReport":
    source = None if from_user is None else stored.namespace_for(from_user)
    with screen.progress() as advance:
        return stored.load(
            file,
            user_id=user,
            from_namespace=source,
            on_conflict=on_conflict,
            on_progress=lambda done, total: advance("loading", done, total),
        )


def _report_lines(report: "LoadReport") -> list[Text]:
    parts = [f"added {counted(report.num_added, 'memory')}"]
    parts += [f"replaced {report.num_replaced}"] * bool(report.num_replaced)
    parts += [f"{report.num_unchanged} here already"] * bool(report.num_unchanged)
    parts += [f"{report.num_deleted_added} forgotten ones"] * bool(report.num_deleted_added)
    lines = [Text(", ".join(parts))]
    lines += [
        Text(f"kept {printable(c.memory_id)}: {c.reason} (--on-conflict replace)", style="yellow")
        for c in report.conflicts[:_SHOWN]
    ]
    lines += [
        Text(f"skipped {printable(s.record)}: {printable(s.reason)}", style="yellow")
        for s in report.skipped[:_SHOWN]
    ]
    hidden = sum(max(0, len(some) - _SHOWN) for some in (report.conflicts, report.skipped))
    lines += [Text(f"... and {hidden} more; --json shows all", style="yellow")] * bool(hidden)
    if report.num_changed:
        lines.append(Text(f"undo it with: memskill memories undo --all {report.run_id}", "dim"))
    return lines
