"""Which changes can be taken back, and in which order."""

from collections.abc import Iterable, Mapping, Sequence

from langgraph_memskill.errors import UndoError
from langgraph_memskill.records import Change


def undo_order(wanted: Sequence[Change], logged: Mapping[str, Sequence[Change]]) -> list[Change]:
    """Order the changes that are to be taken back: newest first.

    Those that were taken back one by one before are left out.

    Args:
        wanted: One change, or those of a run.
        logged: All settled changes of their memories, oldest first, by memory id.

    Raises:
        UndoError: If a later change that still holds depends on one of them, its text was purged,
            or nothing is left to take back.
    """
    order: list[Change] = []
    taken: set[tuple[str, str]] = set()
    done: list[Change] = []
    for change in sorted(wanted, key=lambda change: change.seq, reverse=True):
        if change.purged_at is not None:
            raise UndoError(
                f"change {change.id!r} cannot be undone: the memory {change.memory_id!r} was "
                f"purged at {change.purged_at.isoformat()}"
            )
        later = [
            other
            for other in _still_holding(logged[change.memory_id], change)
            if (other.memory_id, other.id) not in taken
        ]
        if undone := [other for other in later if other.undoes == change.id]:
            done.append(undone[0])
            continue
        if later:
            raise UndoError(_refusal(change, later[0]))
        order.append(change)
        taken.add((change.memory_id, change.id))
    if not order:
        first = done[0]
        raise UndoError(
            f"change {first.undoes!r} was undone already, by change {first.id!r} (run "
            f"{first.run_id!r}): undo that one to have it back"
        )
    return order


def _still_holding(logged: Iterable[Change], change: Change) -> list[Change]:
    """The changes after this one, without those that were taken back and what took them back."""
    later = [other for other in logged if other.version > change.version]
    ids = {other.id for other in later}
    cancelled: set[str] = set()
    holding: list[Change] = []
    for other in reversed(later):  # the newest undo is the one that counts
        if other.id in cancelled:
            continue
        if other.undoes in ids:
            cancelled.add(other.undoes or "")
        else:
            holding.append(other)
    return holding[::-1]


def _refusal(change: Change, later: Change) -> str:
    run = "" if later.run_id is None else f" of run {later.run_id!r}"
    return (
        f"change {change.id!r} of memory {change.memory_id!r} cannot be undone: change "
        f"{later.id!r}{run} ({later.kind} by {later.cause!r}, {later.at.isoformat()}) was made "
        "after it; undo that one first"
    )
