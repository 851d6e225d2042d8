"""The prompts of a construction run and the count of what a server's cache holds."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from langgraph_memskill.benchmarks.perf.prefix_cache import HitRate, measure, turned_round
from langgraph_memskill.errors import BenchmarkError
from langgraph_memskill.prompts import extraction_messages
from langgraph_memskill.records import Span
from langgraph_memskill.skills.bank import SkillBank


class Server(ThreadingHTTPServer):
    """Counts characters as tokens; what begins like an earlier prompt is found."""

    daemon_threads = True
    has_cache = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        self.seen: list[str] = []
        self.asked = self.found = 0

    def read(self, prompt: str) -> None:
        self.asked += len(prompt)
        self.found += max((_shared(prompt, earlier) for earlier in self.seen), default=0)
        self.seen.append(prompt)


def _shared(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if body["model"] != "tiny":
            self._say(404, "no such model")
            return
        self.server.read("\0".join(message["content"] for message in body["messages"]))
        self._say(200, "{}")

    def do_GET(self) -> None:
        counts = {"queries": self.server.asked, "hits": self.server.found}
        labels = '{engine="0",model_name="tiny"}'
        lines = [f"vllm:prefix_cache_{k}_total{labels} {float(v)}" for k, v in counts.items()]
        self._say(200, "\n".join(lines) if self.server.has_cache else "")

    def _say(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def prompt(text: str) -> list[Any]:
    span = Span(id=text, index=0, text=f"{text}\n\n<span>, said Ann.", time="8 May 2023")
    return extraction_messages(span, list(SkillBank.seed())[:2], [])


def test_a_prompt_is_turned_round_by_its_parts() -> None:
    fixed, request = turned_round(prompt("Ann moved."))
    assert fixed == prompt("Ann moved.")[0]
    text = str(request.text)
    assert text.startswith("<span ")
    assert text.endswith("</skills>")
    assert sorted(text.split()) == sorted(str(prompt("Ann moved.")[1].text).split())


def test_the_share_is_what_the_server_counts_of_these_prompts(server: Server) -> None:
    server.read("somebody else's prompt")
    prompts = [prompt("Ann moved."), prompt("Ben has a cat.")]
    rate = measure(server.url, "tiny", prompts)
    assert rate == HitRate(prompts=2, tokens=server.asked - 22, found=server.found)
    assert 0.4 < rate.share < 0.5  # nearly the whole second prompt


def test_a_server_without_the_counts_or_the_model_is_a_clear_error(server: Server) -> None:
    with pytest.raises(BenchmarkError, match="prompt 0 was refused: no such model"):
        measure(server.url, "huge", [prompt("Ann moved.")])
    server.has_cache = False
    with pytest.raises(BenchmarkError, match="enable-prefix-caching"):
        measure(server.url, "tiny", [])
