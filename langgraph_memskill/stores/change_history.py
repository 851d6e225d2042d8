"""From the log to the versions of a memory, and from a memory's own versions to a log."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from langgraph_memskill.records import Change, ChangeKind, Memory, MemoryVersion
from langgraph_memskill.stores.change_rows import bare

TICK = timedelta(microseconds=1)
_NUMBERED_SPAN = re.compile(r"([0-9a-f]{32})/\d+")


def run_of(span_id: str | None) -> str | None:
    """The episode that a span belongs to, if its id says so."""
    match = _NUMBERED_SPAN.fullmatch(span_id or "")
    return match[1] if match else None


def version_of(change: Change) -> MemoryVersion:
    """A change as a version of its memory; a deletion has an empty text."""
    return MemoryVersion(
        content=change.content or "",
        change_id=change.id,
        cause=change.cause,
        skills=change.skills,
        model=change.model,
        span_id=change.span_id,
        at=change.at,
        version=change.version,
        thread_id=change.thread_id,
        run_id=change.run_id,
    )


def versions_of(changes: Iterable[Change]) -> tuple[MemoryVersion, ...]:
    """The versions that changes of one memory made; a touch makes none."""
    return tuple(version_of(c) for c in changes if c.kind is not ChangeKind.TOUCH)


def full_history(memory: Memory) -> tuple[MemoryVersion, ...]:
    """The history; a memory that something else wrote gets its present content as first version."""
    if memory.history:
        return memory.history
    first = MemoryVersion(
        content=memory.content,
        change_id="",
        cause="import",
        skills=(),
        model=None,
        span_id=None,
        at=memory.updated_at,
    )
    return (first,)


def kind_of(before: Memory | None, after: Memory | None) -> ChangeKind:
    """What turns one state of a memory into another."""
    if after is None:
        return ChangeKind.DELETE
    if before is None:
        return ChangeKind.INSERT
    return ChangeKind.TOUCH if before.content == after.content else ChangeKind.UPDATE


def adopted_changes(memory: Memory, *, deleted: bool = False) -> list[Change]:
    """Tell a memory's own history as the changes that led to it.

    Args:
        memory: A memory from the store, or a deleted one, of which the log knows nothing.
        deleted: Whether it is a deleted one.

    Returns:
        Its changes, numbered from 1; the last one leads to the memory as it is.
    """
    changes: list[Change] = []
    versions = full_history(memory)
    for position, version in enumerate(versions):
        is_last = position == len(versions) - 1
        if not version.content and changes:
            after = None
        elif is_last and not deleted and version.content == memory.content:
            after = bare(memory)
        else:
            after = _state(memory, versions[: position + 1])
        changes.append(_adopted(memory, version, changes, after))
    present = None if deleted else bare(memory)
    reached = changes[-1].after
    if (reached and reached.content) != (present and present.content):
        changes.append(outside_change(changes[-1], present, memory.updated_at, "outside"))
    return changes


def outside_change(last: Change, after: Memory | None, at: datetime, cause: str) -> Change:
    """The change that somebody else must have made since the last one that the log knows."""
    time = max(at, last.at + TICK)
    return Change(
        id=f"{cause}:{last.memory_id}:{last.version + 1}",
        memory_id=last.memory_id,
        namespace=last.namespace,
        version=last.version + 1,
        kind=kind_of(last.after, after),
        cause=cause,
        before=last.after,
        after=bare(after),
        model=after.model if after else None,
        at=time,
    )


def _adopted(
    memory: Memory, version: MemoryVersion, earlier: Sequence[Change], after: Memory | None
) -> Change:
    before = earlier[-1].after if earlier else None
    number = len(earlier) + 1
    known = {change.id for change in earlier}
    is_usable = bool(version.change_id) and version.change_id not in known
    return Change(
        id=version.change_id if is_usable else f"import:{memory.id}:{number}",
        memory_id=memory.id,
        namespace=memory.namespace,
        version=number,
        kind=kind_of(before, after),
        cause=version.cause,
        before=before,
        after=after,
        skills=version.skills,
        model=version.model,
        span_id=version.span_id,
        thread_id=version.thread_id,
        run_id=version.run_id or run_of(version.span_id),
        at=max(version.at, earlier[-1].at + TICK) if earlier else version.at,
    )


def _state(memory: Memory, versions: Sequence[MemoryVersion]) -> Memory:
    """The memory after its first versions, as far as they tell."""
    spans = {version.span_id for version in versions}
    of_all = {version.span_id for version in memory.history}
    skills = dict.fromkeys(name for version in versions for name in version.skills)
    return replace(
        memory,
        content=versions[-1].content,
        updated_at=versions[-1].at,
        skills=tuple(skills),
        # What no version names (an imported memory's sources) belongs to the first one already.
        sources=tuple(s for s in memory.sources if s.span_id in spans or s.span_id not in of_all),
        model=versions[-1].model,
        history=(),
        score=None,
    )
