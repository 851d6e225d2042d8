"""The typed records of games: which there are, what an agent sees, what it did."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class TaskType(StrEnum):
    """ALFWorld's six kinds of tasks, under its own names."""

    PICK = "pick_and_place_simple"
    LOOK = "look_at_obj_in_light"
    CLEAN = "pick_clean_then_place_in_recep"
    HEAT = "pick_heat_then_place_in_recep"
    COOL = "pick_cool_then_place_in_recep"
    PICK_TWO = "pick_two_obj_and_place"


class Split(StrEnum):
    """ALFWorld's parts."""

    TRAIN = "train"
    VALID_SEEN = "valid_seen"
    VALID_UNSEEN = "valid_unseen"


@dataclass(frozen=True, slots=True, kw_only=True)
class GameFile:
    """One game on disk."""

    id: str
    """Its path relative to the data folder, with slashes; the same on every machine."""
    path: Path
    task_type: TaskType


@dataclass(frozen=True, slots=True, kw_only=True)
class GameState:
    """What an agent can know after a command."""

    observation: str
    """What the game said last."""
    admissible: tuple[str, ...]
    """The commands that do something now, sorted."""
    inventory: tuple[str, ...]
    """Names of what the agent carries."""
    objective: str
    """The task, as in "put a clean mug in desk"."""
    task_type: TaskType
    num_steps: int
    """Commands so far."""
    reward: float
    """Of the last command: 1 when the task was solved by it, else 0."""
    is_done: bool
    is_won: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GameStep:
    """One command and what came of it; the first step of a game has no command."""

    action: str | None
    observation: str
    reward: float = 0.0
    done: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GameRecord:
    """A game that was played, or could not be."""

    first_observation: str = ""
    objective: str = ""
    steps: tuple[GameStep, ...] = ()
    """Beginning with the first observation, whose action is null."""
    trajectory: str = ""
    """The game as text; empty if it could not be played."""
    total_reward: float = 0.0
    error: str | None = None

    @property
    def is_won(self) -> bool:
        """Whether the task was solved."""
        return self.error is None and self.total_reward >= 1.0

    @property
    def num_commands(self) -> int:
        """Commands that were given."""
        return sum(step.action is not None for step in self.steps)
