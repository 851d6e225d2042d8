"""Games and training trajectories of a run."""

from pathlib import Path

import pytest

from langgraph_memskill.alfworld.records import GameFile, GameRecord, TaskType
from langgraph_memskill.benchmarks.alfworld.material import make_training, some_of_each_type
from langgraph_memskill.errors import ConfigError, DataError


def game(name: str, task_type: TaskType = TaskType.PICK) -> GameFile:
    return GameFile(id=name, path=Path(name), task_type=task_type)


def won(text: str) -> GameRecord:
    return GameRecord(trajectory=text, total_reward=1.0)


def test_spans_hold_whole_trajectories_of_one_task_type() -> None:
    records = {("heat", "a"): won("one"), ("heat", "b"): won("two"), ("cool", "c"): won("three")}
    material = make_training(records, 1024).material
    texts = [span.text for span in material.spans]
    assert texts == ["three", "one\n\n=== TRAJECTORY ===\n\ntwo"]
    assert [chunk.text for chunk in material.chunks] == ["three", "one", "two"]


def test_games_that_were_not_won_are_not_remembered() -> None:
    lost = GameRecord(trajectory="lost")
    material = make_training({("heat", "a"): won("one"), ("heat", "b"): lost}, 1024).material
    assert [span.text for span in material.spans] == ["one"]
    with pytest.raises(DataError, match="no game that was won"):
        make_training({("heat", "b"): lost}, 1024)


def test_a_game_that_is_played_must_not_be_remembered() -> None:
    with pytest.raises(ConfigError, match="hold the game a, which is played"):
        make_training({("heat", "a"): won("one")}, 1024, [game("a")])


def test_training_games_are_taken_from_all_types_in_turn() -> None:
    games = [game("p1"), game("p2"), game("p3"), game("h1", TaskType.PICK_TWO)]
    assert [g.id for g in some_of_each_type(games, 3)] == ["p1", "h1", "p2"]
