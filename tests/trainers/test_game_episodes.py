"""Episodes over games: which are remembered and played, and what becomes of the played ones."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.store.memory import InMemoryStore

from langgraph_memskill.alfworld.games import list_games
from langgraph_memskill.alfworld.pool import EnginePool
from langgraph_memskill.alfworld.records import GameFile, GameRecord, TaskType
from langgraph_memskill.errors import ConfigError
from langgraph_memskill.evolution.records import CaseOrigin, Metric
from langgraph_memskill.memory_folder import store_index
from langgraph_memskill.records import Memory
from langgraph_memskill.stores.items import put_memory
from langgraph_memskill.trainers.alfworld_pairs import PairSettings
from langgraph_memskill.trainers.config import TrainConfig
from langgraph_memskill.trainers.episode_kinds import EpisodeMemories
from langgraph_memskill.trainers.episodes import UsageCounter
from langgraph_memskill.trainers.game_episodes import (
    GamePlan,
    Games,
    TrainingGame,
    training_games,
)
from langgraph_memskill.trainers.game_settings import GameSettings
from tests.alfworld.tiny_games import write_games
from tests.conftest import ReadingModel, WordEncoder

SETTINGS = GameSettings(
    pairs=PairSettings(min_remembered=2, max_remembered=3, num_played=2), max_steps=3
)
CONFIG = TrainConfig(reward="success", games=SETTINGS, episodes=4, plays=2)


def make_game(task_type: TaskType, number: int) -> GameFile:
    game_id = f"json_2.1.1/train/{task_type}-{number}/game.tw-pddl"
    return GameFile(id=game_id, path=Path("/nowhere") / game_id, task_type=task_type)


def made_up(count: int = 5) -> list[TrainingGame]:
    types = (TaskType.PICK, TaskType.HEAT)
    files = [make_game(task_type, number) for task_type in types for number in range(count)]
    return [TrainingGame(file=file, trajectory=f"how {file.id} was solved") for file in files]


class NoEngines(EnginePool):
    """A pool of which nobody borrows."""

    def __init__(self) -> None:
        pass


@pytest.mark.parametrize("inner", range(8))
def test_no_game_is_played_by_who_remembers_it(inner: int) -> None:
    plans = Games(made_up(), SETTINGS, NoEngines()).plans(CONFIG, outer=0, inner=inner)
    assert len(plans) == 4
    for plan in plans:
        text = "".join(span.text for span in plan.spans)
        assert len(plan.games) == 2
        assert not any(game.id in text for game in plan.games)
        assert 2 <= text.count("was solved") <= 3


def test_plays_of_one_window_share_all_but_the_draws() -> None:
    first, second, other, _ = Games(made_up(), SETTINGS, NoEngines()).plans(
        CONFIG, outer=1, inner=2
    )
    assert (first.games, first.spans) == (second.games, second.spans)
    assert first.seed != second.seed
    assert [plan.window for plan in (first, second, other)] == [0, 0, 1]
    assert first.id == "o1-i2-e0"


def test_plans_follow_from_seed_and_epoch_alone() -> None:
    games = Games(made_up(), SETTINGS, NoEngines())
    one, again, later = (games.plans(CONFIG, outer=0, inner=inner) for inner in (1, 1, 2))
    other_seed = games.plans(replace(CONFIG, seed=1), outer=0, inner=1)
    assert one == again
    assert one not in (later, other_seed)


def test_what_the_expert_could_not_play_is_not_trained_on() -> None:
    files = [make_game(TaskType.PICK, number) for number in range(4)]
    alone = make_game(TaskType.HEAT, 0)
    solved = GameRecord(trajectory="solved", total_reward=1.0)
    records = {(str(file.task_type), file.id): solved for file in (*files[:2], alone)}
    records[str(TaskType.PICK), files[2].id] = GameRecord(trajectory="x", error="it broke")
    found = training_games([*files, alone], records)
    assert [game.file for game in found.games] == files[:2]
    assert (found.not_played, found.alone) == (tuple(files[2:]), (alone,))
    with pytest.raises(ConfigError, match="of 1 games none can be trained on"):
        training_games([alone], records)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"agent": "expert"}, "games.agent='expert' must be one of 'similarity', 'llm'"),
        ({"query": "task"}, "games.query='task'"),
        ({"max_steps": 0}, "max_steps=0"),
        ({"pairs": PairSettings(num_played=0)}, "num_played=0"),
    ],
)
def test_settings_are_checked(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GameSettings(**wrong)


# From here on with the real engine.


@pytest.fixture
def tiny(tmp_path: Path) -> list[GameFile]:
    pytest.importorskip("alfworld", reason="the extra alfworld is not installed")
    return list_games(write_games(tmp_path, train=2), "train")


@pytest.fixture
async def pool(tiny: list[GameFile]) -> AsyncIterator[EnginePool]:
    pool = EnginePool()
    yield pool
    await pool.aclose()


def plan_of(games: list[GameFile]) -> GamePlan:
    return GamePlan(id="e", trace_id="pick", window=0, spans=(), games=tuple(games))


async def played(
    games: list[GameFile],
    pool: EnginePool,
    *,
    model: BaseChatModel | None = None,
    remembered: str = "nothing of use",
    **settings: Any,
) -> list[Any]:
    store = InMemoryStore(index=store_index(WordEncoder()))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    memory = Memory(
        id="m", content=remembered, namespace=("training",), created_at=now, updated_at=now
    )
    await store.abatch([put_memory(memory)])
    memories = EpisodeMemories(
        store=store,
        namespace=("training",),
        model=model or ReadingModel(),
        encoder=WordEncoder(),
        config=CONFIG,
        calls=UsageCounter(),
        slots=asyncio.Semaphore(2),
        for_designer=False,
    )
    kind = Games([], replace(SETTINGS, **settings), pool)
    return [*await kind.ask(plan_of(games), memories), memories.calls]


class FollowingModel(BaseChatModel):
    """Says the commands that it reads among its memories, one after the other."""

    @property
    def _llm_type(self) -> str:
        return "following"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        text = messages[-1].text
        commands = re.findall(r"ACTION: (.*)", text.partition("BEGINNING")[0])
        given = text.count("\n> ")
        reply = commands[given] if given < len(commands) else "look"
        return ChatResult(generations=[ChatGeneration(message=AIMessage(reply))])


async def test_a_game_that_was_not_solved_is_a_hard_case(
    tiny: list[GameFile], pool: EnginePool
) -> None:
    query, calls = await played(tiny[:1], pool, agent="llm")
    case = query.hard_case
    assert (query.score, query.key, case.id) == (0.0, tiny[0].id, tiny[0].id)
    assert (case.origin, case.metric, case.expected) == (CaseOrigin.GAME, Metric.SUCCESS, None)
    assert case.question == "put a mug in shelf"
    assert case.prediction == "not solved after 3 commands"
    assert case.trajectory.endswith("TRAJECTORY_STATUS: FAILED")
    assert case.trajectory.count("ACTION: ") == 3
    assert calls.usage.calls == 3


async def test_a_game_is_solved_by_what_is_remembered(
    tiny: list[GameFile], pool: EnginePool
) -> None:
    async with pool.aengine() as engine:
        await engine.areset(tiny[0])
        plan = "\n".join(f"ACTION: {command}" for command in await engine.aplan())
    options: Any = {"agent": "llm", "max_steps": 6, "model": FollowingModel()}
    query, calls = await played(tiny[:1], pool, remembered=plan, **options)
    assert (query.score, query.hard_case) == (1.0, None)
    assert query.answer == f"solved after {calls.usage.calls} commands"
    without, _ = await played(tiny[:1], pool, **options)
    assert without.score == 0.0
    assert [memory.content for memory in without.hard_case.memories] == ["nothing of use"]


async def test_a_game_that_cannot_be_loaded_has_no_score(
    tiny: list[GameFile], pool: EnginePool
) -> None:
    tiny[0].path.write_text("{}", encoding="utf-8")
    broken, other, _ = await played(tiny, pool)
    assert broken is None
    assert other.key == tiny[1].id


@pytest.mark.parametrize(("deaths", "has_score"), [(1, True), (2, False)])
async def test_an_engine_that_stops_gets_one_successor(
    tiny: list[GameFile],
    pool: EnginePool,
    monkeypatch: pytest.MonkeyPatch,
    deaths: int,
    has_score: bool,
) -> None:
    from langgraph_memskill.alfworld.agents import SimilarityAgent

    act, left, pids = SimilarityAgent.act, deaths, []

    async def killing(self: Any, scene: Any, engine: Any) -> Any:
        nonlocal left
        pids.append(engine.pid)
        if scene.state.num_steps == 1 and left:
            left -= 1
            engine.kill()
        return await act(self, scene, engine)

    monkeypatch.setattr(SimilarityAgent, "act", killing)
    query, _ = await played(tiny[:1], pool)
    assert (query is not None) == has_score
    await pool.aclose()
    assert len(set(pids)) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_a_model_that_cannot_be_called_costs_a_game_and_no_run(
    tiny: list[GameFile], pool: EnginePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise ConnectionError("the endpoint is down")

    monkeypatch.setattr(ReadingModel, "_generate", fails)
    query, _ = await played(tiny[:1], pool, agent="llm", attempts=1)
    assert query is None
