"""Expert replay: what is written, what is played again, what goes wrong."""

import json
from pathlib import Path

import pytest

from langgraph_memskill.alfworld import replay as replays
from langgraph_memskill.alfworld.engine import Engine
from langgraph_memskill.alfworld.games import list_games
from langgraph_memskill.alfworld.pool import EnginePool
from langgraph_memskill.alfworld.records import GameFile
from langgraph_memskill.alfworld.replay import read_records, replay
from langgraph_memskill.errors import ConfigError, DataError
from tests.alfworld.tiny_games import TinyGame, write_game
from tests.cli.conftest import Run, run  # noqa: F401


def test_the_file_holds_every_game_step_by_step(
    games: list[GameFile], pool: EnginePool, tmp_path: Path
) -> None:
    out = tmp_path / "deep" / "replay.json"
    replay(games, out, pool, workers=2)
    document = json.loads(out.read_text(encoding="utf-8"))
    assert {name: list(found) for name, found in document.items()} == {
        "pick_and_place_simple": [games[0].id, games[1].id],
        "pick_clean_then_place_in_recep": [games[2].id, games[3].id],
    }
    record = document["pick_and_place_simple"][games[0].id]
    assert record["objective"] == "put a mug in shelf"
    assert record["first_observation"].endswith("Your task is to: put a mug in shelf.")
    assert [step["action"] for step in record["steps"]] == [
        None, "go to desk 1", "take mug 1 from desk 1", "go to shelf 1", "move mug 1 to shelf 1",
    ]  # fmt: skip
    assert record["steps"][-1] == {
        "action": "move mug 1 to shelf 1",
        "observation": "You move the mug 1 to the shelf 1.",
        "reward": 1.0,
        "done": True,
    }
    assert record["trajectory"].endswith("TRAJECTORY_STATUS: SUCCESS")
    assert (record["total_reward"], record["error"]) == (1.0, None)


def test_a_replay_is_repeatable(games: list[GameFile], pool: EnginePool, tmp_path: Path) -> None:
    for name, workers in (("a", 1), ("b", 3)):
        replay(games, tmp_path / name, pool, workers=workers)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_it_goes_on_where_it_stopped(
    games: list[GameFile], pool: EnginePool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    replay(games, whole, pool, workers=1)
    seen: list[int] = []

    def interrupt(done: int, total: int) -> None:
        seen.append(done)
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replay(games, out, pool, workers=1, on_game=interrupt)
    kept = read_records(out)
    assert 2 <= len(kept) < len(games)
    played: list[str] = []
    play_plan = replays.play_plan

    def watched(engine: Engine, game: GameFile) -> replays.GameRecord:
        played.append(game.id)
        return play_plan(engine, game)

    monkeypatch.setattr(replays, "play_plan", watched)
    replay(games, out, pool, workers=1)
    assert len(played) == len(games) - len(kept)
    assert out.read_bytes() == whole.read_bytes()


def test_a_game_that_cannot_be_loaded_is_an_error_and_is_tried_again(
    tmp_path: Path, pool: EnginePool
) -> None:
    good = write_game(tmp_path, TinyGame(name="good"))
    bad = write_game(tmp_path, TinyGame(name="bad"))
    bad.write_text("{}", encoding="utf-8")
    games = list_games(tmp_path, "train")
    records = replay(games, tmp_path / "out", pool, workers=1)
    errors = {game_id: record.error for (_, game_id), record in records.items() if record.error}
    [(game_id, error)] = errors.items()
    assert "bad" in game_id
    assert error.startswith("GameLoadError: the engine cannot load")
    bad.write_bytes(good.read_bytes())
    again = replay(games, tmp_path / "out", pool, workers=1)
    assert all(record.is_won for record in again.values())


@pytest.mark.parametrize("deaths", [1, 2])
def test_a_game_whose_engine_stops_in_play_is_played_once_more(
    games: list[GameFile],
    pool: EnginePool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    deaths: int,
) -> None:
    plan, asked = Engine.plan, []

    def dying(engine: Engine) -> tuple[str, ...]:
        asked.append(engine.pid)
        if len(asked) <= deaths:
            engine.kill()
        return plan(engine)

    monkeypatch.setattr(Engine, "plan", dying)
    [record] = replay(games[:1], tmp_path / "out", pool, workers=1).values()
    assert len(set(asked)) == 2
    assert record.is_won == (deaths == 1)
    assert (record.error or "").startswith("EngineStoppedError" if deaths == 2 else "")


@pytest.mark.parametrize("content", ["{", "[1]", '{"pick": 1}', '{"pick": {"g": {"steps": 5}}}'])
def test_another_file_is_not_overwritten(
    games: list[GameFile], pool: EnginePool, tmp_path: Path, content: str
) -> None:
    out = tmp_path / "out"
    out.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match="out"):
        replay(games, out, pool, workers=1)
    assert out.read_text(encoding="utf-8") == content


def test_workers_are_checked(games: list[GameFile], pool: EnginePool, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="workers=0"):
        replay(games, tmp_path / "out", pool, workers=0)


def test_the_command(run: Run, tiny_data: Path, tmp_path: Path) -> None:  # noqa: F811
    out = tmp_path / "replay.json"
    options = ("--data", tiny_data, "--split", "valid_seen", "--out", out)
    told = run("alfworld", "replay", *map(str, options), "--json")
    document = json.loads(told.stdout)
    assert (document["games"], document["won"], document["errors"]) == (2, 2, {})
    assert len(read_records(out)) == 2
    shown = run("alfworld", "replay", *map(str, options))
    assert "2 games, 2 won, 0 errors" in shown.stdout
