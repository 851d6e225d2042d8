"""What an agent may know when it chooses a command, and what it answers."""

from dataclasses import dataclass
from typing import Protocol

from langgraph_memskill.alfworld.actions import ActionMatch
from langgraph_memskill.alfworld.engine import Engine
from langgraph_memskill.alfworld.records import GameState, GameStep


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Everything that an agent may know when it chooses."""

    first_observation: str
    memories: tuple[str, ...]
    """Best match first."""
    steps: tuple[GameStep, ...]
    """Since the first observation."""
    state: GameState


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A command and where it came from."""

    match: ActionMatch
    reply: str | None = None
    """What a model said."""


class Agent(Protocol):
    """Chooses commands; one agent may play several games at a time."""

    @property
    def name(self) -> str:
        """How logs name the agent."""

    async def act(self, scene: Scene, engine: Engine) -> Choice:
        """Choose the next command.

        Args:
            scene: What the agent may know.
            engine: The game itself, for the planner; no other agent may ask it.

        Raises:
            ModelCallError: If a model cannot be called.
            GameError: If the planner cannot be asked.
        """
