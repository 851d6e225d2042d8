"""What can be done about faults in stored memories: check, repair."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from langgraph.store.base import BaseStore

from langgraph_memskill.checking.check import OnCheck, check_everything
from langgraph_memskill.checking.findings import MemoryCheck, RepairReport
from langgraph_memskill.checking.repairs import Repairer
from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.namespaces import Namespace, NamespaceTemplate
from langgraph_memskill.stores.applying import MemoryWriter
from langgraph_memskill.threads import current_thread_id


class MemoryChecks(ABC):
    """The part of `StoredMemories` that looks for faults. The async twins work in a thread."""

    store: BaseStore
    encoder: TextEncoder
    namespace: NamespaceTemplate
    _writer: MemoryWriter

    def check_memories(
        self,
        *,
        user_id: str | int | None = None,
        scope: Mapping[str, object] | None = None,
        on_progress: OnCheck | None = None,
    ) -> MemoryCheck:
        """Look for junk, duplicates, contradictions, orphans, and log and store that disagree.

        Nothing is changed, and reading does not count as use for times to live.

        Args:
            user_id: Whose memories; None (and no scope) checks all users' and what lies beside.
            scope: Values of the namespace's other placeholders.
            on_progress: Called after every user.

        Raises:
            StoreError: If store or log cannot be read.
        """
        everyone = user_id is None and scope is None and bool(self.namespace.names)
        only = None if everyone else self.namespace_for(user_id, scope)
        return check_everything(self._writer, self.encoder, self.namespace, only, on_progress)

    async def acheck_memories(self, **options: Any) -> MemoryCheck:
        """Like `check_memories`, with the same options, without blocking the event loop."""
        return await asyncio.to_thread(self.check_memories, **options)

    def repair_memories(self, check: MemoryCheck) -> RepairReport:
        """Repair what is safe of what a check has found.

        Junk is deleted, duplicates become one memory with the sources of all, the log is told what
        the store has, stray tombstones, orphans and expired items are removed. Contradictions and
        damage are left to a person, and so is what has changed since the check. The changes of
        memories have the cause "doctor" and one run id, which `undo` takes back. On a Chroma server
        no other process should write meanwhile: what it has begun to write looks like an orphan.

        Args:
            check: What `check_memories` gave.

        Raises:
            StoreError: If store or log cannot be written.
        """
        return Repairer(self._writer, current_thread_id()).repair(check)

    async def arepair_memories(self, check: MemoryCheck) -> RepairReport:
        """Like `repair_memories`, without blocking the event loop."""
        return await asyncio.to_thread(self.repair_memories, check)

    @abstractmethod
    def namespace_for(
        self, user_id: str | int | None = None, scope: Mapping[str, object] | None = None
    ) -> Namespace:
        """The namespace of a user's memories."""
