"""The suite over LangGraph's own stores; what they fail is listed, so that a change is noticed."""

import asyncio
import math
import sqlite3
from typing import Any

import pytest
from langgraph.store.base import BaseStore, TTLConfig
from langgraph.store.memory import InMemoryStore
from langgraph.store.sqlite import AsyncSqliteStore, SqliteStore

from langgraph_memskill.testing.store_suite import Claims, StoreSuite, index_config

needs_extensions = pytest.mark.skipif(
    not hasattr(sqlite3.Connection, "enable_load_extension"),
    reason="this Python's sqlite3 cannot load extensions, as sqlite-vec is one",
)

IN_MEMORY = {
    "it09": "get hands out the stored object",
    "it10": "put keeps the nested objects that it was given",
    "it11": "search hands out the stored object",
    "tm03": "an overwrite makes created_at anew",
    "li10": "an emptied namespace is still listed",
    "li11": "a get makes a namespace",
    "ve08": "vectors of paths that are gone stay",
    "ve09": "vectors stay after index=False",
    "ve14": "ValueError if a text stands in two items of a batch",
}
SQLITE = {
    "it08": "integers beyond 64 bits are refused (orjson)",
    "tm02": "times have no zone",
    "tm03": "an overwrite makes created_at anew",
    "tm04": "times are whole seconds",
    "fi03": "an object in a filter is taken for operators",
    "tt07": "refresh_on_read is off unless it is set",
    "tt09": "refresh_ttl=True does nothing unless refresh_on_read is set",
}
SQLITE_VECTORS = {
    "ve06": "an item with many vectors crowds others out (LIMIT before one vector an item)",
    "ve08": "vectors of paths that are gone stay",
    "ve09": "vectors stay after index=False",
    "ve10": "vectors of a deleted item come back with its key",
    "ve13": "pages of a query end after twice the limit",
    "ve16": 'index["fields"] is ignored (it reads "text_fields")',
    "er02": "a put whose embedding fails stores the item",
    "er03": "an overwrite whose embedding fails stores the new value",
    "er05": "a batch whose embedding fails is stored in part",
}


def options(has_vectors: bool) -> dict[str, Any]:
    # Something must be set for the store to look at it at all.
    ttl = TTLConfig(sweep_interval_minutes=5)
    return {"ttl": ttl, **({"index": index_config()} if has_vectors else {})}


def turn_back(seconds: float) -> str:
    """SQL that makes everything older."""
    whole = max(1, math.ceil(seconds))
    return f"""UPDATE store SET
        created_at = datetime(created_at, '-{whole} seconds'),
        updated_at = datetime(updated_at, '-{whole} seconds'),
        expires_at = strftime('%Y-%m-%d %H:%M:%f+00:00', expires_at, '-{seconds} seconds')"""


class TestInMemoryStore(StoreSuite):
    known_failures = IN_MEMORY
    known_races = {"co04": "RuntimeError: dictionary changed size during iteration"}

    @pytest.fixture
    def store(self) -> BaseStore:
        return InMemoryStore(index=index_config())


class SqliteSuite(StoreSuite):
    claims = Claims(clock_step_s=1.1, ttl_s=60)
    known_failures = SQLITE
    has_vectors = False

    @pytest.fixture
    def store(self) -> Any:
        return SqliteStore.from_conn_string(":memory:", **options(self.has_vectors))

    def pass_time(self, store: Any, seconds: float) -> None:
        with store.lock:
            store.conn.execute(turn_back(seconds))


class AsyncSqliteSuite(StoreSuite):
    # It takes a ttl although it says supports_ttl=False.
    claims = Claims(clock_step_s=1.1, ttl_s=60, ttl=True)
    known_failures = SQLITE
    has_vectors = False

    @pytest.fixture
    def store(self) -> Any:
        return AsyncSqliteStore.from_conn_string(":memory:", **options(self.has_vectors))

    def pass_time(self, store: Any, seconds: float) -> None:
        work = store.conn.execute(turn_back(seconds))
        asyncio.run_coroutine_threadsafe(_awaited(work), store.loop).result(60)


async def _awaited(work: Any) -> None:
    await work


class TestSqliteStoreWithoutVectors(SqliteSuite):
    pass


class TestAsyncSqliteStoreWithoutVectors(AsyncSqliteSuite):
    pass


@needs_extensions
class TestSqliteStore(SqliteSuite):
    known_failures = SQLITE | SQLITE_VECTORS
    has_vectors = True


@needs_extensions
class TestAsyncSqliteStore(AsyncSqliteSuite):
    known_failures = SQLITE | SQLITE_VECTORS | {"as03": "texts are embedded in the event loop"}
    has_vectors = True
