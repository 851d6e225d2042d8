"""A benchmark against a real server: llama.cpp with SmolLM2, 8 calls in flight."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_openai import ChatOpenAI

from tests.benchmarks.running.worlds import data_file, make_run
from tests.integration.small_server import small_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with small_server(context=8 * 1024, reply=16, slots=8) as address:
        yield address


def test_locomo_against_a_server_with_eight_calls_in_flight(tmp_path: Path, endpoint: str) -> None:
    file = data_file(tmp_path, ("Ann",))
    # Eight calls share one core, which other tests may need too.
    url, _, name = endpoint.partition("#")
    model = ChatOpenAI(model=name, base_url=url, api_key="EMPTY", timeout=500, max_retries=0)
    run = make_run(
        file,
        model,
        rows=("none", "rag"),
        concurrency=8,
        top_k=2,
    )
    log = run.run(tmp_path / "run", tmp_path / "memories")
    none, rag = log.rows
    assert [len(row.items) for row in log.rows] == [4, 4]
    assert [row.categories[-1].failed for row in log.rows] == [0, 0]
    assert all(item.answer for item in rag.items)
    # The server reports the tokens of its calls.
    assert rag.answering.usage.calls == 4
    assert rag.answering.usage.estimated_calls == 0
    assert rag.answering.usage.input_tokens > none.answering.usage.input_tokens
