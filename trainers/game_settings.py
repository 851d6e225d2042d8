"""The settings of episodes over ALFWorld's games."""

from dataclasses import dataclass
from typing import Literal, get_args

from langgraph_memskill.errors import ConfigError
from langgraph_memskill.ranges import check_count
from langgraph_memskill.trainers.alfworld_pairs import PairSettings

GameAgent = Literal["similarity", "llm"]
"""Who plays in training: agents whose choice depends on memories."""
GameQuery = Literal["objective", "first_observation"]
"""What memories are looked for by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GameSettings:
    """How games are remembered and played (METHOD, "ALFWorld training pairs").

    Raises:
        ConfigError: If a value is out of its range.
    """

    agent: GameAgent = "similarity"
    """"llm" asks the run's model for every command."""
    pairs: PairSettings = PairSettings()
    """Sizes of the batches A (remembered) and B (played)."""
    span_tokens: int = 1024
    """Tokens of the trajectories of a span at most, >= 1; a longer one is a span of its own."""
    max_steps: int = 50
    """Commands of a game at most, >= 1."""
    query: GameQuery = "objective"
    """If it is empty, the other one is taken."""
    attempts: int = 3
    """Calls of a model for one command before its game has no score, >= 1."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_count(self, 1, "span_tokens", "max_steps", "attempts")
        for name, kind in (("agent", GameAgent), ("query", GameQuery)):
            value = getattr(self, name)
            if value not in get_args(kind):
                known = ", ".join(map(repr, get_args(kind)))
                raise ConfigError(f"games.{name}={value!r} must be one of {known}")
        if self.pairs.num_played < 1:
            raise ConfigError(
                f"games.pairs.num_played={self.pairs.num_played!r} must be at least 1: the games "
                "that are played are the reward"
            )
