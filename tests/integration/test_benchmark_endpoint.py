"""A benchmark against a real server: llama.cpp with SmolLM2, 8 calls in flight."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from langgraph_memskill.errors import ModelCallError
from langgraph_memskill.models import load_model
from langgraph_memskill.models.local_model import bundled_gguf
from tests.benchmarks.running.worlds import data_file, make_run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    xllamacpp = pytest.importorskip("xllamacpp", reason="the extra [local] brings llama.cpp")
    try:
        gguf = bundled_gguf()
    except ModelCallError as error:
        pytest.skip(f"no small model at hand: {error}")
    params = xllamacpp.CommonParams()
    params.model.path = str(gguf)
    params.n_ctx = 8 * 2560
    params.n_parallel = 8
    params.n_predict = 24
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.verbosity = -1
    params.port = 0
    server = xllamacpp.Server(params)
    yield f"{server.listening_address}/v1#smollm2"
    del server


def test_locomo_against_a_server_with_eight_calls_in_flight(tmp_path: Path, endpoint: str) -> None:
    file = data_file(tmp_path, ("Ann",))
    model = load_model(endpoint)
    run = make_run(
        file,
        model,
        rows=("none", "rag", "similarity"),
        concurrency=8,
        skills_per_span=1,
        top_k=4,
        attempts=1,
        max_failures=1.0,  # a tiny model's actions often cannot be read
    )
    log = run.run(tmp_path / "run", tmp_path / "memories")
    none, rag, similarity = log.rows
    assert [len(row.items) for row in log.rows] == [4, 4, 4]
    assert [row.categories[-1].failed for row in (none, rag)] == [0, 0]
    assert all(item.answer for item in rag.items)
    # The server reports the tokens of its calls.
    assert rag.answering.usage.calls == 4
    assert rag.answering.usage.estimated_calls == 0
    assert rag.answering.usage.input_tokens > none.answering.usage.input_tokens
    assert similarity.building.usage.calls == 4
