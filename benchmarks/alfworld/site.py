"""The worker's side of a run over games that is spread over a cluster."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass

from langgraph_memskill.alfworld.games import check_there
from langgraph_memskill.alfworld.records import GameFile
from langgraph_memskill.benchmarks.alfworld.arenas import (
    ArenaParts,
    LocalArena,
    LocalArenas,
    make_agent,
)
from langgraph_memskill.benchmarks.alfworld.settings import AlfworldSettings
from langgraph_memskill.benchmarks.run_log import ItemLog
from langgraph_memskill.records import Memory
from langgraph_memskill.workers.specs import EncoderSpec, ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class GameSiteRecipe:
    """Everything that a worker needs to play, but the memories of the rows."""

    settings: AlfworldSettings
    player: ModelSpec | None
    """For the agent "llm"."""
    encoder: EncoderSpec

    def open(self) -> "GameSite":
        """Make agent and encoder.

        Raises:
            MemSkillError: One of its children, if something is missing on this machine.
        """
        return GameSite(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowOrder:
    """A row by an id, and where to fetch its memories: a worker fetches them once."""

    id: str
    memories: Awaitable[tuple[Memory, ...]]


class GameSite:
    """Plays games in a worker's process, with engines of its own; writes nothing."""

    def __init__(self, recipe: GameSiteRecipe) -> None:
        """Make agent and encoder."""
        encoder = recipe.encoder.load()
        model = None if recipe.player is None else recipe.player.load(recipe.encoder)
        agent = make_agent(recipe.settings, model, encoder)
        self._arenas = LocalArenas(
            ArenaParts(agent=agent, encoder=encoder, settings=recipe.settings)
        )
        self._id = ""
        self._arena: asyncio.Task[LocalArena] | None = None

    async def play(self, row: RowOrder, game: GameFile) -> ItemLog:
        """Play a game.

        Args:
            row: The agent's memories.
            game: Which; its file has to be on this machine, too.

        Raises:
            ClusterError: If it is not.
        """
        await asyncio.to_thread(check_there, game.path)
        arena = await self._current(row)
        return await arena.play(game)

    async def aclose(self) -> None:
        """End the engines."""
        await self._arenas.aclose()

    async def _current(self, row: RowOrder) -> LocalArena:
        """The arena of the row; rows are played one after the other."""
        if self._arena is None or row.id != self._id:
            self._id, self._arena = row.id, asyncio.create_task(self._filled(row))
        return await asyncio.shield(self._arena)

    async def _filled(self, row: RowOrder) -> LocalArena:
        return await self._arenas.arena(await row.memories)
