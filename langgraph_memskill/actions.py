"""Between what a model wrote and what is stored: checks, ids instead of positions, no conflicts.

Everything here is pure: records in, records out, no I/O.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from langgraph_memskill.prompts import restore
from langgraph_memskill.records import (
    ActionType,
    Memory,
    MemoryAction,
    ParsedAction,
    RejectedAction,
    Skill,
)


class Resolution(NamedTuple):
    """What one reply comes to."""

    actions: tuple[MemoryAction, ...]
    """To be applied as one batch: UPDATEs, then DELETEs, then INSERTs (METHOD step 6)."""
    rejected: tuple[RejectedAction, ...]
    """Everything else but NOOPs, each with its reason."""


class _Refusal(Exception):
    """An action that cannot be used; the message is the reason."""


def resolve_actions(
    parsed: Iterable[ParsedAction],
    retrieved: Sequence[Memory],
    skills: Sequence[Skill],
    *,
    span_id: str | None,
) -> Resolution:
    """Check the actions of one reply and name memories by id (MemSkill, METHOD step 6).

    An action is rejected if it has a problem, if no picked skill has its action type, if it names
    no memory that the model was shown, or if it has no content where it needs one. Conflicts are
    collapsed: deletes of the same memory are one, a delete beats an update, and of several updates
    the last one holds; what gives way is rejected too. NOOPs change nothing and are dropped.

    Args:
        parsed: The actions as the model wrote them.
        retrieved: The memories that the model was shown, in that order.
        skills: The picked skills that it was shown.
        span_id: The span that the actions come from.

    Returns:
        The actions to apply, each with the picked skills that could have caused it, and the
        rejected ones in the order of the reply.
    """
    by_type = _names_by_type(skills)
    ids = [memory.id for memory in retrieved]
    refused: dict[int, RejectedAction] = {}
    accepted: dict[int, MemoryAction] = {}
    originals = list(parsed)
    for number, action in enumerate(originals):
        try:
            accepted[number] = _resolve(action, ids, by_type, span_id)
        except _Refusal as refusal:
            refused[number] = RejectedAction(action=action, reason=str(refusal))
    for number, reason in _superseded(accepted).items():
        refused[number] = RejectedAction(action=originals[number], reason=reason)
    kept = [action for number, action in accepted.items() if number not in refused]
    rejected = tuple(refused[number] for number in sorted(refused))
    return Resolution(in_apply_order(kept), rejected)


def merge_resolutions(
    resolutions: Iterable[Resolution], *, repeats: bool = False
) -> tuple[MemoryAction, ...]:
    """Merge the actions of several spans that were read against one snapshot of the memories.

    Args:
        resolutions: One a span, in the order of the spans.
        repeats: Whether to keep all inserts, for somebody who merges those that say the same.

    Returns:
        One batch: for each memory a delete if any span deletes it, before or after an update,
        else its last update; inserts once for each text, blanks and line breaks being equal.
        Every action keeps the span and the skills that it came from.
    """
    updates: dict[str | None, MemoryAction] = {}
    deletes: dict[str | None, MemoryAction] = {}
    inserts: list[MemoryAction] = []
    texts: set[str] = set()
    for action in (action for resolution in resolutions for action in resolution.actions):
        if action.type is ActionType.UPDATE:
            updates[action.memory_id] = action
        elif action.type is ActionType.DELETE:
            deletes.setdefault(action.memory_id, action)
        elif action.type is ActionType.INSERT:
            text = " ".join(action.content.split())
            if repeats or text not in texts:
                inserts.append(action)
            texts.add(text)
    kept = [action for memory_id, action in updates.items() if memory_id not in deletes]
    return in_apply_order([*kept, *deletes.values(), *inserts])


def in_apply_order(actions: Iterable[MemoryAction]) -> tuple[MemoryAction, ...]:
    """Sort actions as they are applied: UPDATEs, then DELETEs, then INSERTs (METHOD step 6).

    Args:
        actions: Checked actions.

    Returns:
        The actions without NOOPs; those of one type stay in their order.
    """
    order = (ActionType.UPDATE, ActionType.DELETE, ActionType.INSERT)
    listed = [action for action in actions if action.type in order]
    return tuple(sorted(listed, key=lambda action: order.index(action.type)))


def _names_by_type(skills: Sequence[Skill]) -> dict[ActionType, tuple[str, ...]]:
    names: dict[ActionType, dict[str, None]] = {}
    for skill in skills:
        names.setdefault(skill.action_type, {})[skill.name] = None
    return {action_type: tuple(found) for action_type, found in names.items()}


def _resolve(
    action: ParsedAction,
    ids: Sequence[str],
    by_type: Mapping[ActionType, tuple[str, ...]],
    span_id: str | None,
) -> MemoryAction:
    if action.problem is not None:
        raise _Refusal(action.problem)
    checked = MemoryAction(type=action.type, reasoning=action.reasoning, span_id=span_id)
    if action.type is ActionType.NOOP:
        return checked
    if action.type not in by_type:
        allowed = ", ".join(sorted(by_type)) or "nothing"
        raise _Refusal(f"no picked skill allows {action.type}; the picked skills allow {allowed}")
    content = ""
    if action.type is not ActionType.DELETE:
        # The prompt marks our own tags inside data; a copy of it must not bring the mark along.
        content = restore(action.content).strip()
        if not content:
            raise _Refusal(f"{action.type} without content")
    return replace(
        checked,
        memory_id=None if action.type is ActionType.INSERT else _memory_id(action, ids),
        content=content,
        skills=by_type[action.type],
    )


def _memory_id(action: ParsedAction, ids: Sequence[str]) -> str:
    index, named = action.memory_index, action.memory_id
    if named is not None and named not in ids:
        raise _Refusal(f"memory id {named!r} is not among the memories that were shown")
    if index is not None and not 0 <= index < len(ids):
        raise _Refusal(f"memory index {index} is out of range: {len(ids)} memories were shown")
    shown = named if index is None else ids[index]
    if shown is None:
        raise _Refusal(f"{action.type} names no memory")
    if named is not None and shown != named:
        raise _Refusal(f"memory index {index} and memory id {named!r} are different memories")
    return shown


def _superseded(accepted: Mapping[int, MemoryAction]) -> dict[int, str]:
    """Find the actions that give way to another one on the same memory."""
    deleted: dict[str | None, int] = {}
    updated: dict[str | None, int] = {}
    reasons: dict[int, str] = {}
    for number, action in accepted.items():
        if action.type is ActionType.DELETE:
            if action.memory_id in deleted:
                reasons[number] = "the memory is already deleted by this reply"
            deleted.setdefault(action.memory_id, number)
        elif action.type is ActionType.UPDATE:
            if action.memory_id in updated:
                reasons[updated[action.memory_id]] = "a later update of the memory replaces it"
            updated[action.memory_id] = number
    for memory_id, number in updated.items():
        if memory_id in deleted:
            reasons[number] = "the memory is deleted by this reply"
    return reasons
