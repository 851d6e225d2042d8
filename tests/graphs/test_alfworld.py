"""The acting graph with the real engine and tiny games."""

import os
import signal
from pathlib import Path

import pytest
from langgraph.store.memory import InMemoryStore

from langgraph_memskill.alfworld.agents import (
    Agent,
    Choice,
    ExpertAgent,
    ModelAgent,
    RandomAgent,
    Scene,
    SimilarityAgent,
)
from langgraph_memskill.alfworld.engine import Engine
from langgraph_memskill.alfworld.games import list_games
from langgraph_memskill.errors import ModelCallError
from langgraph_memskill.graphs.alfworld import ActingContext, Recall, build_acting_graph
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.state import dump
from tests.alfworld.tiny_games import write_games
from tests.conftest import ReadingModel, WordEncoder

pytest.importorskip("alfworld", reason="the extra alfworld is not installed")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_games(tmp_path_factory.mktemp("games"), train=2, valid_seen=1)


async def play(data: Path, agent: Agent, **options):
    game = list_games(data, "train")[0]
    async with Engine() as engine:
        graph = build_acting_graph(agent, **options)
        return await graph.ainvoke({"game": dump(game)}, context=ActingContext(engine=engine))


def actions(final) -> list[str | None]:
    return [step["action"] for step in final["steps"]]


async def test_the_expert_wins(data: Path) -> None:
    final = await play(data, ExpertAgent())
    assert final["now"]["is_won"]
    assert actions(final)[1:] == [
        "go to desk 1", "take mug 1 from desk 1", "go to shelf 1", "move mug 1 to shelf 1",
    ]  # fmt: skip
    assert (final["misses"], final["error"], final["memories"]) == (0, None, [])


async def test_it_ends_with_the_steps(data: Path) -> None:
    final = await play(data, RandomAgent(seed=1), max_steps=3)
    assert final["now"]["num_steps"] == 3
    again = await play(data, RandomAgent(seed=1), max_steps=3)
    assert actions(again) == actions(final)


async def test_replies_that_fit_nothing_are_counted(data: Path) -> None:
    final = await play(data, ModelAgent(ReadingModel(reply="I dance!")), max_steps=2)
    assert (final["misses"], final["match"], final["reply"]) == (2, "miss", "I dance!")
    assert actions(final) == [None, "look", "look"]


async def test_memories_are_recalled_and_shown(data: Path, encoder: WordEncoder) -> None:
    store = InMemoryStore(index={"dims": encoder.dim, "embed": encoder, "fields": ["text"]})
    model = ReadingModel(reply="look")
    memory = MemSkillMemory(model=model, store=store, encoder=encoder, namespace=("games",))
    memory.save("A mug stands on the desk.")
    recall = Recall(store=store, encoder=encoder, namespace=("games",))
    final = await play(data, ModelAgent(model), recall=recall, max_steps=1)
    assert final["memories"] == ["A mug stands on the desk."]
    assert "A mug stands on the desk." in str(model.prompts[-1][-1].text)
    memory.close()


async def test_the_similarity_agent_does_not_go_round_in_circles(
    data: Path, encoder: WordEncoder
) -> None:
    agent = SimilarityAgent(encoder)
    final = await play(data, agent, max_steps=12)
    given = actions(final)[1:]
    assert max(given.count(command) for command in given) <= 4


async def test_a_model_that_is_down_raises(data: Path) -> None:
    with pytest.raises(ModelCallError, match="ConnectionError"):
        await play(data, ModelAgent(ReadingModel(failures=1)))


class Saboteur:
    """Kills the engine before its second command."""

    name = "saboteur"

    async def act(self, scene: Scene, engine: Engine) -> Choice:
        if scene.state.num_steps == 1 and engine.pid is not None:
            os.kill(engine.pid, signal.SIGKILL)
        return await RandomAgent().act(scene, engine)


async def test_an_engine_killed_within_a_game_ends_it(data: Path) -> None:
    final = await play(data, Saboteur())
    assert "stopped" in final["error"]
    assert len(final["steps"]) == 2
    assert (await play(data, ExpertAgent()))["now"]["is_won"]
