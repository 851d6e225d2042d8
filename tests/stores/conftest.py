"""Every way to open a ChromaStore, a real server included, and an embedding to work out by hand."""

import asyncio
import math
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph.store.base import Op

from langgraph_memskill.stores.chroma import ChromaStore
from tests.ports import free_port

DIMS = 3
START_S = 300


def embed_letters(texts: list[str]) -> list[list[float]]:
    """Counts the letters a, b and c: so every score can be worked out on paper."""
    return [[float(text.count(letter)) for letter in "abc"] for text in texts]


@pytest.fixture
def letters() -> Callable[[list[str]], list[list[float]]]:
    return embed_letters


@pytest.fixture
def index() -> dict[str, Any]:
    return {"dims": DIMS, "embed": embed_letters, "fields": ["text"]}


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Chroma server that runs for the whole session."""
    executable = shutil.which("chroma", path=str(Path(sys.executable).parent))
    if executable is None:
        pytest.skip("the executable 'chroma' is not installed beside Python")
    folder = tmp_path_factory.mktemp("server")
    port = free_port()
    command = [executable, "run", "--path", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "CHROMA_TELEMETRY": "false"}
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            for _ in range(START_S * 10):
                try:
                    if httpx.get(f"{url}/api/v2/heartbeat", timeout=5).is_success:
                        break
                except httpx.TransportError:
                    time.sleep(0.1)
            else:
                pytest.fail("the Chroma server did not start")
            yield url
        finally:
            process.terminate()
            process.wait(timeout=START_S)


@pytest.fixture(params=["memory", "folder", "client", "server"])
def open_store(
    request: pytest.FixtureRequest, tmp_path: Path, index: dict[str, Any]
) -> Iterator[Callable[..., ChromaStore]]:
    """Opens stores in each of the four modes."""
    yield from _opener(request, tmp_path, index)


@pytest.fixture(params=["folder", "client", "server"])
def open_place(
    request: pytest.FixtureRequest, tmp_path: Path, index: dict[str, Any]
) -> Iterator[Callable[..., ChromaStore]]:
    """Opens one and the same place again and again, in the modes that outlive a store."""
    yield from _opener(request, tmp_path, index)


def _opener(
    request: pytest.FixtureRequest, tmp_path: Path, index: dict[str, Any]
) -> Iterator[Callable[..., ChromaStore]]:
    opened: list[ChromaStore] = []
    options: dict[str, Any] = {"prefix": f"t{uuid.uuid4().hex[:12]}"}
    match request.param:
        case "folder":
            options["location"] = tmp_path / "chroma"
        case "server":
            options["location"] = request.getfixturevalue("server_url")
        case "client":
            import chromadb

            options["client"] = chromadb.EphemeralClient()

    def open_(**more: Any) -> ChromaStore:
        opened.append(ChromaStore(**{"index": index, **options, **more}))
        return opened[-1]

    yield open_
    for store in opened:
        store.close()


@pytest.fixture
def chroma(open_store: Callable[..., ChromaStore]) -> ChromaStore:
    return open_store()


@pytest.fixture(params=["sync", "async"])
def batch(request: pytest.FixtureRequest, chroma: ChromaStore) -> Callable[..., list[Any]]:
    """Runs a batch, by `batch` or by `abatch`."""

    def run(*ops: Op) -> list[Any]:
        return asyncio.run(chroma.abatch(ops)) if request.param == "async" else chroma.batch(ops)

    return run


@pytest.fixture
def cosine() -> Callable[[str, str], float]:
    """Cosine of two texts' letter counts."""

    def score(one: str, other: str) -> float:
        [left, right] = embed_letters([one, other])
        dot = sum(x * y for x, y in zip(left, right, strict=True))
        return dot / math.hypot(*left) / math.hypot(*right)

    return score
