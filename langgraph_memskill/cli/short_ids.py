"""Ids as people type them: the beginning is enough."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated

import typer

from langgraph_memskill.errors import ConfigError, MemoryNotFoundError, UndoError

if TYPE_CHECKING:
    from langgraph_memskill.stored_memories import StoredMemories

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="A memory id, or its beginning.")]

_SHOWN = 5


def full_id(stored: "StoredMemories", beginning: str, user: str, *, forgotten: bool = False) -> str:
    """Find the memory id that begins with what the user typed.

    Args:
        stored: Where to look.
        beginning: A whole id, or enough of its beginning.
        user: Whose memories.
        forgotten: Whether to look among forgotten and expired memories, too.

    Raises:
        MemoryNotFoundError: If no id begins so.
        ConfigError: If several do, or nothing was typed.
    """
    if not beginning.strip():
        raise ConfigError("the memory id is empty: 'memskill memories list' shows the ids")
    ids = {memory.id for memory in stored.memories(user_id=user)}
    if forgotten:
        ids |= {memory.id for memory in stored.forgotten(user_id=user)}
        ids |= {change.memory_id for change in stored.changes(user_id=user)}
    found = _the_one(beginning, ids, "memory ids")
    if found is None:
        raise MemoryNotFoundError(
            f"user {user!r} has no memory whose id begins with {beginning!r}; "
            "'memskill memories list' shows the ids"
        )
    return found


def full_change_id(stored: "StoredMemories", beginning: str, user: str | None) -> str:
    """Find the change or run id that begins with what the user typed.

    Args:
        stored: Where to look.
        beginning: A whole id, or enough of its beginning.
        user: Whose changes; None looks at all users'.

    Raises:
        UndoError: If no id begins so.
        ConfigError: If several do, or nothing was typed.
    """
    if not beginning.strip():
        raise ConfigError("the id is empty: 'memskill memories changes' shows the ids")
    changes = stored.changes(user_id=user)
    ids = {change.id for change in changes} | {change.run_id or "" for change in changes}
    found = _the_one(beginning, ids, "changes and runs")
    if found is None:
        whose = "no user has a" if user is None else f"user {user!r} has no"
        raise UndoError(
            f"{whose} change or run whose id begins with {beginning!r}; "
            "'memskill memories changes' shows the ids"
        )
    return found


def _the_one(beginning: str, ids: Collection[str], what: str) -> str | None:
    matches = sorted(known for known in ids if known.startswith(beginning))
    if beginning in ids or len(matches) == 1:
        return beginning if beginning in ids else matches[0]
    if matches:
        raise ConfigError(
            f"{len(matches)} {what} begin with {beginning!r}: {', '.join(matches[:_SHOWN])}"
        )
    return None
