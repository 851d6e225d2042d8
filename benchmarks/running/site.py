"""The worker's side of a benchmark run that is spread over a cluster."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from langgraph_memskill.benchmarks.registry import get_task
from langgraph_memskill.benchmarks.run_log import ItemLog
from langgraph_memskill.benchmarks.running.answering import DeskParts, LocalDesk, Unanswered
from langgraph_memskill.benchmarks.running.builds import Build
from langgraph_memskill.benchmarks.running.construction import Executor
from langgraph_memskill.benchmarks.running.environment import without_credentials
from langgraph_memskill.benchmarks.running.material import Material
from langgraph_memskill.benchmarks.running.rows import (
    construction_settings,
    make_scorers,
    make_systems,
)
from langgraph_memskill.benchmarks.running.settings import RunSettings
from langgraph_memskill.benchmarks.running.shelf import SearchKit
from langgraph_memskill.benchmarks.running.systems import System
from langgraph_memskill.benchmarks.running.workshop import embed_ahead
from langgraph_memskill.controller.files import ControllerFiles
from langgraph_memskill.models import model_name
from langgraph_memskill.records import Memory
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.workers.specs import EncoderSpec, ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteRecipe:
    """Everything that a worker needs for the units of a run, but their samples."""

    task: str
    """Name, or MODULE:TASK, which the worker must be able to import."""
    settings: RunSettings
    bank: dict[str, Any]
    """The skills as JSON."""
    controller: ControllerFiles | None
    executor: ModelSpec
    reader: ModelSpec
    judge: ModelSpec | None
    encoder: EncoderSpec

    def open(self) -> "BenchmarkSite":
        """Make models and rows.

        Raises:
            MemSkillError: One of its children, if something is missing on this machine.
        """
        return BenchmarkSite(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitOrder:
    """One row with one sample, as it goes to a worker: what is large is fetched when needed."""

    id: str
    row: str
    material: Awaitable[Material]
    memories: Awaitable[tuple[Memory, ...]] | None = None
    """For questions."""
    start: Awaitable[Build] | None = None
    """For a build: where to go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The end of a build."""

    build: Build


class BenchmarkSite:
    """Builds memories and answers questions in a worker's process; writes nothing."""

    def __init__(self, recipe: SiteRecipe) -> None:
        """Make models and rows."""
        task, settings = get_task(recipe.task), recipe.settings
        model = recipe.executor.load(recipe.encoder)
        judge = None if recipe.judge is None else recipe.judge.load(recipe.encoder)
        self._executor = Executor(
            model=model,
            model_name=model_name(model),
            model_spec=without_credentials(recipe.executor.spec),
            encoder=recipe.encoder.load(),
            bank=SkillBank.from_json(recipe.bank),
            settings=construction_settings(settings),
        )
        self._systems = {s.name: s for s in self._rows(recipe)}
        self._parts = DeskParts(
            task=task,
            reader=recipe.reader.load(recipe.encoder),
            scorers=make_scorers(task, settings, judge),
            kit=SearchKit.of(self._executor),
        )
        self._desks: dict[str, asyncio.Task[LocalDesk]] = {}

    async def build(self, unit: UnitOrder) -> AsyncIterator[int | Build | Finished]:
        """Make the memories of a unit.

        Args:
            unit: Which, and where to go on.

        Yields:
            Numbers of spans that were read, builds to keep, and the end.
        """
        assert unit.start is not None
        system, material, start = self._systems[unit.row], await unit.material, await unit.start
        executor = self._executor
        await asyncio.to_thread(embed_ahead, [system], [material], executor.model, executor.encoder)
        events: asyncio.Queue[int | Build | None] = asyncio.Queue()
        building = asyncio.create_task(system.build(material, start, events.put_nowait, events.put))
        building.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                yield event
            yield Finished(build=await building)
        finally:
            building.cancel()

    async def open(self, unit: UnitOrder) -> None:
        """Get ready to answer the questions of a unit."""
        await self._desk(unit)

    async def answer(self, unit: UnitOrder, position: int) -> ItemLog | Unanswered:
        """Answer a question; opens the unit, if another worker had it before."""
        desk = await self._desk(unit)
        return await desk.answer(position)

    async def close(self, unit_id: str) -> None:
        """Let go of a unit."""
        self._desks.pop(unit_id, None)

    async def _desk(self, unit: UnitOrder) -> LocalDesk:
        if unit.id not in self._desks:
            self._desks[unit.id] = asyncio.create_task(self._opened(unit))
        try:
            return await asyncio.shield(self._desks[unit.id])
        except Exception:
            self._desks.pop(unit.id, None)  # the next attempt tries anew
            raise

    async def _opened(self, unit: UnitOrder) -> LocalDesk:
        assert unit.memories is not None
        system, material = self._systems[unit.row], await unit.material
        questions = [question.text for question in material.questions]
        await asyncio.to_thread(self._executor.encoder.encode, questions)
        desk = LocalDesk(system, material, self._parts)
        await desk.open(await unit.memories)
        return desk

    def _rows(self, recipe: SiteRecipe) -> list[System]:
        task, settings = get_task(recipe.task), recipe.settings
        if recipe.controller is None:
            return make_systems(task, settings, self._executor)
        with TemporaryDirectory() as folder:
            recipe.controller.write(folder)
            return make_systems(task, replace(settings, controller=Path(folder)), self._executor)
