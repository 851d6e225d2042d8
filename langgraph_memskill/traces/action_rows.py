"""What became of a span's actions, as rows of a trace."""

from collections.abc import Mapping, Sequence

from langgraph_memskill.records import ActionType, MemoryAction, RejectedAction
from langgraph_memskill.traces.rows import ActionStatus, ActionTrace, text_hash


def trace_actions(
    asked: Sequence[MemoryAction],
    rejected: Sequence[RejectedAction],
    applied: Mapping[str | None, MemoryAction],
    *,
    has_failed: bool,
    keep_texts: bool,
) -> tuple[ActionTrace, ...]:
    """Make the rows of a step's actions.

    Args:
        asked: What the model asked for and the checks let through.
        rejected: What the checks did not let through.
        applied: What changed something, by the id of the change.
        has_failed: Whether the span could not be read.
        keep_texts: Whether memories and reasons are kept; otherwise the hashes of the memories.

    Returns:
        One row an action; a NOOP for a span that was read and asked for nothing.
    """
    if not asked and not rejected:
        noop = ActionTrace(type=ActionType.NOOP, status=ActionStatus.APPLIED)
        return () if has_failed else (noop,)
    rows = [_asked(action, applied.get(action.change_id), keep_texts) for action in asked]
    return (*rows, *(_rejected(one, keep_texts) for one in rejected))


def _asked(action: MemoryAction, done: MemoryAction | None, keep_texts: bool) -> ActionTrace:
    return ActionTrace(
        type=action.type,
        status=ActionStatus.DROPPED if done is None else ActionStatus.APPLIED,
        memory_id=action.memory_id if done is None else done.memory_id,
        change_id=None if done is None else done.change_id,
        content_hash=_hash(action.content),
        content=(action.content or None) if keep_texts else None,
    )


def _rejected(rejected: RejectedAction, keep_texts: bool) -> ActionTrace:
    content = rejected.action.content
    return ActionTrace(
        type=rejected.action.type,
        status=ActionStatus.REJECTED,
        content_hash=_hash(content),
        content=(content or None) if keep_texts else None,
        reason=rejected.reason if keep_texts else None,
    )


def _hash(content: str) -> str | None:
    return text_hash(content) if content else None
