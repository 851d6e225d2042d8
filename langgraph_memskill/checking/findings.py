"""What a check of memories finds, and what a repair has done."""

from dataclasses import dataclass, field
from enum import StrEnum

from langgraph_memskill.namespaces import Namespace


class FindingKind(StrEnum):
    """What is wrong."""

    JUNK = "junk"
    """A memory that says nothing: blank, a greeting, a piece of a prompt."""
    DUPLICATE = "duplicate"
    """Memories with the same text, but for blanks and marks."""
    NEAR_DUPLICATE = "near-duplicate"
    """Memories with the same words in another order or spelling."""
    CONTRADICTION = "contradiction"
    """Two memories that may contradict each other; a person has to decide."""
    UNLOGGED = "unlogged"
    """A memory of the store that the change log does not know."""
    CHANGED_OUTSIDE = "changed-outside"
    """A memory that is not as its last logged change left it."""
    VANISHED = "vanished"
    """A memory that is in the log and no longer in the store, where none expire."""
    STRAY_TOMBSTONE = "stray-tombstone"
    """The tombstone of a memory that is not deleted, or that was purged."""
    DAMAGED_LOG = "damaged-log"
    STRAY_SPAN = "stray-span"
    """A queued span of a namespace that is no namespace of this memory's."""
    STRAY_FEEDBACK = "stray-feedback"
    """A reward for an episode that changed no memory."""
    ORPHAN_VECTORS = "orphan-vectors"
    """Vectors of no item, and collections that a re-embedding left behind."""
    EXPIRED = "expired"
    """What has expired and waits for the sweep, or was swept without the log's knowledge."""
    STRAY_INDEX = "stray-index"
    """Lexical indexes of namespaces without any memory."""
    UNFINISHED_REEMBEDDING = "unfinished-reembedding"
    FOREIGN_ITEM = "foreign-item"
    """An item that another program wrote; it is shown as a memory without provenance."""


NOTES = frozenset(
    {
        FindingKind.STRAY_FEEDBACK,
        FindingKind.EXPIRED,
        FindingKind.STRAY_INDEX,
        FindingKind.UNFINISHED_REEMBEDDING,
        FindingKind.FOREIGN_ITEM,
    }
)
"""Kinds that are told and are no fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a check has found."""

    kind: FindingKind
    what: str
    """What was seen."""
    namespace: Namespace | None = None
    """Whose; None if it belongs to no user."""
    memory_ids: tuple[str, ...] = ()
    """The memories that it is about; of duplicates, the one to keep comes first."""
    contents: tuple[str, ...] = field(default=(), repr=False)
    """Their texts, where they have any."""
    fix: str = ""
    """What a repair would do; "" if it leaves this alone."""

    @property
    def is_problem(self) -> bool:
        """Whether something is wrong; a note is not."""
        return self.kind not in NOTES


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryCheck:
    """The result of a check."""

    num_memories: int
    num_namespaces: int
    findings: tuple[Finding, ...] = ()

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that are no mere notes."""
        return tuple(finding for finding in self.findings if finding.is_problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairReport:
    """What a repair has done; `undo(run_id)` takes back what it changed in memories."""

    run_id: str
    num_changes: int
    """Changes of memories; they have the cause "doctor"."""
    fixed: tuple[Finding, ...] = ()
    left: tuple[Finding, ...] = ()
    """What nobody but a person should decide, or what changed since the check."""
