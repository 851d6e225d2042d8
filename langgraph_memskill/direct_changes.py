"""The actions of programs and tools that write memories without a model."""

import uuid

from langgraph_memskill.errors import ConfigError, MemoryNotFoundError
from langgraph_memskill.records import ActionType, Memory, MemoryAction
from langgraph_memskill.stores.applying import Applied


def saving(content: str, memory_id: str | None) -> MemoryAction:
    """The action that writes a text; a ConfigError if it is blank."""
    if not isinstance(content, str) or not content.strip():
        raise ConfigError(f"a memory needs a text, not {content!r}")
    kind = ActionType.INSERT if memory_id is None else ActionType.UPDATE
    return MemoryAction(
        type=kind, memory_id=memory_id, content=content.strip(), change_id=uuid.uuid4().hex
    )


def saved(applied: Applied, action: MemoryAction) -> Memory:
    """The memory that was written; a MemoryNotFoundError if there is none."""
    if applied.rejected:
        raise MemoryNotFoundError(f"there is no memory with the id {action.memory_id!r}")
    return applied.memories[0]


def forgetting(memory_id: str) -> MemoryAction:
    """The action that deletes a memory."""
    return MemoryAction(type=ActionType.DELETE, memory_id=memory_id, change_id=uuid.uuid4().hex)


def forgotten(applied: Applied, memory_id: str) -> MemoryAction:
    """The applied deletion; a MemoryNotFoundError if there was no memory."""
    if applied.rejected:
        raise MemoryNotFoundError(f"there is no memory with the id {memory_id!r}")
    return applied.actions[0]
