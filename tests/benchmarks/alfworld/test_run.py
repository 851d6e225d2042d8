"""Whole runs with the real engine and tiny games."""

import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from langgraph_memskill.alfworld.agents import Agent, Choice, ExpertAgent, Scene
from langgraph_memskill.alfworld.engine import Engine
from langgraph_memskill.alfworld.games import list_games
from langgraph_memskill.alfworld.pool import EnginePool
from langgraph_memskill.alfworld.replay import Records, replay
from langgraph_memskill.benchmarks.alfworld.material import load_games, make_training
from langgraph_memskill.benchmarks.alfworld.remote import GameSpread
from langgraph_memskill.benchmarks.alfworld.run import AlfworldRun, Players
from langgraph_memskill.benchmarks.alfworld.settings import AlfworldSettings
from langgraph_memskill.benchmarks.report.content import explorer_data, make_report
from langgraph_memskill.benchmarks.run_log import RunLog, read_run_log, without_times
from langgraph_memskill.benchmarks.running.models import NamedModel
from langgraph_memskill.errors import BenchmarkError, ConfigError
from langgraph_memskill.workers.lease import worker_lost
from langgraph_memskill.workers.specs import EncoderSpec
from tests.alfworld.tiny_games import write_games
from tests.conftest import ReadingModel, WordEncoder

pytest.importorskip("alfworld", reason="the extra alfworld is not installed")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_games(tmp_path_factory.mktemp("games"))


@pytest.fixture(scope="module")
def records(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Records:
    with EnginePool() as pool:
        out = tmp_path_factory.mktemp("replay") / "train.json"
        played = replay(list_games(data, "train"), out, pool, workers=2)
    # An order that the reading model follows.
    return {
        key: replace(record, trajectory=f"remember {record.objective}\n{record.trajectory}")
        for key, record in played.items()
    }


def make(
    data: Path,
    records: Records | None = None,
    *,
    player: Agent | None = None,
    model: ReadingModel | None = None,
    spread: GameSpread | None = None,
    **values,
) -> AlfworldRun:
    settings = AlfworldSettings(**{"workers": 2, "max_steps": 8, **values})
    players = Players(executor=NamedModel(model=model or ReadingModel()), encoder=WordEncoder())
    training = None if records is None else make_training(records, 1024)
    played = load_games(data, "valid_seen")
    return AlfworldRun(played, training, players, settings, agent=player, spread=spread)


def play(run: AlfworldRun, folder: Path) -> RunLog:
    return run.run(folder / "run", folder / "cache")


def damaged(data: Path, folder: Path) -> Path:
    """The games, the first of which the engine cannot load."""
    copy = shutil.copytree(data, folder / "damaged")
    game = list_games(copy, "valid_seen")[0]
    game.path.write_text("{}", encoding="utf-8")
    return copy


def test_the_expert_wins_every_game(data: Path, tmp_path: Path) -> None:
    log = play(make(data, player=ExpertAgent(), rows=("none",)), tmp_path)
    (row,) = log.rows
    overall = row.categories[-1]
    assert (overall.items, overall.failed) == (2, 0)
    assert overall.metrics["success"].mean == 1.0
    # Four commands for a mug on a desk; two more to clean it.
    assert {item.category: item.scores["steps"].value for item in row.items} == {
        "pick_and_place_simple": 4.0,
        "pick_clean_then_place_in_recep": 6.0,
    }
    assert read_run_log(tmp_path / "run") == log


def test_the_log_says_what_a_repetition_needs(data: Path, records: Records, tmp_path: Path) -> None:
    log = play(make(data, records, rows=("rag",)), tmp_path)
    assert {"alfworld", "textworld", "langgraph-memskill"} <= set(log.environment.packages)
    assert log.settings["training_games"] == [game.id for game in list_games(data, "train")]
    assert log.settings["agent"] == "similarity"
    assert log.seeds == {"seed": 0}
    assert [item.id for item in log.rows[0].items] == [
        game.id for game in list_games(data, "valid_seen")
    ]


def test_a_run_of_another_source_is_another_run(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at(revision: str) -> str:
        monkeypatch.setattr(
            "langgraph_memskill.benchmarks.running.environment._git", lambda *_: revision
        )
        return make(data, rows=("none",)).id

    assert at("one") == at("one")
    assert at("one") != at("two")


def test_the_prompt_is_part_of_a_run_that_asks_a_model(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [make(data, rows=("none",), agent=agent).id for agent in ("llm", "random")]
    monkeypatch.setattr("langgraph_memskill.alfworld.agents._RULES", "Act.")
    others = [make(data, rows=("none",), agent=agent).id for agent in ("llm", "random")]
    assert (ids[0] == others[0], ids[1] == others[1]) == (False, True)


def test_every_step_is_in_the_log_and_in_the_report(data: Path, tmp_path: Path) -> None:
    log = play(make(data, player=ExpertAgent(), rows=("none",)), tmp_path)
    item = log.rows[0].items[0]
    assert [step.action for step in item.steps] == [
        "(the game begins)", "go to desk 1", "take mug 1 from desk 1", "go to shelf 1",
        "move mug 1 to shelf 1",
    ]  # fmt: skip
    assert item.steps[-1].reward == 1.0
    shown = explorer_data(make_report([("run", log)]))["items"][0]["rows"][0]["steps"]
    assert shown[1][1] == "go to desk 1"


def test_rows_differ_in_what_the_agent_remembers(
    data: Path, records: Records, tmp_path: Path
) -> None:
    rows = ("none", "rag", "random", "similarity")
    log = play(make(data, records, rows=rows), tmp_path)
    none, rag, chance, similarity = log.rows
    assert [len(none.items[0].recalled), len(rag.items[0].recalled)] == [0, 4]
    assert rag.builds[0].memories[0].content.endswith("TRAJECTORY_STATUS: SUCCESS")
    for row in (chance, similarity):
        assert row.builds[0].num_memories > 0
        assert sum(row.builds[0].skill_uses.values()) > 0
        recalled = {entry.memory_id for entry in row.items[0].recalled}
        assert recalled <= {memory.id for memory in row.builds[0].memories}
        assert recalled


def test_games_that_are_not_solved_count_as_all_steps(data: Path, tmp_path: Path) -> None:
    log = play(make(data, player=ExpertAgent(), rows=("none",), max_steps=3), tmp_path)
    metrics = log.rows[0].categories[-1].metrics
    assert (metrics["success"].mean, metrics["steps"].mean) == (0.0, 3.0)


def test_a_game_that_cannot_be_loaded_is_an_error_and_no_failure(
    data: Path, tmp_path: Path
) -> None:
    run = make(damaged(data, tmp_path), player=ExpertAgent(), rows=("none",))
    overall = play(run, tmp_path).rows[0].categories[-1]
    assert (overall.items, overall.failed) == (2, 1)
    assert (overall.metrics["success"].mean, overall.metrics["success"].scored) == (1.0, 1)


class Saboteur:
    """An expert that kills the engine before the second command of one task."""

    name = "saboteur"

    def __init__(self, word: str) -> None:
        self._word = word
        self._expert = ExpertAgent()

    async def act(self, scene: Scene, engine: Engine) -> Choice:
        choice = await self._expert.act(scene, engine)
        is_due = scene.state.num_steps == 1 and self._word in scene.state.objective
        if is_due and engine.pid is not None:
            os.kill(engine.pid, signal.SIGKILL)
        return choice


def test_an_engine_that_dies_is_a_failure_and_the_run_goes_on(data: Path, tmp_path: Path) -> None:
    log = play(make(data, player=Saboteur("clean"), rows=("none",)), tmp_path)
    solved, broken = log.rows[0].items
    assert (solved.scores["success"].value, broken.scores["success"].value) == (1.0, 0.0)
    assert broken.answer is not None
    assert broken.answer.startswith("broken off: ")
    assert (broken.error, broken.scores["steps"].value, len(broken.steps)) == (None, 8.0, 2)
    assert log.rows[0].categories[-1].failed == 0


def test_a_run_that_was_broken_off_plays_only_what_is_missing(
    data: Path, records: Records, tmp_path: Path
) -> None:
    whole = make(data, records, rows=("none", "similarity"))
    log = play(whole, tmp_path)
    journal = tmp_path / "run" / "items.jsonl"
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    journal.write_text("".join(lines[:3]), encoding="utf-8")  # the run's id and two games
    again = play(make(data, records, rows=("none", "similarity")), tmp_path)
    assert again.times.resumed_items == 2
    assert without_times(again) == without_times(log)


def test_a_folder_of_another_run_is_refused(data: Path, tmp_path: Path) -> None:
    play(make(data, player=ExpertAgent(), rows=("none",)), tmp_path)
    with pytest.raises(ConfigError, match="holds another run"):
        play(make(data, player=ExpertAgent(), rows=("none",), max_steps=9), tmp_path)


class Rambling(ReadingModel):
    """Says the next of some lines, by the number of commands in the prompt."""

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        self.reply = ("LOOK", "I will go to desk 1.", "tkae mug 1 from desk 1", "Hm?")[
            str(messages[-1].content).count("\n> ")
        ]
        return super()._generate(messages, stop, run_manager, **kwargs)


def test_what_a_model_says_and_how_it_was_taken_are_in_the_log(data: Path, tmp_path: Path) -> None:
    run = make(data, model=Rambling(), agent="llm", rows=("none",), max_steps=4)
    item = play(run, tmp_path).rows[0].items[0]
    assert [(step.thought, step.action, step.match) for step in item.steps[1:]] == [
        ("LOOK", "look", ""),
        ("I will go to desk 1.", "go to desk 1", "contained"),
        ("tkae mug 1 from desk 1", "take mug 1 from desk 1", "closest"),
        ("Hm?", "look", "miss"),
    ]
    assert item.answer == "not solved after 4 commands; 1 of 4 replies fitted no command"


def test_calls_of_an_acting_model_are_counted(data: Path, tmp_path: Path) -> None:
    run = make(data, model=ReadingModel(reply="look"), agent="llm", rows=("none",), max_steps=3)
    item = play(run, tmp_path).rows[0].items[0]
    assert item.usage.calls == 3
    assert item.usage.input_tokens > 0


class LosingPool:
    """Workers that die over every game."""

    num_workers = 2

    def order(self, recipe: object) -> object:
        return recipe

    async def ashare(self, value: object) -> object:
        return value

    async def forget(self, order: object) -> None:
        pass

    def lease(self, order: object) -> "LosingPool":
        return self

    async def call(self, method: str, *args: object) -> None:
        raise worker_lost(method)

    def release(self) -> None:
        pass


def test_games_that_are_lost_with_their_workers_are_failures(data: Path, tmp_path: Path) -> None:
    spread = GameSpread(pool=cast(Any, LosingPool()), player=None, encoder=EncoderSpec())

    def lost(max_failures: float) -> AlfworldRun:
        return make(data, rows=("none",), spread=spread, max_failures=max_failures)

    (row,) = play(lost(1.0), tmp_path / "one").rows
    assert {str(item.error).partition(":")[0] for item in row.items} == {"WorkerLostError"}
    with pytest.raises(BenchmarkError, match="games of the row 'none' have failed"):
        play(lost(0.0), tmp_path / "two")


def test_workers_play_with_no_agent_of_the_callers(data: Path) -> None:
    spread = GameSpread(pool=cast(Any, LosingPool()), player=None, encoder=EncoderSpec())
    with pytest.raises(ConfigError, match="the agent that the settings name"):
        make(data, player=ExpertAgent(), rows=("none",), spread=spread)


def test_a_model_that_is_down_stops_the_run(data: Path, tmp_path: Path) -> None:
    model = ReadingModel(failures=1000)
    run = make(data, model=model, rows=("none",), attempts=1, agent="llm")
    with pytest.raises(BenchmarkError, match="games of the row 'none' have failed"):
        play(run, tmp_path)


def test_the_real_games(tmp_path: Path) -> None:
    folder = os.environ.get("MEMSKILL_DATA_DIR")
    if not folder or not (Path(folder) / "alfworld").is_dir():
        pytest.skip("MEMSKILL_DATA_DIR names no folder with alfworld/: the real games are missing")
    played = load_games(Path(folder) / "alfworld", "valid_seen", 2)
    players = Players(executor=NamedModel(model=ReadingModel()), encoder=WordEncoder())
    settings = AlfworldSettings(agent="random", rows=("none",), workers=2, max_steps=5)
    log = AlfworldRun(played, None, players, settings).run(tmp_path / "run", tmp_path / "cache")
    bell, bat = log.rows[0].items
    assert len(bell.steps) == 6
    assert bat.id.split("/")[2].startswith("look_at_obj_in_light-BaseballBat-None-DeskLamp")
    assert "KeyError" in str(bat.error)
    overall = log.rows[0].categories[-1]
    assert (overall.items, overall.failed, overall.metrics["steps"].mean) == (2, 1, 5.0)
