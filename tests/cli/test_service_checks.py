"""What doctor says of servers, extras and observers."""

import socket

import pytest

from langgraph_memskill.cli.check_results import Status
from langgraph_memskill.cli.service_checks import check_extras, check_observers, check_server


def test_a_key_is_never_shown() -> None:
    check = check_observers({"LANGSMITH_TRACING": "true", "LANGSMITH_API_KEY": "lsv2-secret"})
    assert check.status is Status.OK
    assert "tracing on, a key is set" in check.found
    assert "lsv2-secret" not in repr(check)


def test_tracing_without_a_key_is_a_warning() -> None:
    check = check_observers({"LANGSMITH_TRACING": "true"})
    assert check.status is Status.WARN
    assert "LANGSMITH_API_KEY" in check.advice


def test_an_exporter_is_noticed() -> None:
    assert "exporter set" in check_observers({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}).found
    assert "exporter not set" in check_observers({}).found


def test_a_missing_extra_is_named() -> None:
    pytest.importorskip("torch")
    assert "no flash-attn (extra flash-attn)" in check_extras().found


def test_the_cluster_that_ray_is_told_of_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert check_extras().found.endswith("RAY_ADDRESS=head:6379")


def test_a_server_that_does_not_answer_is_a_failure() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # and nobody listens
        check = check_server(f"http://127.0.0.1:{deaf.getsockname()[1]}")
    assert check.status is Status.FAIL
    assert "chroma run" in check.advice


@pytest.mark.server
def test_a_postgres_server_is_described(postgres_url: str) -> None:
    check = check_server(postgres_url)
    assert check.status is Status.FAIL
    assert "has no pgvector" in check.found
