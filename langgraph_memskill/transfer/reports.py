"""What an export, a load or an import has done."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from langgraph_memskill.errors import ConfigError
from langgraph_memskill.namespaces import Namespace

OnConflict = Literal["skip", "replace", "error"]
"""What is done with a memory whose id is known here with another content: "skip" keeps what is
here, "replace" takes what comes (what was here stays in the history), "error" changes nothing."""

OnTransfer = Callable[[int, int], None]
"""Called with how many memories are done and how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What an export has written."""

    path: Path
    num_memories: int
    num_deleted: int
    """Deleted memories, with their histories."""
    namespaces: tuple[Namespace, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A memory that is known here with another content."""

    memory_id: str
    namespace: Namespace
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedRecord:
    """A record that could not be used."""

    record: str
    """Which: a place in the file, or a key."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What a load or an import has done; `undo(run_id)` takes it back as a whole."""

    run_id: str
    num_added: int
    """Memories that were not here."""
    num_replaced: int
    """Memories that were here with another content (only with on_conflict="replace")."""
    num_unchanged: int
    """Memories that were here with the same content, and deleted ones that are not there here."""
    num_deleted_added: int
    """Deleted memories that were not known here; they can be read with their histories."""
    conflicts: tuple[Conflict, ...] = ()
    """Those that were kept as they are here (only with on_conflict="skip")."""
    skipped: tuple[SkippedRecord, ...] = ()
    """Records that could not be used, each with the reason."""

    @property
    def num_changed(self) -> int:
        """Memories that this run added or replaced: what `undo` takes back."""
        return self.num_added + self.num_replaced


def checked_conflict_rule(on_conflict: str) -> None:
    """Refuse an unknown rule.

    Raises:
        ConfigError: If it is not one of `OnConflict`.
    """
    if on_conflict not in {"skip", "replace", "error"}:
        raise ConfigError(f"on_conflict={on_conflict!r} must be 'skip', 'replace' or 'error'")
