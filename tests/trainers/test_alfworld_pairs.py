"""Training pairs of ALFWorld."""

import random

import pytest

from langgraph_memskill.errors import ConfigError
from langgraph_memskill.trainers.alfworld_pairs import GamePair, PairSettings, sample_pair

GAMES = {"pick": [f"p{n}" for n in range(9)], "heat": [f"h{n}" for n in range(9)], "cool": []}


def settings(probability: float) -> PairSettings:
    return PairSettings(
        min_remembered=3, max_remembered=5, num_played=2, same_type_probability=probability
    )


@pytest.mark.parametrize("seed", range(20))
def test_batches_of_one_type_share_no_game(seed: int) -> None:
    pair = sample_pair(GAMES, settings(1.0), random.Random(seed))
    assert 3 <= len(pair.remembered) <= 5
    assert len(pair.played) == 2
    assert len({game.task_type for game in (*pair.remembered, *pair.played)}) == 1
    assert not set(pair.remembered) & set(pair.played)


@pytest.mark.parametrize("seed", range(20))
def test_batches_of_two_types(seed: int) -> None:
    pair = sample_pair(GAMES, settings(0.0), random.Random(seed))
    assert {g.task_type for g in pair.remembered} != {g.task_type for g in pair.played}


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("count", [2, 3, 5])
def test_with_few_games_batch_a_gets_fewer(seed: int, count: int) -> None:
    games = {"pick": [f"p{number}" for number in range(count)]}
    pair = sample_pair(games, settings(seed % 2), random.Random(seed))
    assert not set(pair.remembered) & set(pair.played)
    assert len(pair.remembered) >= 1
    assert len(pair.played) == 2


def test_one_seed_gives_one_pair() -> None:
    first, second = (sample_pair(GAMES, settings(0.5), random.Random(3)) for _ in range(2))
    assert first == second


def test_without_games_there_is_nothing_to_draw() -> None:
    assert sample_pair({"cool": []}, settings(1.0), random.Random(0)) == GamePair((), ())


def test_sizes_are_checked() -> None:
    with pytest.raises(ConfigError, match="max_remembered=1 is below min_remembered=2"):
        PairSettings(min_remembered=2, max_remembered=1)
