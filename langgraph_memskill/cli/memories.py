"""`memskill memories`: list, show, history, forget; the other commands have files of their own."""

from typing import Annotated

import typer
from rich.text import Text

from langgraph_memskill.cli import (
    memory_changes,
    memory_doctor,
    memory_files,
    memory_reembedding,
    memory_usage,
)
from langgraph_memskill.cli.options import (
    DEFAULT_FOLDER,
    DEFAULT_USER,
    FolderOption,
    JsonOption,
    UserOption,
    open_for_reading,
)
from langgraph_memskill.cli.screen import Screen, counted, printable
from langgraph_memskill.cli.short_ids import IdArgument, full_id

app = typer.Typer(no_args_is_help=True, help="Look at memories, change them, move them.")


@app.command("list")
def list_memories(
    forgotten: Annotated[
        bool, typer.Option("--forgotten", help="List what was forgotten instead.")
    ] = False,
    folder: FolderOption = DEFAULT_FOLDER,
    user: UserOption = DEFAULT_USER,
    as_json: JsonOption = False,
) -> None:
    """List all memories of a user, oldest first."""
    screen = Screen(as_json=as_json)
    with open_for_reading(folder) as stored:
        read = stored.forgotten if forgotten else stored.memories
        found = sorted(read(user_id=user), key=lambda memory: memory.created_at)
    from langgraph_memskill.cli.rendering import memories_table
    from langgraph_memskill.state import dump_all

    screen.emit({"memories": dump_all(found)})
    kind = "forgotten memory" if forgotten else "memory"
    screen.show(Text(f"{counted(len(found), kind)} of user {printable(user)}", style="dim"))
    screen.show(memories_table(found))


@app.command()
def show(
    memory_id: IdArgument,
    folder: FolderOption = DEFAULT_FOLDER,
    user: UserOption = DEFAULT_USER,
    as_json: JsonOption = False,
) -> None:
    """Show a memory with its provenance."""
    screen = Screen(as_json=as_json)
    with open_for_reading(folder) as stored:
        memory = stored.get(full_id(stored, memory_id, user), user_id=user)
    from langgraph_memskill.cli.rendering import memory_card
    from langgraph_memskill.state import dump

    screen.emit(dump(memory))
    screen.show(memory_card(memory))


@app.command()
def history(
    memory_id: IdArgument,
    folder: FolderOption = DEFAULT_FOLDER,
    user: UserOption = DEFAULT_USER,
    as_json: JsonOption = False,
) -> None:
    """Show every version of a memory, also of one that was forgotten."""
    screen = Screen(as_json=as_json)
    with open_for_reading(folder) as stored:
        wanted = full_id(stored, memory_id, user, forgotten=True)
        versions = stored.history(wanted, user_id=user)
    from langgraph_memskill.cli.rendering import version_lines
    from langgraph_memskill.state import dump_all

    screen.emit({"id": wanted, "history": dump_all(versions)})
    screen.show(version_lines(versions))


@app.command()
def forget(
    memory_id: IdArgument,
    folder: FolderOption = DEFAULT_FOLDER,
    user: UserOption = DEFAULT_USER,
    as_json: JsonOption = False,
) -> None:
    """Forget a memory; its history stays readable."""
    screen = Screen(as_json=as_json)
    with open_for_reading(folder) as stored:
        action = stored.forget(full_id(stored, memory_id, user), user_id=user)
    from langgraph_memskill.cli.rendering import action_lines
    from langgraph_memskill.state import dump

    screen.emit(dump(action))
    screen.show(action_lines([action], [], None))


app.command("changes")(memory_changes.changes)
app.command("undo")(memory_changes.undo)
app.command("purge")(memory_changes.purge)
app.command("sweep")(memory_changes.sweep)
app.command("export")(memory_files.export_memories)
app.command("import")(memory_files.import_memories)
app.command("doctor")(memory_doctor.doctor)
app.command("reembed")(memory_reembedding.reembed)
app.command("usage")(memory_usage.usage)
