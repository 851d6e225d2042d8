"""Compare-and-set: writes that happen only if nobody else wrote in between."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal, NamedTuple

from langgraph.store.base import NOT_PROVIDED, NotProvided, Op, PutOp, Result, TTLConfig

from langgraph_memskill.errors import ConfigError


class PutIfOp(NamedTuple):
    """A put or delete for `ChromaStore.batch` that depends on what is there.

    All conditions of a batch are checked before anything of it is written.
    """

    op: PutOp
    expected: datetime | None
    """The `updated_at` that the item must have; None: there must be no such item."""


StoreOp = Op | PutIfOp
"""What a ChromaStore can carry out in a batch."""


class ConditionalWrites:
    """`put_if` and `delete_if` of a store that knows `PutIfOp`.

    An item's `updated_at` names its revision: no two revisions of a key have the same one. Check
    and write are one step for all threads, tasks and processes that use one folder, and for all
    threads and tasks that share a store in memory. On a Chroma server, or with a client, they are
    one step for everybody who writes these items with `put_if` and `delete_if` (see claims.py); a
    plain `put` by another store object can come in between, for Chroma itself cannot compare and
    set. There an item whose writer died conflicts for five minutes.
    """

    __slots__ = ()

    ttl_config: TTLConfig | None

    def batch(self, ops: Iterable[StoreOp]) -> list[Result]:
        """Carry out operations together."""
        raise NotImplementedError

    async def abatch(self, ops: Iterable[StoreOp]) -> list[Result]:
        """Carry out operations together."""
        raise NotImplementedError

    def put_if(
        self,
        namespace: tuple[str, ...],
        key: str,
        value: dict[str, Any],
        *,
        expected: datetime | None,
        index: Literal[False] | list[str] | None = None,
        ttl: float | None | NotProvided = NOT_PROVIDED,
    ) -> None:
        """Put an item if it is still as it was read.

        Args:
            namespace: Where.
            key: Under which key.
            value: The new value.
            expected: The `updated_at` of the item that this replaces; None: there must be none.
            index: What to index, as in `put`.
            ttl: Time to live in minutes, as in `put`.

        Raises:
            ConflictError: If the item is another or none; nothing was written.
            ConfigError: If `expected` has no time zone.
        """
        self.batch([self._put_if(namespace, key, value, expected, index, ttl)])

    async def aput_if(
        self,
        namespace: tuple[str, ...],
        key: str,
        value: dict[str, Any],
        *,
        expected: datetime | None,
        index: Literal[False] | list[str] | None = None,
        ttl: float | None | NotProvided = NOT_PROVIDED,
    ) -> None:
        """Put an item like `put_if`, without blocking the event loop."""
        await self.abatch([self._put_if(namespace, key, value, expected, index, ttl)])

    def delete_if(self, namespace: tuple[str, ...], key: str, *, expected: datetime) -> None:
        """Delete an item if it is still as it was read.

        Args:
            namespace: Where.
            key: Under which key.
            expected: The `updated_at` that it must have.

        Raises:
            ConflictError: If the item is another or none; nothing was deleted.
            ConfigError: If `expected` has no time zone.
        """
        self.batch([PutIfOp(PutOp(namespace, key, None), expected)])

    async def adelete_if(self, namespace: tuple[str, ...], key: str, *, expected: datetime) -> None:
        """Delete an item like `delete_if`, without blocking the event loop."""
        await self.abatch([PutIfOp(PutOp(namespace, key, None), expected)])

    def _put_if(
        self,
        namespace: tuple[str, ...],
        key: str,
        value: dict[str, Any],
        expected: datetime | None,
        index: Literal[False] | list[str] | None,
        ttl: float | None | NotProvided,
    ) -> PutIfOp:
        if isinstance(ttl, NotProvided):
            ttl = (self.ttl_config or {}).get("default_ttl")
        return PutIfOp(PutOp(namespace, key, value, index=index, ttl=ttl), expected)


def check_expected(expected: datetime | None) -> None:
    """Refuse a time that would equal no item's.

    Raises:
        ConfigError: If it has no time zone.
    """
    if expected is not None and (not isinstance(expected, datetime) or expected.tzinfo is None):
        raise ConfigError(
            f"expected is {expected!r}: give the updated_at of the item as it was read (a datetime "
            "with a time zone), or None if there must be no item"
        )
