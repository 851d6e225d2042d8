"""A small real model plays tiny games through llama.cpp's OpenAI-compatible server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_openai import ChatOpenAI

from langgraph_memskill.alfworld.games import list_games
from langgraph_memskill.alfworld.pool import EnginePool
from langgraph_memskill.alfworld.replay import replay
from langgraph_memskill.benchmarks.alfworld.material import load_games, make_training
from langgraph_memskill.benchmarks.alfworld.run import AlfworldRun, Players
from langgraph_memskill.benchmarks.alfworld.settings import AlfworldSettings
from langgraph_memskill.benchmarks.report.content import explorer_data, make_report
from langgraph_memskill.benchmarks.running.models import NamedModel
from tests.alfworld.tiny_games import write_games
from tests.conftest import WordEncoder
from tests.integration.small_server import small_server

pytest.importorskip("alfworld", reason="the extra alfworld is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

MAX_STEPS = 3


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with small_server(context=8 * 1024, reply=16) as address:
        yield address


def test_whatever_a_small_model_says_the_games_go_on(tmp_path: Path, endpoint: str) -> None:
    data = write_games(tmp_path / "games", train=2, valid_seen=1)
    with EnginePool() as pool:
        records = replay(list_games(data, "train"), tmp_path / "train.json", pool, workers=1)
    url, _, name = endpoint.partition("#")
    model = ChatOpenAI(model=name, base_url=url, api_key="EMPTY", timeout=1500, max_retries=0)
    run = AlfworldRun(
        load_games(data, "valid_seen"),
        make_training(records, 1024),
        Players(executor=NamedModel(model=model), encoder=WordEncoder()),
        AlfworldSettings(agent="llm", rows=("none", "rag"), max_steps=MAX_STEPS, top_k=1),
    )
    log = run.run(tmp_path / "run", tmp_path / "memories")
    for row in log.rows:
        assert row.categories[-1].failed == 0
        for item in row.items:
            played = item.steps[1:]
            # A tiny model may solve a tiny game by chance, and sooner.
            assert 1 <= len(played) <= MAX_STEPS
            assert item.usage.calls == len(played)
            assert item.usage.estimated_calls == 0  # the server reports the tokens
            misses = sum(step.match == "miss" for step in played)
            fits = f"{misses} of {len(played)} replies fitted no command"
            assert misses == 0 or fits in str(item.answer)
            assert all(step.action == "look" for step in played if step.match == "miss")
            assert all(step.thought for step in played if step.match)
    with_memories = log.rows[1].items[0]
    assert len(with_memories.recalled) == 1
    none, rag = (row.answering.usage for row in log.rows)
    assert rag.input_tokens / rag.calls > none.input_tokens / none.calls
    shown = explorer_data(make_report([("run", log)]))["items"][0]["rows"][0]["steps"]
    assert [step[1] for step in shown] == [step.action for step in log.rows[0].items[0].steps]
