"""The driver's side of a benchmark run that is spread over a cluster."""

import asyncio
import uuid
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from langgraph_memskill.benchmarks.run_log import ItemLog
from langgraph_memskill.benchmarks.running.answering import Desk, Unanswered
from langgraph_memskill.benchmarks.running.builds import Build
from langgraph_memskill.benchmarks.running.material import Material
from langgraph_memskill.benchmarks.running.settings import RunSettings
from langgraph_memskill.benchmarks.running.site import Finished, SiteRecipe, UnitOrder
from langgraph_memskill.benchmarks.running.systems import OnSave, OnSpans, System
from langgraph_memskill.controller.files import ControllerFiles
from langgraph_memskill.records import Memory, Span
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.workers.lease import MAX_LOSSES, Lease, Lost, worker_lost
from langgraph_memskill.workers.pool import WorkerPool
from langgraph_memskill.workers.specs import EncoderSpec, ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The workers of a run, and the names of what they make for it."""

    pool: WorkerPool
    task: str
    """Name, or MODULE:TASK."""
    executor: ModelSpec
    reader: ModelSpec
    judge: ModelSpec | None
    encoder: EncoderSpec

    @property
    def name(self) -> str:
        """For the log."""
        return place_of(self.pool)


def place_of(pool: WorkerPool) -> str:
    """How a log names the workers."""
    return f"ray, {pool.num_workers} workers"


@dataclass(slots=True, kw_only=True)
class _Unit:
    """One row with one sample; all its work is done by one worker, as long as that lives."""

    lease: Lease
    order: UnitOrder


class RemoteWorkshop:
    """The workers of a cluster; see `Workshop`."""

    def __init__(self, spread: Spread, settings: RunSettings, bank: SkillBank) -> None:
        """Make a run known to the workers, which takes a moment.

        Args:
            spread: The workers.
            settings: Of the run.
            bank: The skills.

        Raises:
            CheckpointError: If the controller cannot be read.
        """
        self._pool = spread.pool
        folder = settings.controller if "controller" in settings.rows else None
        self._site = spread.pool.order(
            SiteRecipe(
                task=spread.task,
                settings=settings,
                bank=bank.to_json(),
                controller=None if folder is None else ControllerFiles.read(folder),
                executor=spread.executor,
                reader=spread.reader,
                judge=spread.judge,
                encoder=spread.encoder,
            )
        )
        self._units: dict[tuple[str, str], _Unit] = {}
        self._sharing = asyncio.Lock()

    async def start(self, systems: Sequence[System], materials: Sequence[Material]) -> None:
        """Nothing: workers embed what they read."""

    def system(self, system: System) -> System:
        """The same row, built by a worker if models are called for it."""
        return _RemoteSystem(system, self) if system.calls_a_model else system

    def desk(self, system: System, material: Material) -> Desk:
        """See `Workshop.desk`."""
        return _RemoteDesk(system, material, self)

    async def aclose(self) -> None:
        """Have the workers let go of the run."""
        await self._pool.forget(self._site)

    async def unit(self, system: System, material: Material) -> _Unit:
        """A unit that is played; `forget` ends that."""
        key = system.name, material.sample.id
        async with self._sharing:
            if key not in self._units:
                shared = await self._pool.ashare(material)
                order = UnitOrder(id=uuid.uuid4().hex, row=system.name, material=shared)
                self._units[key] = _Unit(lease=self._pool.lease(self._site), order=order)
            return self._units[key]

    async def share(self, memories: tuple[Memory, ...], unit: _Unit) -> None:
        """Send the memories of a unit along with its questions."""
        unit.order = replace(unit.order, memories=await self._pool.ashare(memories))

    async def starting(self, unit: _Unit, start: Build) -> UnitOrder:
        """A unit whose build goes on from somewhere."""
        return replace(unit.order, start=await self._pool.ashare(start))

    def forget(self, system: System, material: Material) -> _Unit | None:
        """Let go of a unit; None if no worker had it."""
        return self._units.pop((system.name, material.sample.id), None)


class _RemoteSystem(System):
    """A row whose memories a worker builds."""

    def __init__(self, system: System, workshop: RemoteWorkshop) -> None:
        super().__init__(system.name, system.title, system.settings)
        self.recall = system.recall
        self.calls_a_model = system.calls_a_model
        self._system = system
        self._workshop = workshop

    def spans(self, material: Material) -> tuple[Span, ...]:
        return self._system.spans(material)

    def num_steps(self, material: Material) -> int:
        return self._system.num_steps(material)

    def key(self, material: Material) -> str:
        return self._system.key(material)

    async def build(
        self, material: Material, start: Build, on_spans: OnSpans, on_save: OnSave
    ) -> Build:
        unit = await self._workshop.unit(self._system, material)
        reported = 0
        for _ in range(MAX_LOSSES):
            done = 0
            order = await self._workshop.starting(unit, start)
            try:
                async with aclosing(unit.lease.stream("build", order)) as events:
                    async for event in events:
                        if isinstance(event, Finished):
                            return event.build
                        if isinstance(event, Build):
                            # Another worker, if it comes to that, goes on from here.
                            start = event
                            await on_save(event)
                            continue
                        done += event
                        if done > reported:
                            on_spans(done - reported)
                            reported = done
            except Lost:
                continue
        raise worker_lost(f"building {self.name} of {material.sample.id}")


class _RemoteDesk:
    """A desk at a worker; see `Desk`."""

    def __init__(self, system: System, material: Material, workshop: RemoteWorkshop) -> None:
        self._system = system
        self._material = material
        self._workshop = workshop

    async def open(self, memories: Sequence[Memory]) -> None:
        unit = await self._workshop.unit(self._system, self._material)
        await self._workshop.share(tuple(memories), unit)
        await unit.lease.call("open", unit.order)

    async def answer(self, position: int) -> ItemLog | Unanswered:
        unit = await self._workshop.unit(self._system, self._material)
        found: ItemLog | Unanswered = await unit.lease.call("answer", unit.order, position)
        return found

    async def close(self) -> None:
        unit = self._workshop.forget(self._system, self._material)
        if unit is not None:
            unit.lease.dismiss("close", unit.order.id)
