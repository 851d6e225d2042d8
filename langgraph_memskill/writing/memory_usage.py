"""The part of `StoredMemories` that says what reading a user's spans has cost."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from langgraph.store.base import BaseStore

from langgraph_memskill.namespaces import Namespace
from langgraph_memskill.writing.budget import aread_usage, read_usage
from langgraph_memskill.writing.usage import UserUsage


class MemoryUsage(ABC):
    """Reads what the budgets of users have counted."""

    store: BaseStore

    @abstractmethod
    def namespace_for(
        self, user_id: str | int | None = None, scope: Mapping[str, object] | None = None
    ) -> Namespace:
        """The namespace of a user's memories."""

    def usage(
        self, *, user_id: str | int | None = None, scope: Mapping[str, object] | None = None
    ) -> UserUsage:
        """What a user's model calls have cost, in total and by UTC day.

        They are counted while the settings hold a budget per "day" or "user"; one without limits,
        `Budget(per="user")`, only counts.

        Args:
            user_id: Whose.
            scope: Values of the namespace's other placeholders.

        Raises:
            NamespaceError: If a placeholder of the namespace has no value.
        """
        return read_usage(self.store, self.namespace_for(user_id, scope))

    async def ausage(
        self, *, user_id: str | int | None = None, scope: Mapping[str, object] | None = None
    ) -> UserUsage:
        """Like `usage`, without blocking the event loop."""
        return await aread_usage(self.store, self.namespace_for(user_id, scope))
