"""`memskill memories`: list, show, history, forget."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from langgraph_memskill.cli.options import (
    DEFAULT_FOLDER,
    DEFAULT_USER,
    FolderOption,
    JsonOption,
    UserOption,
    open_for_reading,
)
from langgraph_memskill.cli.screen import Screen, counted, printable
from langgraph_memskill.errors import ConfigError, MemoryNotFoundError

if TYPE_CHECKING:
    from langgraph_memskill.stored_memories import StoredMemories

app = typer.Typer(no_args_is_help=True, help="Look at memories, and forget them.")

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="A memory id, or its beginning.")]


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


def full_id(stored: "StoredMemories", beginning: str, user: str, *, forgotten: bool = False) -> str:
    """Find the id that begins with what the user typed.

    Args:
        stored: Where to look.
        beginning: A whole id, or enough of its beginning.
        user: Whose memories.
        forgotten: Whether to look among forgotten memories, too.

    Raises:
        MemoryNotFoundError: If no id begins so.
        ConfigError: If several do, or nothing was typed.
    """
    if not beginning.strip():
        raise ConfigError("the memory id is empty: 'memskill memories list' shows the ids")
    ids = {memory.id for memory in stored.memories(user_id=user)}
    if forgotten:
        ids |= {memory.id for memory in stored.forgotten(user_id=user)}
    matches = sorted(known for known in ids if known.startswith(beginning))
    if beginning in ids or len(matches) == 1:
        return beginning if beginning in ids else matches[0]
    if matches:
        raise ConfigError(
            f"{len(matches)} memory ids begin with {beginning!r}: {', '.join(matches[:5])}"
        )
    raise MemoryNotFoundError(
        f"user {user!r} has no memory whose id begins with {beginning!r}; "
        "'memskill memories list' shows the ids"
    )
