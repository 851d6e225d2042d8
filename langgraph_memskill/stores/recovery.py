"""What a crash or a failed write has left between log and store."""

from collections.abc import Sequence
from dataclasses import replace

from langgraph.store.base import PutOp

from langgraph_memskill.namespaces import Namespace
from langgraph_memskill.records import Change, Memory
from langgraph_memskill.stores.change_history import versions_of
from langgraph_memskill.stores.change_plans import State, put_state
from langgraph_memskill.stores.change_rows import bare
from langgraph_memskill.stores.changes import ChangeLog
from langgraph_memskill.stores.tombstones import remove_tombstone


def redo_writes(log: ChangeLog, namespace: Namespace) -> list[PutOp]:
    """The writes that bring a namespace's memories to where its pending changes lead.

    They are whole snapshots, so doing them once more changes nothing.
    """
    newest = {change.memory_id: change for change in log.entries(namespace, pending=True)}
    writes: list[PutOp] = []
    for memory_id, change in newest.items():
        if (memory := _memory_after(log, change)) is None:
            continue
        writes += put_state(change, memory)
        if change.after is not None:
            writes.append(remove_tombstone(namespace, memory_id))
    return writes


def lost_changes(pending: Sequence[Change], state: State) -> list[Change]:
    """Those of some pending changes that the store does not have.

    Args:
        pending: In order.
        state: Their memories, read back from the store.
    """
    by_memory: dict[str, list[Change]] = {}
    for change in pending:
        by_memory.setdefault(change.memory_id, []).append(change)
    lost: list[Change] = []
    for memory_id, changes in by_memory.items():
        present = bare(state.live.get(memory_id))
        reached = [n for n, change in enumerate(changes) if change.after == present]
        lost += changes[reached[-1] + 1 if reached else 0 :]
    return lost


def _memory_after(log: ChangeLog, change: Change) -> Memory | None:
    """The memory with its history after its last change; a deleted one as it was before."""
    settled = log.entries(change.namespace, memory_id=change.memory_id)
    pending = log.entries(change.namespace, memory_id=change.memory_id, pending=True)
    memory = change.after or change.before
    if memory is None:
        return None
    kept = memory if change.after else replace(memory, updated_at=change.at)
    return replace(kept, history=versions_of([*settled, *pending]))
