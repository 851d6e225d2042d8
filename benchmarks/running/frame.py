"""What every run does, whatever is played: folder, lock, journal, progress, times and the log."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from langgraph_memskill.benchmarks.run_log import (
    LOG_FILE,
    DataLog,
    EnvironmentLog,
    ModelLog,
    RowLog,
    RunLog,
    SampleLog,
    SpanLog,
    TimesLog,
    write_run_log,
)
from langgraph_memskill.benchmarks.running.building import Builder
from langgraph_memskill.benchmarks.running.builds import BuildCache
from langgraph_memskill.benchmarks.running.journal import Journal
from langgraph_memskill.benchmarks.running.material import Material, digest
from langgraph_memskill.benchmarks.running.prices import PriceTable
from langgraph_memskill.benchmarks.running.progress import FailureLimit, OnProgress, Tally
from langgraph_memskill.benchmarks.running.summary import ModelNames, summarised
from langgraph_memskill.benchmarks.running.systems import System


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHead:
    """What a run is before anything is played; its id follows from this."""

    data: DataLog
    items: Sequence[object]
    """Ids of what is played, as plain JSON data."""
    systems: Sequence[System]
    """The rows, in order."""
    models: tuple[ModelLog, ...]
    settings: dict[str, Any]
    """Everything else that the results follow from."""
    seed: int
    """Of chance, and of the intervals."""
    metrics: tuple[str, ...]
    """Names, the main one first."""
    prompts: Sequence[str]
    """What is put to a model that plays."""
    environment: EnvironmentLog

    @property
    def id(self) -> str:
        """Follows from everything here, and from the version of this package."""
        return digest(
            [
                self.data.model_dump(mode="json"),
                self.items,
                [[system.name, system.settings] for system in self.systems],
                [model.model_dump(mode="json") for model in self.models],
                self.metrics,
                self.settings,
                version("langgraph-memskill"),
                self.environment.git_revision,
                self.prompts,
            ]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What the parts of a run share while it is played."""

    journal: Journal
    builder: Builder
    tally: Tally
    failures: FailureLimit
    slots: asyncio.Semaphore
    """For what goes on side by side."""


class FolderRun(ABC):
    """A run in a folder of its own, which can be interrupted and gone on with."""

    def __init__(
        self,
        head: RunHead,
        materials: Sequence[Material],
        names: ModelNames,
        *,
        num_items: int,
        concurrency: int,
        max_failures: float,
        rebuild: bool = False,
        prices: PriceTable | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            head: What the run is.
            materials: What memories are made of, a sample each.
            names: Which models are called.
            num_items: What a row plays: questions, or games.
            concurrency: What goes on side by side at most.
            max_failures: Share of a row's items, or of its spans, that may fail.
            rebuild: Whether to build memories anew that the cache has.
            prices: To count costs; None counts tokens only.
        """
        self.id = head.id
        self.systems = head.systems
        self.names = names
        self.num_items = num_items
        self._head = head
        self.materials = materials
        self._concurrency = concurrency
        self._max_failures = max_failures
        self.rebuild = rebuild
        self._prices = prices

    @property
    def place(self) -> str:
        """Where the work is done, for the log."""
        return "local"

    @property
    def num_steps(self) -> int:
        """Spans and items of all rows."""
        spans = sum(s.num_steps(m) for s in self.systems for m in self.materials)
        return spans + len(self.systems) * self.num_items

    @abstractmethod
    async def _play(self, work: Work) -> list[RowLog]:
        """Build memories and play what the journal does not hold.

        Returns:
            Every row: name, title, settings, builds and items.
        """

    async def arun(
        self, folder: Path, cache: Path, *, on_progress: OnProgress | None = None
    ) -> RunLog:
        """Run, or go on with a run that was interrupted, and write the result log.

        Args:
            folder: The folder of the run.
            cache: Folder of the memories that were built, for all runs.
            on_progress: Called after every span and item.

        Returns:
            The log; it is also in `run.json` of the folder.

        Raises:
            BenchmarkError: If more than the settings allow has failed.
            ConfigError: If the folder holds another run, or another process is working there.
            DataError: If a file cannot be written.
            MissingDependencyError: If what is played needs a package that is not installed.
        """
        started = datetime.now(UTC)
        journal = await asyncio.to_thread(Journal, folder, self.id)
        resumed = sum(item.error is None for item in journal.items.values())
        work = self._work(journal, BuildCache(cache), Tally(self.num_steps, on_progress))
        async with journal.writing():
            begun = time.perf_counter()
            try:
                rows = await self._play(work)
            finally:
                await journal.add_seconds(time.perf_counter() - begun)
            times = TimesLog(
                started_at=started.isoformat(timespec="seconds"),
                finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
                seconds=round(journal.seconds, 3),
                reused_builds=work.builder.reused,
                resumed_items=resumed,
                executor=self.place,
            )
            # Intervals take seconds of drawing.
            log = await asyncio.to_thread(self._log, rows, times)
            await asyncio.to_thread(write_run_log, log, folder / LOG_FILE)
        return log

    def run(self, folder: Path, cache: Path, *, on_progress: OnProgress | None = None) -> RunLog:
        """Like `arun`, outside of an event loop."""
        return asyncio.run(self.arun(folder, cache, on_progress=on_progress))

    def _work(self, journal: Journal, cache: BuildCache, tally: Tally) -> Work:
        failures = FailureLimit(self._max_failures)
        builder = Builder(
            run_id=self.id,
            cache=cache,
            tally=tally,
            failures=failures,
            executor=self.names.executor,
            prices=self._prices,
            num_spans=sum(len(material.spans) for material in self.materials),
            rebuild=self.rebuild,
        )
        return Work(
            journal=journal,
            builder=builder,
            tally=tally,
            failures=failures,
            slots=asyncio.Semaphore(self._concurrency),
        )

    def _log(self, rows: Sequence[RowLog], times: TimesLog) -> RunLog:
        head = self._head
        return RunLog(
            id=self.id,
            data=head.data,
            models=head.models,
            environment=head.environment,
            settings=head.settings,
            seeds={"seed": head.seed},
            prices=None if self._prices is None else self._prices.to_json(),
            metrics=head.metrics,
            samples=tuple(map(_sample_log, self.materials)),
            rows=tuple(
                summarised(row, head.metrics, self.names, self._prices, head.seed) for row in rows
            ),
            times=times,
        )


def settings_log(settings: Any, without: Collection[str]) -> dict[str, Any]:
    """The settings of a run as plain JSON data.

    Args:
        settings: A dataclass.
        without: Fields that no result depends on.
    """
    values = {item.name: getattr(settings, item.name) for item in fields(settings)}
    return {name: _plain(value) for name, value in values.items() if name not in without}


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return value.name
    return list(value) if isinstance(value, tuple) else value


def _sample_log(material: Material) -> SampleLog:
    spans = tuple(
        SpanLog(id=span.id, text=span.text, session=span.session, time=span.time)
        for span in material.spans
    )
    return SampleLog(id=material.sample.id, spans=spans)
