"""`memskill --observe`: a real OTLP exporter, and a collector that keeps what it gets."""

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.cli.conftest import Run

pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is not installed")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="there is no OTLP exporter")


class Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[tuple[str, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def spans(self) -> list[tuple[str, Any]]:
        """The service and each of its spans."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
            ExportTraceServiceRequest,
        )

        found = []
        for path, body in self.bodies:
            if path == "/v1/traces":
                for part in ExportTraceServiceRequest.FromString(body).resource_spans:
                    names = {a.key: a.value.string_value for a in part.resource.attributes}
                    found += [
                        (names["service.name"], span)
                        for scope in part.scope_spans
                        for span in scope.spans
                    ]
        return found


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.bodies.append((self.path, body))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_command_tells_a_collector_what_it_does(
    run: Run, fakes: Any, collector: Collector
) -> None:
    result = run("--observe", "otel", "remember", "remember xyzzy", "--model", "any", "--json")
    assert result.exit_code == 0, result.output
    json.loads(result.stdout)
    spans = collector.spans()
    assert {service for service, _ in spans} == {"memskill"}
    assert {"memskill.remember", "memskill.extract", "memskill.model"} <= {s.name for _, s in spans}
    assert any(path == "/v1/metrics" for path, _ in collector.bodies)
    assert all(b"xyzzy" not in body for _, body in collector.bodies)


def test_the_environment_switches_it_on_and_names_the_service(
    run: Run, fakes: Any, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMSKILL_OBSERVE", "OTEL")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "diary")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    run("remember", "remember the cat is grey", "--model", "any")
    run("answer", "Which cat?", "--model", "any")
    spans = collector.spans()
    assert {service for service, _ in spans} == {"diary"}
    assert {"memskill.remember", "memskill.answer"} <= {s.name for _, s in spans}
    assert all(path == "/v1/traces" for path, _ in collector.bodies)


def test_nothing_is_told_unasked(run: Run, fakes: Any, collector: Collector) -> None:
    run("remember", "remember the cat is grey", "--model", "any")
    assert collector.bodies == []


def test_a_command_works_without_its_collector(
    run: Run, fakes: Any, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    result = run("--observe", "otel", "remember", "remember a", "--model", "any", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["results"][0]["actions"]


@pytest.mark.parametrize(
    ("name", "environment", "words"),
    [
        ("prometheus", {}, "must be otel, langsmith"),
        (",", {}, "must be otel, langsmith"),
        ("langsmith", {}, "set LANGSMITH_API_KEY"),
        ("otel", {"OTEL_TRACES_EXPORTER": "carrier"}, "'carrier', which is not installed"),
        ("otel", {"OTEL_EXPORTER_OTLP_PROTOCOL": "morse"}, "'morse' must be one of"),
    ],
)
def test_what_cannot_be_observed_is_refused_before_anything_is_done(
    run: Run, fakes: Any, monkeypatch: pytest.MonkeyPatch, name: str, environment: Any, words: str
) -> None:
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    result = run("--observe", name, "remember", "remember a", "--model", "any")
    assert result.exit_code == 1
    assert words in result.stderr
    assert not fakes.prompts
