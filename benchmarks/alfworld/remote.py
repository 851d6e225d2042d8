"""The driver's side of a run over games that is spread over a cluster."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langgraph_memskill.alfworld.records import GameFile
from langgraph_memskill.benchmarks.alfworld.playing import unplayed
from langgraph_memskill.benchmarks.alfworld.settings import AlfworldSettings
from langgraph_memskill.benchmarks.alfworld.site import GameSiteRecipe, RowOrder
from langgraph_memskill.benchmarks.run_log import ItemLog
from langgraph_memskill.benchmarks.running.remote import place_of
from langgraph_memskill.errors import WorkerLostError
from langgraph_memskill.records import Memory
from langgraph_memskill.workers.host import Order
from langgraph_memskill.workers.pool import WorkerPool
from langgraph_memskill.workers.specs import EncoderSpec, ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class GameSpread:
    """The workers of a run over games, and the names of what they make for it."""

    pool: WorkerPool
    player: ModelSpec | None
    """For the agent "llm"."""
    encoder: EncoderSpec

    @property
    def name(self) -> str:
        """For the log."""
        return place_of(self.pool)


class RemoteArenas:
    """The workers of a cluster; see `Arenas`."""

    def __init__(self, spread: GameSpread, settings: AlfworldSettings) -> None:
        """Make a run known to the workers, which takes a moment.

        Args:
            spread: The workers.
            settings: Of the run.
        """
        self._pool = spread.pool
        self._site = spread.pool.order(
            GameSiteRecipe(settings=settings, player=spread.player, encoder=spread.encoder)
        )

    async def arena(self, memories: Sequence[Memory]) -> "RemoteArena":
        """See `Arenas.arena`."""
        shared = await self._pool.ashare(tuple(memories))
        return RemoteArena(self._pool, self._site, RowOrder(id=uuid.uuid4().hex, memories=shared))

    async def aclose(self) -> None:
        """Have the workers let go of the run, and end its engines."""
        await self._pool.forget(self._site)


class RemoteArena:
    """Has every game played by the worker that has the least to do; see `Arena`."""

    def __init__(self, pool: WorkerPool, site: Order[Any], row: RowOrder) -> None:
        """Play a row."""
        self._pool = pool
        self._site = site
        self._row = row

    async def play(self, game: GameFile) -> ItemLog:
        """See `Arena.play`; a game that is lost with several workers has an `error`."""
        lease = self._pool.lease(self._site)
        try:
            item: ItemLog = await lease.call("play", self._row, game)
        except WorkerLostError as error:
            return unplayed(game, error)
        finally:
            lease.release()
        return item
