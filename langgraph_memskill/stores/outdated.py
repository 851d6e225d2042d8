"""Which spans have been overtaken: what they are to change is not what the model was shown."""

from collections.abc import Mapping, Sequence

from langgraph_memskill.records import MemoryAction

OVERTAKEN = (
    "somebody else has changed a memory of this span since it was read, so nothing of the span is "
    "applied: read it again"
)


def target(action: MemoryAction) -> str:
    """The id of the memory that an action changes or makes."""
    if action.change_id is None:
        raise AssertionError(f"action without change_id: {action!r}")
    return action.memory_id or action.change_id


def part_of(action: MemoryAction) -> str:
    """The id of what an action is applied with, or not at all: its span, or only itself."""
    return action.span_id or action.change_id or ""


def find_outdated(actions: Sequence[MemoryAction], contents: Mapping[str, str]) -> frozenset[str]:
    """Find the spans that would overwrite what their model did not see.

    Args:
        actions: In the order in which they are applied; `previous` is what the model saw.
        contents: The memories as they are now, by memory id.

    Returns:
        Their ids as `part_of` gives them.
    """
    outdated: set[str] = set()
    while True:
        present: dict[str, str] = dict(contents)
        found: set[str] = set()
        for action in actions:
            if part_of(action) in outdated:
                continue
            if action.previous not in (None, present.get(target(action))):
                found.add(part_of(action))
            present[target(action)] = action.content
        if not found:
            return frozenset(outdated)
        outdated |= found  # once more, for others may have built on what these write
