"""What a writer may ask to rewrite actions before it applies them, and what that was last time."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from langgraph_memskill.namespaces import Namespace
from langgraph_memskill.records import ActionType, MemoryAction, Span
from langgraph_memskill.stores.changes import Known


class Merger(Protocol):
    """Rewrites actions in view of what the namespace holds; see `writing.duplicates`."""

    def merge(
        self, namespace: Namespace, actions: Sequence[MemoryAction], spans: Mapping[str, Span]
    ) -> Sequence[MemoryAction]:
        """Rewrite actions while no other writer writes."""
        ...

    async def amerge(
        self, namespace: Namespace, actions: Sequence[MemoryAction], spans: Mapping[str, Span]
    ) -> Sequence[MemoryAction]:
        """Like `merge`, without blocking the event loop."""
        ...


def as_before(actions: Sequence[MemoryAction], known: Known) -> list[MemoryAction]:
    """What a merger made of these actions when they were applied before."""
    touched = {change_id: change for (key, change_id), change in known.applied.items()}
    return [
        action
        if (change := touched.get(action.change_id or "")) is None
        or action.type is not ActionType.INSERT
        or change.memory_id == action.change_id
        else replace(action, type=ActionType.UPDATE, memory_id=change.memory_id)
        for action in actions
    ]
