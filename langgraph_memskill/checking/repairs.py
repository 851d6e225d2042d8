"""Repairs what a check has found and is safe to repair.

A memory that is no longer as it was when it was checked is left alone.
"""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace

from langgraph_memskill.checking.findings import Finding, FindingKind, MemoryCheck, RepairReport
from langgraph_memskill.checking.leftovers import used_namespaces
from langgraph_memskill.namespaces import Namespace
from langgraph_memskill.records import Memory
from langgraph_memskill.search.lexical import LexicalIndexes
from langgraph_memskill.stores.applying import Cause, MemoryWriter
from langgraph_memskill.stores.change_plans import Plan, reads, state_of
from langgraph_memskill.stores.chroma import ChromaStore
from langgraph_memskill.stores.tombstones import remove_tombstone

DOCTOR = "doctor"
"""The cause of every change that a repair makes."""

_AT_ONCE = 50
_RECONCILED = (
    FindingKind.UNLOGGED,
    FindingKind.CHANGED_OUTSIDE,
    FindingKind.VANISHED,
    FindingKind.EXPIRED,
)
_CHANGING = (FindingKind.JUNK, FindingKind.DUPLICATE, FindingKind.NEAR_DUPLICATE)


class Repairer:
    """One run of repairs."""

    def __init__(self, writer: MemoryWriter, thread: str | None) -> None:
        """Begin a run.

        Args:
            writer: Whose memories.
            thread: The LangGraph thread that it is done from.
        """
        self._writer = writer
        self._cause = Cause(kind=DOCTOR, run_id=uuid.uuid4().hex, thread_id=thread)
        self._num_changes = 0

    def repair(self, check: MemoryCheck) -> RepairReport:
        """Repair what is safe, the log first."""
        fixed: list[Finding] = []
        fixed += self._fix_beside(check.findings)
        fixed += self._fix_agreement(check.findings)
        for namespace, some in _portions(check.findings, _CHANGING):
            fixed += self._change(namespace, some)
        done = {id(finding) for finding in fixed}
        return RepairReport(
            run_id=self._cause.run_id or "",
            num_changes=self._num_changes,
            fixed=tuple(fixed),
            left=tuple(finding for finding in check.findings if id(finding) not in done),
        )

    def _fix_beside(self, findings: Iterable[Finding]) -> list[Finding]:
        fixed: list[Finding] = []
        store = self._writer.store
        for finding in findings:
            match finding.kind:
                case FindingKind.STRAY_INDEX:
                    LexicalIndexes.beside(self._writer.log).drop_others(used_namespaces(store))
                case FindingKind.ORPHAN_VECTORS if isinstance(store, ChromaStore):
                    store.remove_orphans()
                case FindingKind.EXPIRED if finding.namespace is None and isinstance(
                    store, ChromaStore
                ):
                    store.sweep_ttl()
                case _:
                    continue
            fixed.append(finding)
        return fixed

    def _fix_agreement(self, findings: Sequence[Finding]) -> list[Finding]:
        fixed: list[Finding] = []
        for namespace, some in _portions(findings, _RECONCILED):
            self._writer.reconcile(namespace, [key for f in some for key in f.memory_ids])
            fixed += some
        for namespace, some in _portions(findings, (FindingKind.STRAY_TOMBSTONE,)):
            with self._writer.hold(namespace):
                fixed += self._remove_tombstones(namespace, some)
        return fixed

    def _remove_tombstones(
        self, namespace: Namespace, findings: Sequence[Finding]
    ) -> list[Finding]:
        ids = [key for finding in findings for key in finding.memory_ids]
        present = state_of(ids, self._writer.store.batch(reads(namespace, ids)))
        last = self._writer.log.look(namespace, ids).last
        stray = {key for key in ids if key in present.live}
        stray |= {key for key, change in last.items() if change.purged_at is not None}
        self._writer.store.batch([remove_tombstone(namespace, key) for key in stray])
        return [finding for finding in findings if stray.issuperset(finding.memory_ids)]

    def _change(self, namespace: Namespace, findings: Sequence[Finding]) -> list[Finding]:
        fixed: list[Finding] = []

        def plan_changes(plan: Plan) -> None:
            fixed.clear()
            fixed.extend(finding for finding in findings if _plan(plan, finding))

        ids = list(dict.fromkeys(key for finding in findings for key in finding.memory_ids))
        self._writer.carry_out(namespace, ids, self._cause, plan_changes)
        # Of duplicates one is touched and the others are deleted: as many changes as memories.
        self._num_changes += sum(len(finding.memory_ids) for finding in fixed)
        return fixed


def _plan(plan: Plan, finding: Finding) -> bool:
    """Plan the repair of a finding; false if something has changed since."""
    memories = [plan.live(memory_id) for memory_id in finding.memory_ids]
    found = [memory for memory in memories if memory is not None]
    if tuple(memory.content for memory in found) != finding.contents:
        return False
    first, *others = found
    if finding.kind is FindingKind.JUNK:
        plan.put(first.id, None, uuid.uuid4().hex)
        return True
    plan.put(first.id, _with_origins(first, others), uuid.uuid4().hex)
    for other in others:
        plan.put(other.id, None, uuid.uuid4().hex)
    return True


def _with_origins(memory: Memory, others: Sequence[Memory]) -> Memory:
    """A memory with the sources and skills of its duplicates, too."""
    all_of_them = [memory, *others]
    return replace(
        memory,
        sources=tuple(dict.fromkeys(s for one in all_of_them for s in one.sources)),
        skills=tuple(dict.fromkeys(name for one in all_of_them for name in one.skills)),
    )


def _portions(
    findings: Iterable[Finding], kinds: Sequence[FindingKind]
) -> Iterable[tuple[Namespace, list[Finding]]]:
    by_namespace: dict[Namespace, list[Finding]] = {}
    for finding in findings:
        if finding.kind in kinds and finding.namespace is not None:
            by_namespace.setdefault(finding.namespace, []).append(finding)
    for namespace, some in by_namespace.items():
        for start in range(0, len(some), _AT_ONCE):
            yield namespace, some[start : start + _AT_ONCE]
