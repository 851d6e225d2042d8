"""Training pairs of ALFWorld: whose trajectories are remembered, and which games are played then.

METHOD, "ALFWorld training pairs"; the rules are those of the parity kit (README section 10).
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from langgraph_memskill.errors import ConfigError
from langgraph_memskill.ranges import check_count, check_share


class TypedGame(NamedTuple):
    """A game with its task type."""

    task_type: str
    game_id: str


class GamePair(NamedTuple):
    """Two batches of games."""

    remembered: tuple[TypedGame, ...]
    """Batch A: their trajectories build the memories."""
    played: tuple[TypedGame, ...]
    """Batch B: their success is the reward."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSettings:
    """Sizes of the batches, with METHOD's numbers as defaults.

    Raises:
        ConfigError: If a value is out of its range.
    """

    min_remembered: int = 40
    """Games of batch A at least, >= 1."""
    max_remembered: int = 60
    """Games of batch A at most, >= `min_remembered`."""
    num_played: int = 4
    """Games of batch B, >= 0."""
    same_type_probability: float = 0.8
    """How often both batches are of one task type, in [0, 1]."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_count(self, 1, "min_remembered", "max_remembered")
        check_count(self, 0, "num_played")
        check_share(self, "same_type_probability")
        if self.max_remembered < self.min_remembered:
            raise ConfigError(
                f"max_remembered={self.max_remembered} is below "
                f"min_remembered={self.min_remembered}"
            )


def sample_pair(
    games: Mapping[str, Sequence[str]], settings: PairSettings, generator: random.Random
) -> GamePair:
    """Draw both batches.

    No game of batch B is one of batch A, whose trajectory would give its solution away: if batch A
    would take all games of a type, it gets fewer (QUIRK 79). Only a type with a single game, where
    no other is to be had, remembers the game that it plays.

    Args:
        games: Task type to ids of games; types without games are passed over.
        settings: Sizes.
        generator: Draws; the same state gives the same pair.

    Returns:
        The batches; both are empty if there is no game.
    """
    types = [task_type for task_type, ids in games.items() if ids]
    if not types:
        return GamePair((), ())
    size = generator.randint(settings.min_remembered, settings.max_remembered)
    if generator.random() < settings.same_type_probability:
        return _one_type(generator.choice(types), games, size, settings.num_played, generator)
    first = generator.choice(types)
    others = [task_type for task_type in types if task_type != first]
    if not others:
        return _one_type(first, games, size, settings.num_played, generator)
    second = generator.choice(others)
    return GamePair(
        _named(first, _drawn(games[first], size, generator)),
        _named(second, _drawn(games[second], settings.num_played, generator)),
    )


def _one_type(
    task_type: str,
    games: Mapping[str, Sequence[str]],
    size: int,
    num_played: int,
    generator: random.Random,
) -> GamePair:
    ids = list(games[task_type])
    if len(ids) >= size + num_played:
        drawn = generator.sample(ids, size + num_played)
        return GamePair(_named(task_type, drawn[:size]), _named(task_type, drawn[size:]))
    if size >= len(ids):
        size = max(1, len(ids) - num_played)
    remembered = generator.sample(ids, size)
    left = [game_id for game_id in ids if game_id not in remembered] or ids
    played = _drawn(left, num_played, generator)
    return GamePair(_named(task_type, remembered), _named(task_type, played))


def _drawn(ids: Sequence[str], size: int, generator: random.Random) -> list[str]:
    """As many games as are wanted, each once before any comes again."""
    if len(ids) >= size:
        return generator.sample(list(ids), size)
    return [*ids, *(generator.choice(list(ids)) for _ in range(size - len(ids)))]


def _named(task_type: str, ids: Sequence[str]) -> tuple[TypedGame, ...]:
    return tuple(TypedGame(task_type, game_id) for game_id in ids)
