"""What a memory keeps for the evolution of its skills: hard cases, and unfinished evolutions."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from langgraph_memskill.evolution.pool import HardCasePool
from langgraph_memskill.evolution.records import HardCase
from langgraph_memskill.namespaces import Namespace

if TYPE_CHECKING:
    from langgraph_memskill.evolution.runs import EvolutionRuns


class EvolutionFiles:
    """The folder evolution/ of a memory: cases.db and runs.db, made when they are needed."""

    def __init__(self, folder: Path | None = None) -> None:
        """Name the folder; None keeps everything in this process."""
        self.pool = HardCasePool(None if folder is None else folder / "cases.db")
        self._runs_file = None if folder is None else folder / "runs.db"
        self._runs: EvolutionRuns | None = None

    @property
    def runs(self) -> "EvolutionRuns":
        """The evolutions that are not at their end."""
        if self._runs is None:
            # Loading the graph takes a while, and most that open a memory never evolve it.
            from langgraph_memskill.evolution.runs import EvolutionRuns

            self._runs = EvolutionRuns(self._runs_file)
        return self._runs

    def purge(self, memory_ids: Collection[str], user: Namespace | None = None) -> None:
        """Remove the texts of memories, and with a namespace everything about its user.

        Raises:
            EvolutionError: If a file cannot be read or written: its texts may still be there.
        """
        ids = frozenset(memory_ids)

        def is_meant(case: HardCase) -> bool:
            return case.namespace == user or _shows(case, ids)

        def without(case: HardCase) -> HardCase | None:
            if user is not None and case.namespace == user:
                return None
            if not _shows(case, ids):
                return case
            kept = tuple(memory for memory in case.memories if memory.id not in ids)
            # The diagnosis quotes memories; it is made anew.
            return replace(case, memories=kept, diagnosis=None)

        if self._runs is not None or (self._runs_file is not None and self._runs_file.exists()):
            self.runs.purge(is_meant)
        self.pool.rewrite(without)

    def close(self) -> None:
        """Close the files. Closing twice is no error."""
        self.pool.close()
        if self._runs is not None:
            self._runs.close()


def _shows(case: HardCase, memory_ids: Collection[str]) -> bool:
    quoted = () if case.diagnosis is None else case.diagnosis.memories
    return any(memory.id in memory_ids for memory in (*case.memories, *quoted))
