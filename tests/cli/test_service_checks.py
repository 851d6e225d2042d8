"""What doctor says of servers, extras and observers."""

import socket
from types import SimpleNamespace

import pytest

from langgraph_memskill.cli.check_results import Status
from langgraph_memskill.cli.service_checks import (
    check_device,
    check_extras,
    check_observers,
    check_server,
)


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


def test_commands_that_are_observed_are_told() -> None:
    assert "MEMSKILL_OBSERVE=otel" in check_observers({"MEMSKILL_OBSERVE": "otel"}).found


def test_a_machine_without_cuda_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    check = check_device()
    assert check.status is Status.OK
    assert "is built without CUDA" in check.found
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr("shutil.which", lambda _: None)
    check = check_device()
    assert check.status is Status.OK, "PyPI's torch has CUDA built in, also without a card"
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/nvidia-smi")
    check = check_device()
    assert check.status is Status.WARN
    assert "nvidia-smi" in check.advice


@pytest.mark.parametrize(("has_bf16", "status"), [(True, Status.OK), (False, Status.WARN)])
def test_gpus_are_named_with_their_memory(
    monkeypatch: pytest.MonkeyPatch, has_bf16: bool, status: Status
) -> None:
    torch = pytest.importorskip("torch")
    card = SimpleNamespace(name="NVIDIA T", total_memory=16 * 2**30)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: card)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bf16)
    check = check_device()
    assert check.status is status
    assert "NVIDIA T (16 GiB), NVIDIA T (16 GiB)" in check.found


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
