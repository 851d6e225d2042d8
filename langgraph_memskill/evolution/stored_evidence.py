"""Evidence from a memory's store and change log."""

from collections.abc import Sequence

from langgraph_memskill.evolution.records import HardCase
from langgraph_memskill.namespaces import Namespace
from langgraph_memskill.records import ChangeKind, Memory
from langgraph_memskill.stores.changes import ChangeLog
from langgraph_memskill.stores.items import MemorySearch


class StoredEvidence:
    """The memories of the cases' namespaces, each read once; never those of another namespace."""

    def __init__(self, search: MemorySearch, log: ChangeLog) -> None:
        """Read here."""
        self._search = search
        self._log = log
        self._present: dict[Namespace, list[Memory]] = {}
        self._past: dict[Namespace, list[Memory]] = {}

    def present(self, case: HardCase) -> Sequence[Memory]:
        """All memories of the case's namespace."""
        if not case.namespace:
            return ()
        if case.namespace not in self._present:
            self._present[case.namespace] = self._search.read_all(case.namespace)
        return self._present[case.namespace]

    def past(self, case: HardCase) -> Sequence[Memory]:
        """What the change log says was overwritten or deleted in the namespace."""
        if not case.namespace:
            return ()
        if case.namespace not in self._past:
            self._past[case.namespace] = [
                change.before
                for change in self._log.read_all(case.namespace)
                if change.before is not None
                and change.kind in (ChangeKind.UPDATE, ChangeKind.DELETE)
            ]
        return self._past[case.namespace]
