"""Two processes on one Chroma server that is killed and started again between their writes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from langgraph_memskill import ChromaStore
from langgraph_memskill.errors import StoreError
from langgraph_memskill.memory import MemSkillMemory
from tests.ports import free_port

pytestmark = pytest.mark.server

START_S = 300
WRITER = """
import sys, time
from langgraph_memskill import ChromaStore
from langgraph_memskill.errors import StoreError

url, name, num_after = sys.argv[1], sys.argv[2], int(sys.argv[3])
embed = lambda texts: [[float(len(text)), 1.0, 0.0] for text in texts]
store = ChromaStore(url, index={"dims": 3, "embed": embed, "fields": ["text"]})
print("ready", flush=True)
sys.stdin.readline()
n, left = 0, None
while left is None or left > 0:
    try:
        store.put(("shared",), f"{name}{n}", {"text": f"{name} wrote {n}"})
        print("acknowledged", f"{name}{n}", flush=True)
        n, left = n + 1, left and left - 1
        store.search(("shared",), query="wrote", limit=3)
    except StoreError as error:
        print("error", str(error).replace(chr(10), " "), flush=True)
        left = num_after
        time.sleep(0.2)
store.close()
"""


class Server:
    """`chroma run` on a folder, which can be killed and started again on the same port."""

    def __init__(self, folder: Path) -> None:
        executable = shutil.which("chroma", path=str(Path(sys.executable).parent))
        if executable is None:
            pytest.skip("the executable 'chroma' is not installed beside Python")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = [executable, "run", "--path", str(folder), "--host", "127.0.0.1"]
        self._command += ["--port", str(self.port)]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "CHROMA_TELEMETRY": "false"},
        )
        for _ in range(START_S * 10):
            try:
                if httpx.get(f"{self.url}/api/v2/heartbeat", timeout=5).is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        pytest.fail("the Chroma server did not start")

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(timeout=START_S)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "server")
    yield server
    server.kill()


def _lines(process: "subprocess.Popen[str]", kind: str, wanted: int = 1) -> list[str]:
    """Lines up to the `wanted`-th of a kind."""
    assert process.stdout is not None
    found: list[str] = []
    while sum(line.startswith(kind) for line in found) < wanted:
        line = process.stdout.readline()
        assert line, f"the writer ended early: {found[-5:]}"
        found.append(line.strip())
    return found


def test_no_acknowledged_write_is_lost_when_the_server_is_killed(server: Server) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, server.url, name, "20"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("a", "b")
    ]
    # They begin together, and write until the server is gone and for a while after.
    for writer in writers:
        _lines(writer, "ready")
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    lines = [line for writer in writers for line in _lines(writer, "acknowledged", 5)]
    server.kill()
    # Until each of them has noticed; what they print first may be writes from before.
    lines += [line for writer in writers for line in _lines(writer, "error")]
    server.start()
    for writer in writers:
        out, _ = writer.communicate()
        assert writer.returncode == 0, out[-500:]
        lines += out.splitlines()
    acknowledged = {line.split()[1] for line in lines if line.startswith("acknowledged")}
    counts = [sum(key.startswith(name) for key in acknowledged) for name in "ab"]
    assert min(counts) >= 25
    written = zip("ab", counts, strict=True)
    assert acknowledged == {f"{name}{n}" for name, count in written for n in range(count)}
    errors = [line for line in lines if line.startswith("error")]
    assert all("the Chroma server at http://127.0.0.1" in error for error in errors)
    assert any("check the URL and that the server runs" in error for error in errors)
    store = ChromaStore(
        server.url,
        index={"dims": 3, "embed": lambda texts: [[1.0, 1.0, 0.0] for _ in texts]},
    )
    assert {item.key for item in store.search(("shared",), limit=100_000)} == acknowledged
    ranked = store.search(("shared",), query="wrote", limit=100_000)
    assert {item.key for item in ranked} == acknowledged
    store.close()


def test_a_memory_folder_on_the_server_goes_on_after_a_restart(
    server: Server, tmp_path: Path, model: Any, encoder: Any
) -> None:
    place = tmp_path / "memdir"
    with MemSkillMemory.open(place, model, store=server.url, encoder=encoder) as memory:
        memory.remember("remember Ann sails", user_id="ann")
        server.kill()
        with pytest.raises(StoreError, match=r"the Chroma server at .* \(check the URL"):
            memory.save("Ann rows", user_id="ann")
        server.start()
        memory.save("Ann skates", user_id="ann")
    assert json.loads((place / "memory.json").read_text(encoding="utf-8"))["store"] == server.url
    assert not (place / "chroma").exists()
    with MemSkillMemory.open(place, model, encoder=encoder) as memory:
        found = {m.content for m in memory.memories(user_id="ann")}
    assert {"Ann sails", "Ann skates"} <= found
