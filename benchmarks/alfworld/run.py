"""Runs the games of a split with every row, and writes the result log."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from langgraph.graph.state import CompiledStateGraph
from langgraph.store.memory import InMemoryStore

from langgraph_memskill.alfworld.agents import (
    Agent,
    ExpertAgent,
    ModelAgent,
    RandomAgent,
    SimilarityAgent,
)
from langgraph_memskill.alfworld.pool import EnginePool
from langgraph_memskill.alfworld.records import GameFile
from langgraph_memskill.benchmarks.alfworld.material import TRAINING, PlayedGames
from langgraph_memskill.benchmarks.alfworld.playing import METRICS, play_game
from langgraph_memskill.benchmarks.alfworld.settings import AlfworldSettings
from langgraph_memskill.benchmarks.run_log import (
    LOG_FILE,
    BuildLog,
    DataLog,
    ItemLog,
    MemoryLog,
    ModelLog,
    RowLog,
    RunLog,
    SampleLog,
    SpanLog,
    TimesLog,
    write_run_log,
)
from langgraph_memskill.benchmarks.running.builds import Build, BuildCache
from langgraph_memskill.benchmarks.running.construction import Executor
from langgraph_memskill.benchmarks.running.environment import environment, without_credentials
from langgraph_memskill.benchmarks.running.filling import fill
from langgraph_memskill.benchmarks.running.journal import Journal
from langgraph_memskill.benchmarks.running.material import Material, digest
from langgraph_memskill.benchmarks.running.progress import FailureLimit, OnProgress, Tally
from langgraph_memskill.benchmarks.running.rows import construction_settings, skill_system
from langgraph_memskill.benchmarks.running.run import NamedModel
from langgraph_memskill.benchmarks.running.summary import ModelNames, summarised
from langgraph_memskill.benchmarks.running.systems import (
    NAMESPACE,
    NoMemory,
    RawChunks,
    System,
)
from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.errors import ModelCallError
from langgraph_memskill.graphs.alfworld import Recall, build_acting_graph
from langgraph_memskill.memory_folder import store_index
from langgraph_memskill.records import Memory, Usage
from langgraph_memskill.skills.bank import SkillBank

_NOT_IN_RESULTS = frozenset({"workers", "max_failures", "rows"})
_PACK = "embodied"


@dataclass(frozen=True, slots=True, kw_only=True)
class Players:
    """Who does what."""

    executor: NamedModel
    """Reads trajectories; with the agent `llm` it also plays."""
    encoder: TextEncoder
    """Embeds everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What the parts of one run of the runner share."""

    journal: Journal
    cache: BuildCache
    pool: EnginePool
    tally: Tally
    failures: FailureLimit
    slots: asyncio.Semaphore
    """One an engine."""


class AlfworldRun:
    """The games of a split, the trajectories to remember, an agent and the rows."""

    def __init__(
        self,
        played: PlayedGames,
        training: Material | None,
        players: Players,
        settings: AlfworldSettings,
        *,
        agent: Agent | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            played: The games.
            training: What memories are made of; None if no row has any.
            players: Who does what.
            settings: Everything else.
            agent: Plays; None makes the one that the settings name.

        Raises:
            MemSkillError: One of its children, if a row's parts are missing or damaged.
        """
        self.played = played
        self.settings = settings
        self._training = training
        self._players = players
        self._agent = agent or self._named_agent()
        bank = SkillBank.seed(_PACK) if settings.skills is None else SkillBank.load(settings.skills)
        self._executor = Executor(
            model=players.executor.model,
            model_name=players.executor.name,
            encoder=players.encoder,
            bank=bank,
            settings=construction_settings(settings.construction),
        )
        self._systems = [self._system(name) for name in settings.rows]
        self.id = digest(
            [
                self._data().model_dump(mode="json"),
                [game.id for game in played.games],
                [[system.name, system.settings] for system in self._systems],
                [model.model_dump(mode="json") for model in self._models()],
                self._settings_log(),
            ]
        )

    @property
    def num_steps(self) -> int:
        """Spans and games of all rows."""
        games = len(self._systems) * len(self.played.games)
        if self._training is None:
            return games
        return games + sum(system.num_steps(self._training) for system in self._systems)

    async def arun(
        self, folder: Path, cache: Path, *, on_progress: OnProgress | None = None
    ) -> RunLog:
        """Run, or go on with a run that was interrupted, and write the result log.

        Args:
            folder: The folder of the run.
            cache: Folder of the memories that were built, for all runs.
            on_progress: Called after every span and game.

        Returns:
            The log; it is also in `run.json` of the folder.

        Raises:
            BenchmarkError: If models fail for more than the settings allow.
            ConfigError: If the folder holds another run, or another process is working there.
            DataError: If a file cannot be written.
            MissingDependencyError: If the engine is not installed.
        """
        started = datetime.now(UTC)
        journal = Journal(folder, self.id)
        resumed = sum(item.error is None for item in journal.items.values())
        with EnginePool(spare=self.settings.workers) as pool, journal.writing():
            begun = time.perf_counter()
            work = _Work(
                journal=journal,
                cache=BuildCache(cache),
                pool=pool,
                tally=Tally(self.num_steps, on_progress),
                failures=FailureLimit(self.settings.max_failures),
                slots=asyncio.Semaphore(self.settings.workers),
            )
            try:
                rows = [await self._row(system, work) for system in self._systems]
            finally:
                journal.add_seconds(time.perf_counter() - begun)
            times = TimesLog(
                started_at=started.isoformat(timespec="seconds"),
                finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
                seconds=round(journal.seconds, 3),
                resumed_items=resumed,
            )
            log = self._log(rows, times)
            await asyncio.to_thread(write_run_log, log, folder / LOG_FILE)
        return log

    def run(self, folder: Path, cache: Path, *, on_progress: OnProgress | None = None) -> RunLog:
        """Like `arun`, outside of an event loop."""
        return asyncio.run(self.arun(folder, cache, on_progress=on_progress))

    async def _row(self, system: System, work: _Work) -> RowLog:
        build = await self._built(system, work)
        graph = await self._graph(build.memories)
        try:
            async with asyncio.TaskGroup() as group:
                for game in self.played.games:
                    group.create_task(self._play(system.name, game, graph, work))
        except ExceptionGroup as problems:
            raise problems.exceptions[0] from problems
        items = tuple(work.journal.items[system.name, game.id] for game in self.played.games)
        title = system.title
        if not self.settings.needs_training:
            title = f"{self._agent.name} agent, {title}"
        row = RowLog(
            name=system.name,
            title=title,
            settings=system.settings,
            builds=() if self._training is None else (_build_log(build, items),),
            items=items,
        )
        name = self._players.executor.name
        names = ModelNames(executor=name, reader=name)
        return summarised(row, METRICS, names, None, self.settings.seed)

    async def _play(
        self, row: str, game: GameFile, graph: CompiledStateGraph[Any, Any, Any, Any], work: _Work
    ) -> None:
        known = work.journal.items.get((row, game.id))
        if known is None or known.error is not None:
            async with work.slots, work.pool.aengine() as engine:
                item = await play_game(graph, engine, game, self.settings.max_steps)
            work.journal.add(row, item)
            work.tally.spend(item.usage, None)
            if item.error is not None:
                work.tally.fail()
                if item.error.startswith(ModelCallError.__name__):
                    work.failures.add(row, "games", len(self.played.games), item.error)
        work.tally.step()

    async def _graph(self, memories: Sequence[Memory]) -> CompiledStateGraph[Any, Any, Any, Any]:
        recall = None
        if memories:
            store = InMemoryStore(index=store_index(self._players.encoder))
            await fill(store, memories)
            recall = Recall(
                store=store,
                encoder=self._players.encoder,
                namespace=NAMESPACE,
                top_k=self.settings.top_k,
                search=self._executor.settings.search,
            )
        return build_acting_graph(
            self._agent,
            recall=recall,
            max_steps=self.settings.max_steps,
            attempts=self.settings.attempts,
        )

    async def _built(self, system: System, work: _Work) -> Build:
        if self._training is None:
            return Build(key="", num_spans=0)
        num_spans = system.num_steps(self._training)
        start = Build(key=system.key(self._training), num_spans=num_spans, run=self.id)
        if not system.calls_a_model:
            return await system.build(self._training, start, work.tally.step, lambda build: None)
        found = await asyncio.to_thread(work.cache.load, start.key)
        # Memories that lack failed spans are for the run that they failed in only.
        if found is not None and (not found.failed or found.run == self.id):
            start = replace(found, run=self.id)
        if start.is_complete:
            work.tally.step(num_spans)
            return start
        build = await system.build(self._training, start, work.tally.step, work.cache.save)
        work.tally.spend(build.usage, None)
        if build.failed:
            reason = next(reversed(build.failed.values()))
            work.failures.add(system.name, "spans", num_spans, reason, count=len(build.failed))
        return build

    def _system(self, name: str) -> System:
        if name == "none":
            return NoMemory()
        if name == "rag":
            system = RawChunks("trajectory")
            system.title = "RAG over raw trajectories"
            return system
        return skill_system(name, self.settings.construction, self._executor)

    def _named_agent(self) -> Agent:
        match self.settings.agent:
            case "random":
                return RandomAgent(self.settings.seed)
            case "expert":
                return ExpertAgent()
            case "llm":
                return ModelAgent(self._players.executor.model)
        return SimilarityAgent(self._players.encoder)

    def _data(self) -> DataLog:
        return DataLog(
            task="alfworld",
            file=self.played.folder,
            sha256=self.played.sha256,
            split=self.played.split,
            span_mode="grouped-trajectories",
            samples=() if self._training is None else (TRAINING,),
        )

    def _models(self) -> tuple[ModelLog, ...]:
        executor = self._players.executor
        spec = without_credentials(executor.spec)
        models = []
        if self.settings.needs_training:
            models.append(ModelLog(role="executor", name=executor.name, spec=spec))
        if self.settings.agent == "llm":
            models.append(ModelLog(role="reader", name=executor.name, spec=spec))
        return (*models, ModelLog(role="encoder", name=self._players.encoder.name))

    def _settings_log(self) -> dict[str, Any]:
        values = {
            item.name: getattr(self.settings, item.name)
            for item in fields(self.settings)
            if item.name not in _NOT_IN_RESULTS
        }
        return {
            **{
                key: value.name if isinstance(value, Path) else value
                for key, value in values.items()
            },
            "bank_version": self._executor.bank.version,
            "training": None if self._training is None else self._training.content_key,
            "training_trajectories": 0 if self._training is None else len(self._training.chunks),
        }

    def _log(self, rows: Sequence[RowLog], times: TimesLog) -> RunLog:
        spans = () if self._training is None else self._training.spans
        return RunLog(
            id=self.id,
            data=self._data(),
            models=self._models(),
            environment=environment(),
            settings=self._settings_log(),
            seeds={"seed": self.settings.seed},
            metrics=METRICS,
            samples=(
                SampleLog(
                    id=TRAINING, spans=tuple(SpanLog(id=span.id, text=span.text) for span in spans)
                ),
            ),
            rows=tuple(rows),
            times=times,
        )


def _build_log(build: Build, items: Sequence[ItemLog]) -> BuildLog:
    """A build with the memories that its games recalled."""
    recalled = {entry.memory_id for item in items for entry in item.recalled}
    memories = [memory for memory in build.memories if memory.id in recalled]
    return BuildLog(
        sample=TRAINING,
        key=build.key,
        memories=tuple(map(_memory_log, sorted(memories, key=lambda memory: memory.id))),
        num_memories=len(build.memories),
        skill_uses=build.skill_uses,
        actions=build.actions,
        failed_spans=len(build.failed),
        usage=build.usage if build.num_spans else Usage(),
        seconds=build.seconds,
    )


def _memory_log(memory: Memory) -> MemoryLog:
    # The construction graph writes its episode in front of a span's own id.
    sources = dict.fromkeys(source.span_id.rpartition("/")[2] for source in memory.sources)
    return MemoryLog(
        id=memory.id, content=memory.content, skills=memory.skills, span_ids=tuple(sources)
    )
