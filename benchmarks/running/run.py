"""Runs a benchmark of questions: from a task, a file and models to a result log."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langgraph_memskill.benchmarks.run_log import ModelLog, RowLog
from langgraph_memskill.benchmarks.running.answering import DeskParts
from langgraph_memskill.benchmarks.running.construction import Executor
from langgraph_memskill.benchmarks.running.environment import environment
from langgraph_memskill.benchmarks.running.frame import FolderRun, RunHead, Work, settings_log
from langgraph_memskill.benchmarks.running.journal import Journal
from langgraph_memskill.benchmarks.running.material import RunData
from langgraph_memskill.benchmarks.running.models import NamedModel, encoder_log
from langgraph_memskill.benchmarks.running.prices import PriceTable
from langgraph_memskill.benchmarks.running.remote import RemoteWorkshop, Spread
from langgraph_memskill.benchmarks.running.rows import (
    construction_settings,
    load_bank,
    make_scorers,
    make_systems,
)
from langgraph_memskill.benchmarks.running.settings import RunSettings
from langgraph_memskill.benchmarks.running.shelf import SearchKit
from langgraph_memskill.benchmarks.running.summary import ModelNames
from langgraph_memskill.benchmarks.running.systems import System
from langgraph_memskill.benchmarks.running.unit import RunParts, UnitPlay
from langgraph_memskill.benchmarks.running.workshop import LocalWorkshop, Workshop
from langgraph_memskill.benchmarks.task import Task
from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.graphs.benchmark import build_benchmark_graph
from langgraph_memskill.prompts import answer_messages

_UNITS_PER_SLOT = 2
"""Units in play for each call that may be in flight: enough to keep all busy, few enough that not
all memories are held at once."""
_NOT_IN_RESULTS = frozenset({"concurrency", "max_failures", "rebuild", "rows"})
"""Settings that no result depends on; the rows are in the log themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """Who does what."""

    executor: NamedModel
    """Reads spans."""
    reader: NamedModel
    """Answers questions, for all rows."""
    judge: NamedModel | None
    encoder: TextEncoder
    """Embeds everything. For results that do not depend on what runs beside what, a text's vector
    must not depend on the texts beside it (`load_encoder(..., by_length=True)`)."""

    @property
    def names(self) -> ModelNames:
        """For the price table."""
        return ModelNames(
            executor=self.executor.name,
            reader=self.reader.name,
            judge=None if self.judge is None else self.judge.name,
        )

    @property
    def log(self) -> tuple[ModelLog, ...]:
        """What the log says of them."""
        judge = () if self.judge is None else (self.judge.log("judge"),)
        return (
            self.executor.log("executor"),
            self.reader.log("reader"),
            *judge,
            encoder_log(self.encoder),
        )


class BenchmarkRun(FolderRun):
    """One task with one file, one set of models and settings."""

    def __init__(
        self,
        task: Task,
        data: RunData,
        models: Models,
        settings: RunSettings,
        *,
        prices: PriceTable | None = None,
        spread: Spread | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            task: The benchmark.
            data: What `load_data` gave.
            models: Who does what.
            settings: Everything else.
            prices: To count costs; None counts tokens only.
            spread: A cluster that the work is spread over; None works in this process.

        Raises:
            ConfigError: If a model has no price, or a row cannot be made.
            MemSkillError: One of its other children, if a row's parts are missing or damaged.
        """
        self.task = task
        self.data = data
        self.settings = settings
        self._models = models
        self._spread = spread
        self.bank = load_bank(task, settings)
        self.executor = Executor(
            model=models.executor.model,
            model_name=models.executor.name,
            model_spec=models.executor.identity,
            encoder=models.encoder,
            bank=self.bank,
            settings=construction_settings(settings),
        )
        systems = make_systems(task, settings, self.executor)
        judge = None if models.judge is None else models.judge.model
        self.scorers = make_scorers(task, settings, judge)
        names = models.names
        if prices is not None:
            judged_by = () if names.judge is None else (names.judge,)
            prices.check(names.executor, names.reader, *judged_by)
        super().__init__(
            self._new_head(systems),
            data.materials,
            names,
            num_items=data.num_questions,
            concurrency=settings.concurrency,
            max_failures=settings.max_failures,
            rebuild=settings.rebuild,
            prices=prices,
        )

    @property
    def place(self) -> str:
        """In this process, or how many workers it is spread over."""
        return super().place if self._spread is None else self._spread.name

    def _new_head(self, systems: Sequence[System]) -> RunHead:
        return RunHead(
            data=self.data.log,
            items=[[q.id for q in material.questions] for material in self.data.materials],
            systems=systems,
            models=self._models.log,
            settings=self._settings_log(),
            seed=self.settings.seed,
            metrics=tuple(scorer.name for scorer in self.scorers),
            prompts=_answer_prompt(self.task),
            environment=environment(),
        )

    async def _play(self, work: Work) -> list[RowLog]:
        workshop = await asyncio.to_thread(self._workshop)
        parts = self._parts(work, workshop)
        units = [UnitPlay(s, m, parts) for s in self.systems for m in self.data.materials]
        try:
            if self._is_open(work.journal):
                await workshop.start(self.systems, self.data.materials)
            graph = build_benchmark_graph(units, attempts=self.settings.attempts)
            most = _UNITS_PER_SLOT * self.settings.concurrency
            await graph.ainvoke({"units": len(units)}, {"max_concurrency": most})
        finally:
            await workshop.aclose()
        return [self._row(system, units, work.journal) for system in self.systems]

    def _workshop(self) -> Workshop:
        if self._spread is not None:
            return RemoteWorkshop(self._spread, self.settings, self.bank)
        parts = DeskParts(
            task=self.task,
            reader=self._models.reader.model,
            scorers=self.scorers,
            kit=SearchKit.of(self.executor),
        )
        return LocalWorkshop(self.executor.model, self.executor.encoder, parts)

    def _parts(self, work: Work, workshop: Workshop) -> RunParts:
        return RunParts(
            work=work,
            workshop=workshop,
            task=self.task,
            models=self.names,
            prices=self._prices,
            attempts=self.settings.attempts,
            num_questions=self.data.num_questions,
        )

    def _is_open(self, journal: Journal) -> bool:
        """Whether any question is still to be asked."""
        return any(
            journal.is_open(system.name, question.id)
            for system in self.systems
            for material in self.data.materials
            for question in material.questions
        )

    def _settings_log(self) -> dict[str, Any]:
        settings = settings_log(self.settings, _NOT_IN_RESULTS)
        return {**settings, "bank_version": self.bank.version}

    def _row(self, system: System, units: Sequence[UnitPlay], journal: Journal) -> RowLog:
        own = [unit for unit in units if unit.system is system]
        items = (
            journal.items[system.name, question.id]
            for unit in own
            for question in unit.material.questions
        )
        return RowLog(
            name=system.name,
            title=system.title,
            settings=system.settings,
            builds=tuple(unit.log for unit in own if unit.log is not None),
            items=tuple(items),
        )


def _answer_prompt(task: Task) -> list[str]:
    style = task.prompts.style
    return [str(message.text) for message in answer_messages("", (), style=style)]
