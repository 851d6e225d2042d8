"""Finding games in ALFWorld's layout."""

from pathlib import Path

import pytest

from langgraph_memskill.alfworld.games import data_folder, game_by_id, list_games
from langgraph_memskill.alfworld.records import TaskType
from langgraph_memskill.errors import ConfigError, DataError
from tests.alfworld.tiny_games import TinyGame, write_game


def test_games_are_sorted_and_named_relative_to_the_data(tiny_data: Path) -> None:
    games = list_games(tiny_data, "train")
    assert [game.id for game in games] == [
        "json_2.1.1/train/pick_and_place_simple-Mug-None-Shelf-train0/trial_T0000/game.tw-pddl",
        "json_2.1.1/train/pick_and_place_simple-Plate-None-Shelf-train2/trial_T0000/game.tw-pddl",
        "json_2.1.1/train/pick_clean_then_place_in_recep-Mug-None-Shelf-train1/trial_T0000/"
        "game.tw-pddl",
        "json_2.1.1/train/pick_clean_then_place_in_recep-Plate-None-Shelf-train3/trial_T0000/"
        "game.tw-pddl",
    ]
    assert [game.task_type for game in games] == [TaskType.PICK] * 2 + [TaskType.CLEAN] * 2
    assert game_by_id(tiny_data, games[2].id) == games[2]


def test_what_alfworld_leaves_out_is_left_out(tmp_path: Path) -> None:
    write_game(tmp_path, TinyGame(name="kept"))
    write_game(tmp_path, TinyGame(name="movable"))
    write_game(tmp_path, TinyGame(name="Sliced"))
    strange = write_game(tmp_path, TinyGame(name="strange")).with_name("traj_data.json")
    strange.write_text('{"task_type": "dance"}', encoding="utf-8")
    hopeless = write_game(tmp_path, TinyGame(name="unsolvable"))
    text = hopeless.read_text(encoding="utf-8")
    hopeless.write_text(text.replace('"solvable": true', '"solvable": false'), encoding="utf-8")

    def names(**options: bool) -> list[str]:
        games = list_games(tmp_path, "train", **options)
        return [game.path.parts[-3].rpartition("-")[2] for game in games]

    assert names() == ["kept", "unsolvable"]
    assert names(solvable_only=True) == ["kept"]


def test_the_data_folder_is_found(tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALFWORLD_DATA", str(tiny_data))
    assert data_folder() == tiny_data
    assert data_folder(tiny_data / "json_2.1.1") == tiny_data


def test_what_is_not_there_is_said(tiny_data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no json_2.1.1 folder"):
        data_folder(tmp_path)
    with pytest.raises(ConfigError, match="'test' is no split"):
        list_games(tiny_data, "test")
    with pytest.raises(ConfigError, match="it holds|holds the splits: train, valid_seen"):
        list_games(tiny_data, "valid_unseen")
    with pytest.raises(DataError, match=r"holds no game '\.\./x'"):
        game_by_id(tiny_data, "../x")
    (tmp_path / "json_2.1.1" / "train").mkdir(parents=True)
    with pytest.raises(DataError, match="no playable game"):
        list_games(tmp_path, "train")


def test_a_damaged_task_file_is_named(tmp_path: Path) -> None:
    task = write_game(tmp_path, TinyGame()).with_name("traj_data.json")
    task.write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match="traj_data.json is no task file"):
        list_games(tmp_path, "train")
