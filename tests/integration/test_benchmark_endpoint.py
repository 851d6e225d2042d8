"""A part of LoCoMo against real servers, through the command line: llama.cpp with SmolLM2.

Eight calls are in flight, by the server's own count, and the judge has an endpoint of its own.
"""

import json
import os
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from langgraph_memskill.benchmarks.run_log import read_run_log
from langgraph_memskill.errors import ModelCallError
from langgraph_memskill.models.local_model import bundled_gguf

# About a minute on two cores of their own, and much more where others work on them.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

SLOTS = 8
QUESTIONS = 8
SERVER = f"""
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx = {SLOTS} * 2048
params.n_parallel = {SLOTS}
params.n_predict = int(sys.argv[2])
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
# The same prompt gets the same reply, whatever the slot has read before.
params.sampling.temp = 0.0
params.sampling.seed = 1
params.cache_prompt = False
params.verbosity = -1
params.port = 0
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


@contextmanager
def serving(gguf: Path, max_tokens: int) -> Iterator[str]:
    """A server in a process of its own; it ends with its standard input."""
    command = [sys.executable, "-c", SERVER, str(gguf), str(max_tokens)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        lines = (line.decode() for line in process.stdout)
        yield next(line.strip() for line in lines if line.startswith("http://"))
        process.stdin.close()


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[str, str]]:
    """Reader and judge."""
    pytest.importorskip("xllamacpp", reason="the extra [local] brings llama.cpp")
    try:
        gguf = bundled_gguf()
    except ModelCallError as error:
        pytest.skip(f"no small model at hand: {error}")
    with serving(gguf, 8) as reader, serving(gguf, 48) as judge:
        yield reader, judge


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first session of a real conversation, with its first questions."""
    folder = os.environ.get("MEMSKILL_DATA_DIR")
    if not folder:
        pytest.skip("MEMSKILL_DATA_DIR is not set")
    source = Path(folder) / "locomo" / "locomo8.json"
    record: dict[str, Any] = json.loads(source.read_text(encoding="utf-8"))[0]
    conversation = {
        name: value
        for name, value in record["conversation"].items()
        if not name.startswith("session_") or re.fullmatch(r"session_1(_date_time)?", name)
    }
    questions = [entry for entry in record["qa"] if entry["category"] != 5]
    part = {
        "sample_id": record["sample_id"],
        "conversation": conversation,
        "qa": questions[:QUESTIONS],
    }
    file = tmp_path_factory.mktemp("data") / "locomo.json"
    file.write_text(json.dumps([part]), encoding="utf-8")
    return file


def in_flight(server: str) -> int:
    """How many of a server's slots are at work."""
    with urllib.request.urlopen(f"{server}/slots", timeout=500) as reply:
        return sum(slot["is_processing"] for slot in json.load(reply))


class SlotWatch:
    """Asks a server again and again how many of its slots are at work."""

    def __init__(self, server: str) -> None:
        self.most = 0
        self._server = server
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            self.most = max(self.most, in_flight(self._server))

    def __enter__(self) -> "SlotWatch":
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._ended.set()
        self._thread.join()


def bench(data: Path, server: str, folder: Path, *more: object) -> subprocess.Popen[bytes]:
    options = {
        "--data": data,
        "--split": "all",
        "--model": f"{server}/v1#smollm2",
        "--concurrency": SLOTS,
        "--span-tokens": 128,
        "--skills-per-span": 1,
        "--top-k": 1,
        # A small model's actions are often unreadable, and such a span counts as failed.
        "--max-failures": 1.0,
        "--attempts": 1,
        "--out": folder / "run",
        "--cache": folder / "memories",
    }
    arguments = [str(part) for option in options.items() for part in option]
    main = "from langgraph_memskill.cli import main; main()"
    command = [sys.executable, "-c", main, "bench", "locomo", *arguments, *map(str, more)]
    # Eight calls share one core, which other programs may need too.
    environment = {**os.environ, "MEMSKILL_TIMEOUT_S": "500"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)


def test_eight_calls_are_in_flight_and_the_judge_is_another_server(
    data: Path, servers: tuple[str, str], tmp_path: Path
) -> None:
    reader, judge = servers
    with SlotWatch(reader) as watch:
        options = ("--rows", "rag", "--judge", f"{judge}/v1#smollm2")
        assert bench(data, reader, tmp_path, *options).wait() == 0
    assert watch.most == SLOTS
    [row] = read_run_log(tmp_path / "run").rows
    assert len(row.items) == QUESTIONS
    assert row.categories[-1].failed == 0
    assert row.answering.usage.calls == QUESTIONS
    # The server reports the tokens of its calls.
    assert row.answering.usage.estimated_calls == 0
    assert row.answering.usage.input_tokens > 0
    judged = [item.scores["judge"] for item in row.items]
    # What cannot be read is unscored, with the reason, and never 0.
    assert all((score.value is None) == (score.problem is not None) for score in judged)
    assert all(item.scoring_usage.calls == 1 for item in row.items)
