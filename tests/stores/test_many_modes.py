"""The store suite over ChromaStore: in memory, in a folder, with a client, on a server."""

import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from langgraph_memskill.stores.chroma import ChromaStore
from langgraph_memskill.testing.store_suite import (
    Claims,
    StoreLoop,
    StoreSuite,
    check_id,
    index_config,
)

# All checks in all modes take minutes: without this, the modes but the first run one check of each
# kind of trouble, and that by one kind of methods.
FULL = os.environ.get("MEMSKILL_STORE_SUITE") == "full"
CORE = {"it04", "tm03", "ba02", "ns04", "li10", "ve08", "ve10", "tt03", "er05", "as01", "co01"}


class Clock:
    """The time of day, and what the checks let pass on top."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def __call__(self) -> int:
        return time.time_ns() + self.ahead_ns


class ChromaSuite(StoreSuite):
    claims = Claims(sync_calls=True, async_calls=True, vectors=True, ttl=True, ttl_s=2)
    clock: Clock

    @classmethod
    def place(cls, request: pytest.FixtureRequest, folder: Path) -> dict[str, Any]:
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def store(
        cls,
        request: pytest.FixtureRequest,
        store_loop: StoreLoop,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> Iterator[ChromaStore]:
        cls.clock = Clock()
        with ChromaStore(
            **cls.place(request, tmp_path_factory.mktemp("suite")),
            index=index_config(),
            prefix=f"t{uuid.uuid4().hex[:12]}",
            clock=cls.clock,
        ) as store:
            yield store

    @pytest.fixture(autouse=True)
    def _only_the_core(self, request: pytest.FixtureRequest) -> None:
        if not FULL and not self.is_core(request):
            pytest.skip("not in the short run of this mode: set MEMSKILL_STORE_SUITE=full")

    def is_core(self, request: pytest.FixtureRequest) -> bool:
        return check_id(request.function.__name__) in CORE and "[async" not in request.node.name

    def pass_time(self, store: Any, seconds: float) -> None:
        self.clock.ahead_ns += round(seconds * 1e9)


class TestInMemory(ChromaSuite):
    def is_core(self, request: pytest.FixtureRequest) -> bool:
        is_short = check_id(request.function.__name__) in CORE
        return is_short or "[async" not in request.node.name

    @classmethod
    def place(cls, request: pytest.FixtureRequest, folder: Path) -> dict[str, Any]:
        return {}


class TestFolder(ChromaSuite):
    @classmethod
    def place(cls, request: pytest.FixtureRequest, folder: Path) -> dict[str, Any]:
        return {"location": folder}


class TestClient(ChromaSuite):
    @classmethod
    def place(cls, request: pytest.FixtureRequest, folder: Path) -> dict[str, Any]:
        import chromadb

        return {"client": chromadb.EphemeralClient()}


class TestServer(ChromaSuite):
    @classmethod
    def place(cls, request: pytest.FixtureRequest, folder: Path) -> dict[str, Any]:
        return {"location": request.getfixturevalue("server_url")}


class TestWithoutVectors(ChromaSuite):
    claims = Claims(sync_calls=True, async_calls=True, vectors=False, ttl=True, ttl_s=2)

    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, store_loop: StoreLoop) -> Iterator[ChromaStore]:
        cls.clock = Clock()
        with ChromaStore(clock=cls.clock) as store:
            yield store
