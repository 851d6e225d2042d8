"""Memories as they were at an earlier time."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.errors import ConfigError
from langgraph_memskill.namespaces import Namespace
from langgraph_memskill.records import Change, Memory
from langgraph_memskill.retrieval import rank
from langgraph_memskill.stores.change_history import adopted_changes, outside_change, versions_of
from langgraph_memskill.stores.changes import ChangeLog


def checked_time(as_of: datetime) -> datetime:
    """The time in UTC.

    Raises:
        ConfigError: If it is no time, or one without a time zone.
    """
    if not isinstance(as_of, datetime) or as_of.tzinfo is None:
        raise ConfigError(f"as_of={as_of!r} must be a datetime with a time zone, such as UTC")
    return as_of.astimezone(UTC)


def memories_at(
    at: datetime,
    log: ChangeLog,
    namespace: Namespace,
    live: Iterable[Memory],
    deleted: Iterable[Memory],
) -> list[Memory]:
    """The memories of a namespace as they were, each with its history up to then.

    What the log does not know is taken from the memories' own histories. A memory that something
    else wrote is known only from its last writing on, and one that expired counts as there until
    that was noticed. Purged memories are gone from the past, too.

    Args:
        at: When.
        log: The log.
        namespace: Whose memories.
        live: All of them as they are now.
        deleted: The namespace's deleted ones.
    """
    logged: dict[str, list[Change]] = {}
    for change in log.read_all(namespace):
        logged.setdefault(change.memory_id, []).append(change)
    for memory in deleted:
        if memory.id not in logged:
            logged[memory.id] = adopted_changes(memory, deleted=True)
    for memory in live:
        known = logged.get(memory.id)
        if known is None:
            logged[memory.id] = adopted_changes(memory)
        elif known[-1].content != memory.content:
            known.append(outside_change(known[-1], memory, memory.updated_at, "outside"))
    return [past for changes in logged.values() if (past := _state_at(at, changes)) is not None]


def rank_past(encoder: TextEncoder, query: str, memories: Sequence[Memory], k: int) -> list[Memory]:
    """The k memories most similar to a query, most similar first, `score` set.

    The store's index knows the present only, so the texts are embedded (or found in the encoder's
    cache) and compared here.
    """
    rows = encoder.encode([memory.content for memory in memories])
    ranking = rank(encoder.encode([query])[0], rows, k)
    return [
        replace(memories[i], score=float(score))
        for i, score in zip(ranking.indices, ranking.scores, strict=True)
    ]


def _state_at(at: datetime, changes: Sequence[Change]) -> Memory | None:
    until = [change for change in changes if change.at <= at]
    if not until or until[-1].after is None:
        return None
    return replace(until[-1].after, history=versions_of(until))
