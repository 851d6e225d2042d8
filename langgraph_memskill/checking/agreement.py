"""Whether store and change log say the same of one namespace."""

from collections.abc import Mapping, Sequence

from langgraph_memskill.checking.findings import Finding, FindingKind
from langgraph_memskill.namespaces import Namespace
from langgraph_memskill.records import Change, Memory

_RECONCILE = "tell the log how the store is; the former text stays in the log"


def find_disagreements(
    namespace: Namespace,
    live: Sequence[Memory],
    deleted: Sequence[Memory],
    last: Mapping[str, Change],
    *,
    is_complete: bool,
    may_expire: bool,
) -> list[Finding]:
    """Compare the memories of a namespace with their last changes.

    Args:
        namespace: Whose.
        live: Its memories.
        deleted: Its deleted ones.
        last: The newest logged change of each memory.
        is_complete: Whether the log is older than the memories; one in memory is not.
        may_expire: Whether memories of the store expire.
    """
    found: list[Finding] = []
    present = {memory.id for memory in live}
    for memory in live:
        change = last.get(memory.id)
        if change is None:
            # What something else wrote is logged when it is first changed.
            if is_complete and memory.history:
                found.append(_unlogged(memory))
        elif change.content != memory.content:
            what = "it is not as the last logged change left it"
            found.append(_of(FindingKind.CHANGED_OUTSIDE, memory, what, _RECONCILE))
    for memory in deleted:
        change = last.get(memory.id)
        if memory.id in present or (change is not None and change.purged_at is not None):
            why = "not deleted" if memory.id in present else "purged"
            found.append(
                _of(
                    FindingKind.STRAY_TOMBSTONE,
                    memory,
                    f"there is a tombstone, but the memory is {why}",
                    "remove the tombstone",
                )
            )
        elif change is None and is_complete:
            found.append(_unlogged(memory))
    found += [
        Finding(
            kind=FindingKind.EXPIRED if may_expire else FindingKind.VANISHED,
            what="it is in the log, but no longer in the store: it expired, or others deleted it",
            namespace=namespace,
            memory_ids=(memory_id,),
            contents=(change.content or "",),
            fix=_RECONCILE,
        )
        for memory_id, change in last.items()
        if change.after is not None and memory_id not in present
    ]
    return found


def _unlogged(memory: Memory) -> Finding:
    what = "the change log does not know it"
    return _of(FindingKind.UNLOGGED, memory, what, "enter it with its own history")


def _of(kind: FindingKind, memory: Memory, what: str, fix: str) -> Finding:
    return Finding(
        kind=kind,
        what=what,
        namespace=memory.namespace,
        memory_ids=(memory.id,),
        contents=(memory.content,),
        fix=fix,
    )
