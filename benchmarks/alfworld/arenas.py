"""Where the games of a row are played: in this process, unless they are spread over a cluster."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from langchain_core.language_models import BaseChatModel
from langgraph.graph.state import CompiledStateGraph

from langgraph_memskill.alfworld.agents import (
    Agent,
    ExpertAgent,
    ModelAgent,
    RandomAgent,
    SimilarityAgent,
)
from langgraph_memskill.alfworld.pool import EnginePool
from langgraph_memskill.alfworld.records import GameFile
from langgraph_memskill.benchmarks.alfworld.playing import play_game
from langgraph_memskill.benchmarks.alfworld.settings import AlfworldSettings
from langgraph_memskill.benchmarks.run_log import ItemLog
from langgraph_memskill.benchmarks.running.filling import fill
from langgraph_memskill.benchmarks.running.rows import construction_settings
from langgraph_memskill.benchmarks.running.systems import NAMESPACE
from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.errors import ConfigError
from langgraph_memskill.graphs.alfworld import Recall, build_acting_graph
from langgraph_memskill.records import Memory
from langgraph_memskill.stores.in_process import in_process_store


class Arena(Protocol):
    """Plays the games of one row."""

    async def play(self, game: GameFile) -> ItemLog:
        """Play a game; see `play_game`.

        Raises:
            ClusterError: If a cluster or its workers cannot be used.
        """


class Arenas(Protocol):
    """Makes the arenas of a run."""

    async def arena(self, memories: Sequence[Memory]) -> Arena:
        """An arena whose agent has memories; it replaces the one before.

        Args:
            memories: Of a row.
        """

    async def aclose(self) -> None:
        """End the engines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArenaParts:
    """What all arenas of a run have."""

    agent: Agent
    encoder: TextEncoder
    """Embeds memories and objectives."""
    settings: AlfworldSettings


def make_agent(
    settings: AlfworldSettings, model: BaseChatModel | None, encoder: TextEncoder
) -> Agent:
    """The agent that the settings name.

    Args:
        settings: Of a run.
        model: Plays, if the agent is "llm".
        encoder: For the agent "similarity".

    Raises:
        ConfigError: If the agent needs a model and there is none.
    """
    match settings.agent:
        case "random":
            return RandomAgent(settings.seed)
        case "expert":
            return ExpertAgent()
        case "llm":
            if model is None:
                raise ConfigError("the agent 'llm' needs a model")
            return ModelAgent(model)
    return SimilarityAgent(encoder)


class LocalArenas:
    """This process with engines of its own; see `Arenas`."""

    def __init__(self, parts: ArenaParts) -> None:
        """Make no engine yet.

        Args:
            parts: Of all arenas.

        Raises:
            MissingDependencyError: If the extra `alfworld` is not installed.
        """
        self._parts = parts
        # One engine for each game that is played side by side.
        self._pool = EnginePool(spare=parts.settings.workers)

    async def arena(self, memories: Sequence[Memory]) -> "LocalArena":
        """See `Arenas.arena`."""
        graph = await _acting_graph(memories, self._parts)
        return LocalArena(graph, self._pool, self._parts.settings.max_steps)

    async def aclose(self) -> None:
        """End the engines."""
        await self._pool.aclose()


class LocalArena:
    """Plays in this process; see `Arena`."""

    def __init__(
        self, graph: CompiledStateGraph[Any, Any, Any, Any], pool: EnginePool, max_steps: int
    ) -> None:
        """Play by `graph` with engines of `pool`."""
        self._graph = graph
        self._pool = pool
        self._max_steps = max_steps

    async def play(self, game: GameFile) -> ItemLog:
        """See `Arena.play`."""
        async with self._pool.aengine() as engine:
            return await play_game(self._graph, engine, game, self._max_steps)


async def _acting_graph(
    memories: Sequence[Memory], parts: ArenaParts
) -> CompiledStateGraph[Any, Any, Any, Any]:
    settings, recall = parts.settings, None
    if memories:
        store = in_process_store(parts.encoder)
        await fill(store, memories)
        recall = Recall(
            store=store,
            encoder=parts.encoder,
            namespace=NAMESPACE,
            top_k=settings.top_k,
            search=construction_settings(settings.construction).search,
        )
    return build_acting_graph(
        parts.agent, recall=recall, max_steps=settings.max_steps, attempts=settings.attempts
    )
