"""Evidence from a memory's store and change log."""

from collections.abc import Sequence

from langgraph_memskill.evolution.records import HardCase
from langgraph_memskill.namespaces import Namespace
from langgraph_memskill.records import ChangeKind, Memory
from langgraph_memskill.stores.changes import ChangeLog
from langgraph_memskill.stores.items import MemorySearch


class StoredEvidence:
    """The memories of the cases' namespaces, never those of another namespace.

    Those of the last namespace are kept, so cases are best looked at by namespace.
    """

    def __init__(self, search: MemorySearch, log: ChangeLog) -> None:
        """Read here."""
        self._search = search
        self._log = log
        self._namespace: Namespace = ()
        self._present: Sequence[Memory] | None = None
        self._past: Sequence[Memory] | None = None

    def present(self, case: HardCase) -> Sequence[Memory]:
        """All memories of the case's namespace."""
        if not case.namespace:
            return ()
        self._enter(case.namespace)
        if self._present is None:
            self._present = self._search.read_all(case.namespace)
        return self._present

    def past(self, case: HardCase) -> Sequence[Memory]:
        """What the change log says was overwritten or deleted in the namespace."""
        if not case.namespace:
            return ()
        self._enter(case.namespace)
        if self._past is None:
            self._past = [
                change.before
                for change in self._log.read_all(case.namespace)
                if change.before is not None
                and change.kind in (ChangeKind.UPDATE, ChangeKind.DELETE)
            ]
        return self._past

    def _enter(self, namespace: Namespace) -> None:
        if namespace != self._namespace:
            self._namespace = namespace
            self._present = self._past = None
