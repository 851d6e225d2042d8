"""Puts memories from elsewhere into a store, batch by batch, as one run of changes."""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto
from typing import NamedTuple

from langgraph_memskill.errors import ConflictError
from langgraph_memskill.namespaces import Namespace
from langgraph_memskill.records import Change
from langgraph_memskill.stores.applying import Cause, MemoryWriter
from langgraph_memskill.stores.change_plans import Plan
from langgraph_memskill.transfer.memory_file import FileEntry
from langgraph_memskill.transfer.reports import (
    Conflict,
    LoadReport,
    OnConflict,
    SkippedRecord,
    checked_conflict_rule,
)

IMPORT = "import"
"""The cause of every change that a load makes."""

_AT_ONCE = 200


class _Case(Enum):
    NEW = auto()
    SAME = auto()
    UNDONE = auto()
    """An earlier load brought it and was undone."""
    CONFLICT = auto()


class _Decision(NamedTuple):
    case: _Case
    reason: str = ""


class MemoryLoader:
    """One load into one store.

    Memories keep their ids, so a second load of the same finds everything there. All changes have
    the cause "import" and one run id. A load that is broken off has loaded whole batches; loading
    again goes on.
    """

    def __init__(self, writer: MemoryWriter, on_conflict: OnConflict, thread: str | None) -> None:
        """Begin a run.

        Args:
            writer: Where to.
            on_conflict: What to do with memories that are here with another content.
            thread: The LangGraph thread that it is done from.

        Raises:
            ConfigError: If the rule is unknown.
        """
        checked_conflict_rule(on_conflict)
        self.run_id = uuid.uuid4().hex
        self._writer = writer
        self._on_conflict = on_conflict
        self._cause = Cause(kind=IMPORT, run_id=self.run_id, thread_id=thread)
        self._num_added = self._num_replaced = self._num_unchanged = self._num_deleted = 0
        self._conflicts: list[Conflict] = []

    def refuse_conflicts(self, entries: Iterable[FileEntry]) -> None:
        """Look at everything before anything is written, if conflicts are errors.

        Raises:
            ConflictError: If a memory is here with another content.
        """
        if self._on_conflict != "error":
            return
        for namespace, some in batches(entries):
            plan = self._writer.look(namespace, [e.memory.id for e in some], self._cause)
            for entry in some:
                self._refuse(entry, self._decide(plan, entry))

    def load(self, namespace: Namespace, entries: Sequence[FileEntry]) -> None:
        """Load memories of one namespace, all or none of them.

        Args:
            namespace: Whose they become.
            entries: At most a few hundred, with distinct ids.

        Raises:
            ConflictError: If conflicts are errors and there is one.
            StoreError: If the store or the log cannot be written.
        """
        here = [entry.moved_to(namespace) for entry in entries]
        tally: list[tuple[FileEntry, _Decision]] = []

        def plan_changes(plan: Plan) -> None:
            tally.clear()
            for entry in here:
                decision = self._decide(plan, entry)
                self._refuse(entry, decision)
                tally.append((entry, decision))
                self._plan(plan, entry, decision.case)

        ids = [entry.memory.id for entry in here]
        self._writer.carry_out(namespace, ids, self._cause, plan_changes)
        for entry, decision in tally:
            self._count(entry, decision)

    def report(self, skipped: Sequence[SkippedRecord] = ()) -> LoadReport:
        """What was done so far."""
        return LoadReport(
            run_id=self.run_id,
            num_added=self._num_added,
            num_replaced=self._num_replaced,
            num_unchanged=self._num_unchanged,
            num_deleted_added=self._num_deleted,
            conflicts=tuple(self._conflicts),
            skipped=tuple(skipped),
        )

    def _decide(self, plan: Plan, entry: FileEntry) -> _Decision:
        memory_id = entry.memory.id
        live, last = plan.live(memory_id), plan.last(memory_id)
        if live is None and last is None:
            return _Decision(_Case.NEW)
        if entry.is_deleted:
            if live is None:
                return _Decision(_Case.SAME)
            return _Decision(_Case.CONFLICT, "it is not deleted here")
        if live is not None:
            if live.content == entry.memory.content:
                return _Decision(_Case.SAME)
            return _Decision(_Case.CONFLICT, "it has another text here")
        if last is None:
            raise AssertionError(f"a memory without a last change: {memory_id!r}")
        if self._took_back_a_load(last):
            return _Decision(_Case.UNDONE)
        if last.cause == "ttl":
            return _Decision(_Case.CONFLICT, "it has expired here")
        how = "purged" if last.purged_at else "deleted"
        return _Decision(_Case.CONFLICT, f"it was {how} here")

    def _took_back_a_load(self, last: Change) -> bool:
        if last.undoes is None:
            return False
        log, key = self._writer.log, last.undoes
        undone = log.entries(last.namespace, memory_id=last.memory_id, change_id=key)
        return any(change.cause == IMPORT for change in undone)

    def _plan(self, plan: Plan, entry: FileEntry, case: _Case) -> None:
        change_id = uuid.uuid4().hex
        if case is _Case.NEW:
            plan.take_in(entry.memory, deleted=entry.is_deleted, change_id=change_id)
        elif case is _Case.UNDONE or (case is _Case.CONFLICT and self._on_conflict == "replace"):
            after = None if entry.is_deleted else entry.memory
            plan.put(entry.memory.id, after, change_id)

    def _refuse(self, entry: FileEntry, decision: _Decision) -> None:
        if decision.case is _Case.CONFLICT and self._on_conflict == "error":
            raise ConflictError(
                f"the memory {entry.memory.id!r} cannot be loaded: {decision.reason}. "
                "on_conflict='skip' keeps what is here, 'replace' takes what comes. What this run "
                f"({self.run_id}) has loaded already, if anything, can be undone"
            )

    def _count(self, entry: FileEntry, decision: _Decision) -> None:
        match decision.case:
            case _Case.SAME:
                self._num_unchanged += 1
            case _Case.NEW if entry.is_deleted:
                self._num_deleted += 1
            case _Case.NEW | _Case.UNDONE:
                self._num_added += 1
            case _Case.CONFLICT if self._on_conflict == "replace":
                self._num_replaced += 1
            case _:
                memory = entry.memory
                self._conflicts.append(
                    Conflict(
                        memory_id=memory.id, namespace=memory.namespace, reason=decision.reason
                    )
                )


def batches(entries: Iterable[FileEntry]) -> Iterator[tuple[Namespace, list[FileEntry]]]:
    """Cut entries into batches of one namespace each, without reordering them."""
    batch: list[FileEntry] = []
    for entry in entries:
        is_other = bool(batch) and batch[0].memory.namespace != entry.memory.namespace
        if is_other or len(batch) == _AT_ONCE:
            yield batch[0].memory.namespace, batch
            batch = []
        batch.append(entry)
    if batch:
        yield batch[0].memory.namespace, batch
