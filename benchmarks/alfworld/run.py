"""Runs the games of a split with every row, and writes the result log."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langgraph_memskill.alfworld.agents import Agent, prompt_texts
from langgraph_memskill.alfworld.records import GameFile
from langgraph_memskill.benchmarks.alfworld.arenas import (
    Arena,
    ArenaParts,
    Arenas,
    LocalArenas,
    make_agent,
)
from langgraph_memskill.benchmarks.alfworld.material import TRAINING, PlayedGames, Training
from langgraph_memskill.benchmarks.alfworld.playing import METRICS
from langgraph_memskill.benchmarks.alfworld.remote import GameSpread, RemoteArenas
from langgraph_memskill.benchmarks.alfworld.settings import AlfworldSettings
from langgraph_memskill.benchmarks.run_log import BuildLog, DataLog, ModelLog, RowLog
from langgraph_memskill.benchmarks.running.building import build_log
from langgraph_memskill.benchmarks.running.construction import Executor
from langgraph_memskill.benchmarks.running.environment import environment
from langgraph_memskill.benchmarks.running.frame import FolderRun, RunHead, Work, settings_log
from langgraph_memskill.benchmarks.running.models import NamedModel, encoder_log
from langgraph_memskill.benchmarks.running.rows import construction_settings, skill_system
from langgraph_memskill.benchmarks.running.summary import ModelNames
from langgraph_memskill.benchmarks.running.systems import NoMemory, RawChunks, System
from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.errors import ConfigError, ModelCallError, WorkerLostError
from langgraph_memskill.records import Memory
from langgraph_memskill.skills.bank import SkillBank

_COUNTED = (ModelCallError.__name__, WorkerLostError.__name__)
"""Errors that say nothing about a game, so that a run must not have too many of them."""
_NOT_IN_RESULTS = frozenset({"workers", "max_failures", "rows"})
"""Settings that no result depends on; the rows are in the log themselves."""
_PACK = "embodied"
_ENGINE = ("alfworld", "textworld", "fast_downward_textworld")
"""Distributions that play and plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Players:
    """Who does what."""

    executor: NamedModel
    """Reads trajectories; with the agent `llm` it also plays."""
    encoder: TextEncoder
    """Embeds everything."""


class AlfworldRun(FolderRun):
    """The games of a split, the trajectories to remember, an agent and the rows."""

    def __init__(
        self,
        played: PlayedGames,
        training: Training | None,
        players: Players,
        settings: AlfworldSettings,
        *,
        agent: Agent | None = None,
        spread: GameSpread | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            played: The games.
            training: What memories are made of; None if no row has any.
            players: Who does what.
            settings: Everything else.
            agent: Plays; None makes the one that the settings name.
            spread: A cluster whose workers play; None plays in this process.

        Raises:
            ConfigError: If workers are to play with an agent that has no name for them.
            MemSkillError: One of its children, if a row's parts are missing or damaged.
        """
        self.played = played
        self.settings = settings
        self.training = training
        self._players = players
        if agent is not None and spread is not None:
            raise ConfigError("workers make the agent that the settings name: pass none")
        self._agent = agent or make_agent(settings, players.executor.model, players.encoder)
        self._spread = spread
        bank = SkillBank.seed(_PACK) if settings.skills is None else SkillBank.load(settings.skills)
        executor = players.executor
        self.executor = Executor(
            model=executor.model,
            model_name=executor.name,
            model_spec=executor.identity,
            encoder=players.encoder,
            bank=bank,
            settings=construction_settings(settings.construction),
        )
        super().__init__(
            self._new_head([self._system(name) for name in settings.rows]),
            () if training is None else (training.material,),
            ModelNames(executor=executor.name, reader=executor.name),
            num_items=len(played.games),
            concurrency=settings.workers,
            max_failures=settings.max_failures,
        )

    @property
    def place(self) -> str:
        """In this process, or how many workers play."""
        return super().place if self._spread is None else self._spread.name

    def _new_head(self, systems: Sequence[System]) -> RunHead:
        asks = self.settings.agent == "llm"
        return RunHead(
            data=self._data(),
            items=[game.id for game in self.played.games],
            systems=systems,
            models=self._models(),
            settings=self._settings_log(),
            seed=self.settings.seed,
            metrics=METRICS,
            prompts=prompt_texts() if asks else (),
            environment=environment(*_ENGINE),
        )

    async def _play(self, work: Work) -> list[RowLog]:
        arenas = await asyncio.to_thread(self._arenas)
        try:
            return [await self._row(system, work, arenas) for system in self.systems]
        finally:
            await arenas.aclose()

    def _arenas(self) -> Arenas:
        if self._spread is not None:
            return RemoteArenas(self._spread, self.settings)
        parts = ArenaParts(agent=self._agent, encoder=self._players.encoder, settings=self.settings)
        return LocalArenas(parts)

    async def _row(self, system: System, work: Work, arenas: Arenas) -> RowLog:
        games, journal = self.played.games, work.journal
        to_play = [game for game in games if journal.is_open(system.name, game.id)]
        memories: Sequence[Memory] = ()
        builds: tuple[BuildLog, ...] = ()
        if self.training is not None:
            material = self.training.material
            is_used = len(to_play) < len(games)
            build = await work.builder.build(system, material, is_used=is_used)
            memories = build.memories
        work.tally.step(len(games) - len(to_play))
        if to_play:
            arena = await arenas.arena(memories)
            try:
                async with asyncio.TaskGroup() as group:
                    for game in to_play:
                        group.create_task(self._play_game(system.name, game, arena, work))
            except ExceptionGroup as problems:
                raise problems.exceptions[0] from problems
        items = tuple(journal.items[system.name, game.id] for game in games)
        if self.training is not None:
            builds = (build_log(build, material, items),)
        title = system.title
        if not self.settings.needs_training:
            title = f"{self._agent.name} agent, {title}"
        return RowLog(
            name=system.name, title=title, settings=system.settings, builds=builds, items=items
        )

    async def _play_game(self, row: str, game: GameFile, arena: Arena, work: Work) -> None:
        async with work.slots:
            item = await arena.play(game)
        await work.journal.add(row, item)
        work.tally.spend(item.usage, None)
        if item.error is not None:
            work.tally.fail()
            if item.error.startswith(_COUNTED):
                work.failures.add(row, "games", self.num_items, item.error)
        work.tally.step()

    def _system(self, name: str) -> System:
        if name == "none":
            return NoMemory()
        if name == "rag":
            system = RawChunks("trajectory")
            system.title = "RAG over raw trajectories"
            return system
        return skill_system(name, self.settings.construction, self.executor)

    def _data(self) -> DataLog:
        return DataLog(
            task="alfworld",
            file=self.played.folder,
            sha256=self.played.sha256,
            split=self.played.split,
            span_mode="grouped-trajectories",
            samples=() if self.training is None else (TRAINING,),
        )

    def _models(self) -> tuple[ModelLog, ...]:
        executor = self._players.executor
        models = []
        if self.settings.needs_training:
            models.append(executor.log("executor"))
        if self.settings.agent == "llm":
            models.append(executor.log("reader"))
        return (*models, encoder_log(self._players.encoder))

    def _settings_log(self) -> dict[str, Any]:
        training = self.training
        return {
            **settings_log(self.settings, _NOT_IN_RESULTS),
            "bank_version": self.executor.bank.version,
            "training": None if training is None else training.material.content_key,
            "training_games": [] if training is None else list(training.games),
            "training_trajectories": 0 if training is None else len(training.games),
        }
