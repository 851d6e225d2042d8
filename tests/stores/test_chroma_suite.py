"""The store suite over ChromaStore: in memory, in a folder, with a client, on a server.

In memory every check runs by the sync and the async methods; elsewhere, to save minutes, by the
sync ones, unless MEMSKILL_STORE_SUITE=full. Checks of the async methods themselves run everywhere.
"""

import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from langgraph_memskill.stores.chroma import ChromaStore
from langgraph_memskill.testing.cases import Case
from langgraph_memskill.testing.store_suite import Claims, StoreLoop, StoreSuite, index_config

WAYS = ["sync", "async"] if os.environ.get("MEMSKILL_STORE_SUITE") == "full" else ["sync"]


class Clock:
    """The time of day, and what the checks let pass on top."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def __call__(self) -> int:
        return time.time_ns() + self.ahead_ns


class TestInMemory(StoreSuite):
    claims = Claims(sync_calls=True, async_calls=True, vectors=True, ttl=True, ttl_s=60)
    clock: Clock

    @classmethod
    def place(cls, request: pytest.FixtureRequest) -> dict[str, Any]:
        return {"index": index_config()}

    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, request: pytest.FixtureRequest, store_loop: StoreLoop) -> Iterator[ChromaStore]:
        cls.clock = Clock()
        prefix = f"t{uuid.uuid4().hex[:12]}"
        with ChromaStore(**cls.place(request), prefix=prefix, clock=cls.clock) as store:
            yield store

    @pytest.fixture(autouse=True)
    def the_time_of_day(self, store: ChromaStore) -> Iterator[None]:
        """Each check begins at the time that it is."""
        yield
        self.clock.ahead_ns = 0

    def pass_time(self, store: Any, seconds: float) -> None:
        self.clock.ahead_ns += round(seconds * 1e9)


class MostlySync(TestInMemory):
    @pytest.fixture(params=WAYS)
    def case(self, request: pytest.FixtureRequest, make_case: Callable[[bool], Case]) -> Case:
        return make_case(request.param == "async")


class TestFolder(MostlySync):
    @classmethod
    def place(cls, request: pytest.FixtureRequest) -> dict[str, Any]:
        folders: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
        folder: Path = folders.mktemp("suite")
        return {"location": folder, "index": index_config()}


class TestClient(MostlySync):
    @classmethod
    def place(cls, request: pytest.FixtureRequest) -> dict[str, Any]:
        import chromadb

        return {"client": chromadb.EphemeralClient(), "index": index_config()}


class TestServer(MostlySync):
    @classmethod
    def place(cls, request: pytest.FixtureRequest) -> dict[str, Any]:
        return {"location": request.getfixturevalue("server_url"), "index": index_config()}


class TestWithoutVectors(MostlySync):
    claims = Claims(sync_calls=True, async_calls=True, vectors=False, ttl=True, ttl_s=60)

    @classmethod
    def place(cls, request: pytest.FixtureRequest) -> dict[str, Any]:
        return {}
