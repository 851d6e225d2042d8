"""Runs a benchmark: from a task, a file and models to a result log."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel

from langgraph_memskill.benchmarks.metrics import JudgeScorer
from langgraph_memskill.benchmarks.run_log import (
    LOG_FILE,
    ItemLog,
    ModelLog,
    RowLog,
    RunLog,
    SampleLog,
    SpanLog,
    TimesLog,
    write_run_log,
)
from langgraph_memskill.benchmarks.running.builds import BuildCache
from langgraph_memskill.benchmarks.running.construction import Executor
from langgraph_memskill.benchmarks.running.environment import environment, without_credentials
from langgraph_memskill.benchmarks.running.journal import Journal
from langgraph_memskill.benchmarks.running.material import Material, RunData, digest
from langgraph_memskill.benchmarks.running.prices import PriceTable
from langgraph_memskill.benchmarks.running.progress import FailureLimit, OnProgress, Tally
from langgraph_memskill.benchmarks.running.rows import (
    construction_settings,
    load_bank,
    make_systems,
)
from langgraph_memskill.benchmarks.running.settings import RunSettings
from langgraph_memskill.benchmarks.running.shelf import SearchKit
from langgraph_memskill.benchmarks.running.summary import ModelNames, summarised
from langgraph_memskill.benchmarks.running.systems import System
from langgraph_memskill.benchmarks.running.unit import RunParts, UnitPlay
from langgraph_memskill.benchmarks.task import Scorer, Task
from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.extractive.model import ExtractiveChatModel
from langgraph_memskill.graphs.benchmark import build_benchmark_graph
from langgraph_memskill.judging import Judge
from langgraph_memskill.models import model_name
from langgraph_memskill.prompts import answer_messages
from langgraph_memskill.records import Span

_UNITS_PER_SLOT = 2
"""Units in play for each call that may be in flight: enough to keep all busy, few enough that not
all memories are held at once."""
_NOT_IN_RESULTS = frozenset({"concurrency", "max_failures", "rebuild", "rows"})
"""Settings that no result depends on; the rows are in the log themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedModel:
    """A chat model, and how the user named it."""

    model: BaseChatModel
    spec: str = ""

    @property
    def name(self) -> str:
        """As tables and prices name it."""
        return model_name(self.model)


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


class BenchmarkRun:
    """One task with one file, one set of models and settings."""

    def __init__(
        self,
        task: Task,
        data: RunData,
        models: Models,
        settings: RunSettings,
        *,
        prices: PriceTable | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            task: The benchmark.
            data: What `load_data` gave.
            models: Who does what.
            settings: Everything else.
            prices: To count costs; None counts tokens only.

        Raises:
            ConfigError: If a model has no price, or a row cannot be made.
            MemSkillError: One of its other children, if a row's parts are missing or damaged.
        """
        self.task = task
        self.data = data
        self.settings = settings
        self._models = models
        self._prices = prices
        self.bank = load_bank(task, settings)
        self.executor = Executor(
            model=models.executor.model,
            model_name=models.executor.name,
            model_spec=without_credentials(models.executor.spec),
            encoder=models.encoder,
            bank=self.bank,
            settings=construction_settings(settings),
        )
        self.systems = make_systems(task, settings, self.executor)
        self.scorers = self._scorers()
        self.names = ModelNames(
            executor=models.executor.name,
            reader=models.reader.name,
            judge=None if models.judge is None else models.judge.name,
        )
        if prices is not None:
            judge = () if self.names.judge is None else (self.names.judge,)
            prices.check(self.names.executor, self.names.reader, *judge)
        self._environment = environment()
        self.id = self._id()

    @property
    def num_steps(self) -> int:
        """Spans and questions of all rows."""
        spans = sum(s.num_steps(m) for s in self.systems for m in self.data.materials)
        return spans + len(self.systems) * self.data.num_questions

    async def arun(
        self, folder: Path, cache: Path, *, on_progress: OnProgress | None = None
    ) -> RunLog:
        """Run, or go on with a run that was interrupted, and write the result log.

        Args:
            folder: The folder of the run.
            cache: Folder of the memories that were built, for all runs.
            on_progress: Called after every span and question.

        Returns:
            The log; it is also in `run.json` of the folder.

        Raises:
            BenchmarkError: If more than the settings allow has failed.
            ConfigError: If the folder holds another run, or another process is working there.
            DataError: If a file cannot be written.
        """
        started = datetime.now(UTC)
        journal = Journal(folder, self.id)
        resumed = sum(item.error is None for item in journal.items.values())
        with journal.writing():
            begun = time.perf_counter()
            parts = self._parts(journal, BuildCache(cache), Tally(self.num_steps, on_progress))
            units = [UnitPlay(s, m, parts) for s in self.systems for m in self.data.materials]
            try:
                if self._is_open(journal):
                    await self._embed_ahead()
                graph = build_benchmark_graph(units, attempts=self.settings.attempts)
                most = _UNITS_PER_SLOT * self.settings.concurrency
                await graph.ainvoke({"units": len(units)}, {"max_concurrency": most})
            finally:
                journal.add_seconds(time.perf_counter() - begun)
            times = TimesLog(
                started_at=started.isoformat(timespec="seconds"),
                finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
                seconds=round(journal.seconds, 3),
                reused_builds=parts.reused,
                resumed_items=resumed,
            )
            log = self._log(units, journal, times)
            await asyncio.to_thread(write_run_log, log, folder / LOG_FILE)
        return log

    def run(self, folder: Path, cache: Path, *, on_progress: OnProgress | None = None) -> RunLog:
        """Like `arun`, outside of an event loop."""
        return asyncio.run(self.arun(folder, cache, on_progress=on_progress))

    def _scorers(self) -> tuple[Scorer, ...]:
        if self._models.judge is None:
            return self.task.scorers
        judge = Judge(self._models.judge.model, attempts=self.settings.attempts)
        return (*self.task.scorers, JudgeScorer(judge))

    def _parts(self, journal: Journal, cache: BuildCache, tally: Tally) -> RunParts:
        spans = sum(len(material.spans) for material in self.data.materials)
        settings = self.settings
        return RunParts(
            run_id=self.id,
            task=self.task,
            reader=self._models.reader.model,
            scorers=self.scorers,
            kit=SearchKit(
                encoder=self._models.encoder,
                settings=self.executor.settings.search,
                top_k=settings.top_k,
            ),
            cache=cache,
            journal=journal,
            tally=tally,
            failures=FailureLimit(settings.max_failures),
            models=self.names,
            prices=self._prices,
            attempts=settings.attempts,
            rebuild=settings.rebuild,
            slots=asyncio.Semaphore(settings.concurrency),
            totals={"questions": self.data.num_questions, "spans": spans},
        )

    def _is_open(self, journal: Journal) -> bool:
        """Whether any question is still to be asked."""
        items = (
            journal.items.get((system.name, question.id))
            for system in self.systems
            for material in self.data.materials
            for question in material.questions
        )
        return any(item is None or item.error is not None for item in items)

    async def _embed_ahead(self) -> None:
        """Embed in large batches what will be asked for piece by piece."""
        materials = self.data.materials
        texts = [question.text for material in materials for question in material.questions]
        if any(system.calls_a_model for system in self.systems):
            texts += [span.text for material in materials for span in material.spans]
        if "rag" in self.settings.rows:
            texts += [chunk.text for material in materials for chunk in material.chunks]
        await asyncio.to_thread(self._models.encoder.encode, texts)
        if isinstance(self._models.executor.model, ExtractiveChatModel):
            spans = [span for material in materials for span in material.spans]
            await asyncio.to_thread(self._models.executor.model.read_ahead, spans)

    def _id(self) -> str:
        data = self.data.log.model_dump(mode="json")
        questions = [[q.id for q in material.questions] for material in self.data.materials]
        return digest(
            [
                data,
                questions,
                [[system.name, system.settings] for system in self.systems],
                [model.model_dump(mode="json") for model in self._model_logs()],
                [scorer.name for scorer in self.scorers],
                self._settings_log(),
                version("langgraph-memskill"),
                self._environment.git_revision,
                _answer_prompt(self.task),
            ]
        )

    def _settings_log(self) -> dict[str, Any]:
        values = {
            item.name: getattr(self.settings, item.name)
            for item in fields(self.settings)
            if item.name not in _NOT_IN_RESULTS
        }
        plain = {name: _plain(value) for name, value in values.items()}
        return {**plain, "bank_version": self.bank.version}

    def _model_logs(self) -> tuple[ModelLog, ...]:
        models = self._models
        roles: list[tuple[Any, NamedModel]] = [
            ("executor", models.executor),
            ("reader", models.reader),
        ]
        if models.judge is not None:
            roles.append(("judge", models.judge))
        logs = [
            ModelLog(role=role, name=named.name, spec=without_credentials(named.spec))
            for role, named in roles
        ]
        return (*logs, ModelLog(role="encoder", name=models.encoder.name))

    def _log(self, units: Sequence[UnitPlay], journal: Journal, times: TimesLog) -> RunLog:
        metrics = tuple(scorer.name for scorer in self.scorers)
        rows = [self._row(system, units, journal) for system in self.systems]
        seed = self.settings.seed
        return RunLog(
            id=self.id,
            data=self.data.log,
            models=self._model_logs(),
            environment=self._environment,
            settings=self._settings_log(),
            seeds={"seed": seed},
            prices=None if self._prices is None else self._prices.to_json(),
            metrics=metrics,
            samples=tuple(map(_sample_log, self.data.materials)),
            rows=tuple(summarised(row, metrics, self.names, self._prices, seed) for row in rows),
            times=times,
        )

    def _row(self, system: System, units: Sequence[UnitPlay], journal: Journal) -> RowLog:
        own = [unit for unit in units if unit.system is system]
        items: list[ItemLog] = [
            journal.items[system.name, question.id]
            for unit in own
            for question in unit.material.questions
        ]
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


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return value.name
    return list(value) if isinstance(value, tuple) else value


def _sample_log(material: Material) -> SampleLog:
    return SampleLog(id=material.sample.id, spans=tuple(map(_span_log, material.spans)))


def _span_log(span: Span) -> SpanLog:
    return SpanLog(id=span.id, text=span.text, session=span.session, time=span.time)
