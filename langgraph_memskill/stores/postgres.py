"""Memories in Postgres: LangGraph's PostgresStore on pgvector, opened, closed and kept consistent.

Import it only to open one: it needs the extra `postgres`.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from langgraph.store.base import GetOp, IndexConfig, Item, Op, Result, TTLConfig

from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.errors import (
    ConflictError,
    EmbeddingMismatchError,
    StoreError,
    missing_dependency,
)
from langgraph_memskill.memory_places import public_place
from langgraph_memskill.namespaces import internal_namespace
from langgraph_memskill.stores.conditional import (
    ConditionalWrites,
    PutIfOp,
    StoreOp,
    check_expected,
)

try:
    import psycopg
    from langgraph.store.postgres import PostgresStore
    from langgraph.store.postgres.base import PostgresIndexConfig
    from psycopg import Connection
    from psycopg.rows import DictRow, dict_row
    from psycopg_pool import ConnectionPool
except ImportError as error:
    raise missing_dependency(
        error.name or "psycopg", "postgres", "Keeping memories in Postgres"
    ) from error

_CONNECTIONS = 8
_CONNECT_S = 30.0
_POLL_S = 0.1
_SETUP_LOCK = 5_577_302_611
"""The advisory lock under which tables are made; any number that nobody else is likely to use."""
_FINGERPRINT = internal_namespace("store")
_FINGERPRINT_KEY = "encoder"


class MemoryPostgresStore(ConditionalWrites, PostgresStore):
    """A PostgresStore with a connection pool of its own, clear errors, and compare-and-set.

    `put_if` and `delete_if` are one step for everybody who writes these items with them, on any
    machine: writers of one namespace take turns by an advisory lock of the database.
    """

    def __init__(
        self,
        url: str,
        *,
        index: PostgresIndexConfig | None = None,
        ttl: TTLConfig | None = None,
        num_connections: int = _CONNECTIONS,
    ) -> None:
        """Connect, and make the tables if they are not there.

        Args:
            url: A libpq URL, "postgresql://user@host:5432/database"; a password may also come from
                PGPASSWORD or ~/.pgpass.
            index: As for PostgresStore.
            ttl: As for PostgresStore.
            num_connections: Size of each of its two pools, >= 1: one reads and writes, the other
                holds the locks of conditional writes, so that they never wait for each other.

        Raises:
            StoreError: If the server cannot be reached, refuses, or has no pgvector.
        """
        self.place = public_place(url)
        pool = _pool(url, num_connections)
        super().__init__(pool, index=index, ttl=ttl)
        self._pools = (pool, _pool(url, num_connections))
        with self._translated("connecting"):
            with psycopg.connect(url, connect_timeout=int(_CONNECT_S)):
                pass  # the pool would try again for long where this says at once what is wrong
            try:
                for each in self._pools:
                    each.open(wait=True, timeout=_CONNECT_S)
                self._set_up()
            except BaseException:
                self.close()
                raise

    def batch(self, ops: Iterable[StoreOp]) -> list[Result]:
        """Carry out operations together; all conditions are checked before anything is written.

        Raises:
            ConflictError: If a condition does not hold; nothing was written.
            StoreError: If the database cannot be read or written.
        """
        ops = list(ops)
        plain: list[Op] = [op.op if isinstance(op, PutIfOp) else op for op in ops]
        conditional = [op for op in ops if isinstance(op, PutIfOp)]
        with self._translated("reading or writing"):
            if not conditional:
                return PostgresStore.batch(self, plain)
            with self._claimed({op.op.namespace for op in conditional}):
                self._check(conditional)
                return PostgresStore.batch(self, plain)

    async def abatch(self, ops: Iterable[StoreOp]) -> list[Result]:
        """Like `batch`, in a thread."""
        return await asyncio.to_thread(self.batch, list(ops))

    def close(self) -> None:
        """Close the connections; closing twice does no harm."""
        for pool in self._pools:
            pool.close()

    def check_encoder(self, name: str, dim: int) -> None:
        """Refuse another embedding model than the one whose vectors are here.

        Raises:
            EmbeddingMismatchError: If there are vectors of another model.
            StoreError: If the database cannot be read or written.
        """
        found = self.get(_FINGERPRINT, _FINGERPRINT_KEY)
        if found is None:
            value = {"name": name, "dims": dim}
            try:
                self.put_if(_FINGERPRINT, _FINGERPRINT_KEY, value, expected=None, index=False)
            except ConflictError:  # another process has just opened it for the first time
                self.check_encoder(name, dim)
            return
        if (found.value["name"], found.value["dims"]) != (name, dim):
            raise EmbeddingMismatchError(
                f"the memories at {self.place} were embedded with {found.value['name']!r} "
                f"({found.value['dims']} dimensions), not with {name!r} ({dim}): open them with "
                f"encoder={found.value['name']!r}, or use another database"
            )

    def _check(self, conditional: list[PutIfOp]) -> None:
        for one in conditional:
            check_expected(one.expected)
        reads = [GetOp(one.op.namespace, one.op.key, refresh_ttl=False) for one in conditional]
        for one, item in zip(conditional, PostgresStore.batch(self, reads), strict=True):
            seen = item.updated_at if isinstance(item, Item) else None
            if seen != one.expected:
                raise ConflictError(
                    f"the item {one.op.key!r} in {one.op.namespace!r} is of {seen}, not of "
                    f"{one.expected}: somebody else wrote it; read it again"
                )

    @contextmanager
    def _claimed(self, namespaces: set[tuple[str, ...]]) -> Iterator[None]:
        """Keep other conditional writers out of namespaces; the server frees what a crash leaves.

        The locks are taken in one order, so that two writers cannot wait for each other.
        """
        keys = sorted({_lock_key(namespace) for namespace in namespaces})
        with self._pools[1].connection() as connection, connection.transaction():
            for key in keys:
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (key,))
            yield

    def _set_up(self) -> None:
        # Polled: a lock that is waited for in the database holds a snapshot, which the building of
        # an index "concurrently" would wait for in turn.
        with self._pools[1].connection() as connection:
            while not _first(connection.execute("SELECT pg_try_advisory_lock(%s)", (_SETUP_LOCK,))):
                time.sleep(_POLL_S)
            try:
                self.setup()
            finally:
                connection.execute("SELECT pg_advisory_unlock(%s)", (_SETUP_LOCK,))

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (psycopg.Error, UnicodeError) as error:
            raise StoreError(
                f"{doing} failed in the Postgres database at {self.place}: "
                f"{str(error).strip() or type(error).__name__}{_advice(str(error))}"
            ) from error


def open_postgres(url: str, index: IndexConfig, encoder: TextEncoder, ttl: TTLConfig | None) -> Any:
    """Open the memories in a Postgres database, for one embedding model.

    Vectors are searched exactly (no HNSW index): an approximate index is asked before the namespace
    is looked at, and finds too little of one user's memories among those of many.

    Args:
        url: As for MemoryPostgresStore.
        index: LangGraph's index configuration.
        encoder: The embedding model.
        ttl: How long memories live; None is for ever.

    Returns:
        A MemoryPostgresStore; whoever opens it closes it.

    Raises:
        StoreError: If it cannot be opened.
        EmbeddingMismatchError: If its vectors are of another model.
    """
    exact = cast(PostgresIndexConfig, {**index, "ann_index_config": {"kind": "flat"}})
    hidden = None if ttl is None else cast(TTLConfig, {**ttl, "omit_expired": True})
    store = MemoryPostgresStore(url, index=exact, ttl=hidden)
    try:
        store.check_encoder(encoder.name, encoder.dim)
    except BaseException:
        store.close()
        raise
    return store


def _pool(url: str, num_connections: int) -> "ConnectionPool[Connection[DictRow]]":
    return ConnectionPool(
        url,
        min_size=1,
        max_size=num_connections,
        timeout=_CONNECT_S,
        open=False,
        check=ConnectionPool.check_connection,  # a server that was restarted is found again
        kwargs={"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row},
    )


def _lock_key(namespace: tuple[str, ...]) -> int:
    digest = hashlib.sha256(json.dumps(["memskill", *namespace]).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _first(cursor: Any) -> bool:
    row = cursor.fetchone()
    return bool(next(iter(row.values())))


def _advice(text: str) -> str:
    lowered = text.lower()
    for signs, advice in (
        (("refused", "timeout", "resolve", "no such file"), "check the URL and that it runs"),
        (("password", "authentication"), "set PGPASSWORD or ~/.pgpass, or put it into the URL"),
        (("extension", 'type "vector"'), "install pgvector on the server"),
        (("\\u0000", "nul"), "Postgres cannot keep the character NUL"),
    ):
        if any(sign in lowered for sign in signs):
            return f" ({advice})"
    return ""
