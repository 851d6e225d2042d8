"""What the page shows, computed from result logs: rows, differences between them, the questions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langgraph_memskill.benchmarks.run_log import (
    OVERALL,
    BuildLog,
    CategoryLog,
    ItemLog,
    RowLog,
    RunLog,
    read_run_log,
)
from langgraph_memskill.errors import ConfigError

MAX_CHARACTERS = 12_000_000
"""Of all source spans on a page, and of all memories; longer ones are cut to fit."""

_SEARCH_NOTHING = frozenset({"none", "full"})
"""Rows that recall nothing, or everything, by design."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRow:
    """One row of one run."""

    label: str
    """Unique on the page."""
    run: int
    """Position of its run."""
    log: RowLog


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRun:
    """One run."""

    name: str
    """Of its folder."""
    log: RunLog


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a page is about."""

    runs: tuple[ReportRun, ...]
    rows: tuple[ReportRow, ...]
    metrics: tuple[str, ...]
    """All metrics of all runs, the main one first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What a row has built for all samples together."""

    row: str
    num_memories: int
    actions: dict[str, int]
    """Applied actions by type."""
    failed_spans: int
    failed_samples: int
    """Samples for which nothing could be built."""


def read_report(paths: Sequence[Path]) -> Report:
    """Read the runs that a page is about.

    Args:
        paths: Run folders or their logs, at least one.

    Raises:
        ConfigError: If there is none.
        DataError: If one is no result log.
    """
    if not paths:
        raise ConfigError("name at least one run: its folder, or its run.json")
    return make_report([(_name(path), read_run_log(path)) for path in paths])


def make_report(logs: Sequence[tuple[str, RunLog]]) -> Report:
    """Put runs side by side.

    Args:
        logs: Each run's name and log; the names of rows that come twice get the run's name added.
    """
    runs = tuple(ReportRun(name=name, log=log) for name, log in logs)
    titles = [row.title for run in runs for row in run.log.rows]
    rows: list[ReportRow] = []
    for number, run in enumerate(runs):
        for row in run.log.rows:
            label = row.title if titles.count(row.title) == 1 else f"{row.title} · {run.name}"
            taken = {other.label for other in rows}
            label = label if label not in taken else f"{label} ({number + 1})"
            rows.append(ReportRow(label=label, run=number, log=row))
    metrics = dict.fromkeys(metric for run in runs for metric in run.log.metrics)
    return Report(runs=runs, rows=tuple(rows), metrics=tuple(metrics))


def overall(row: RowLog) -> CategoryLog | None:
    """The summary of all items of a row."""
    return next((part for part in row.categories if part.category == OVERALL), None)


def categories(report: Report) -> list[str]:
    """All categories, alphabetical, without `OVERALL`."""
    names = {part.category for row in report.rows for part in row.log.categories}
    return sorted(names - {OVERALL})


def built(report: Report) -> list[Built]:
    """What each row has built, for the rows that have written memories."""
    found = []
    for row in report.rows:
        builds = distinct_builds(row.log)
        actions: dict[str, int] = {}
        for build in builds:
            for kind, number in build.actions.items():
                actions[kind] = actions.get(kind, 0) + number
        failed = sum(build.failed_spans for build in builds)
        broken = sum(build.error is not None for build in row.log.builds)
        if actions or failed or broken:
            found.append(
                Built(
                    row=row.label,
                    num_memories=sum(build.num_memories for build in builds),
                    actions=actions,
                    failed_spans=failed,
                    failed_samples=broken,
                )
            )
    return found


def distinct_builds(row: RowLog) -> list[BuildLog]:
    """The builds of a row, each once: samples with the same history share one."""
    return list({build.key: build for build in row.builds}.values())


def explorer_data(report: Report, *, max_characters: int = MAX_CHARACTERS) -> dict[str, Any]:
    """The questions with everything that the page shows of them, as JSON data for its script.

    Texts that many items share stand once, in the lists `spans` and `memories`, and are named by
    their positions there.

    Args:
        report: The runs.
        max_characters: Of all spans, and of all memories; longer texts are cut to fit.
    """
    pools = _Pools(report)
    items: dict[tuple[str, str, str], dict[str, Any]] = {}
    for position, row in enumerate(report.rows):
        builds = {build.sample: build for build in row.log.builds}
        for item in row.log.items:
            key = (*_data_key(report, row), item.id)
            entry = items.setdefault(key, _question(item))
            entry["rows"].append(
                pools.played(position, row, item, builds.get(item.sample), report.metrics)
            )
    span_limit = limit_of(map(len, pools.span_texts), max_characters)
    memory_limit = limit_of(map(len, pools.memory_texts), max_characters)
    return {
        "metrics": list(report.metrics),
        "rows": [row.label for row in report.rows],
        "searches": [row.log.name not in _SEARCH_NOTHING for row in report.rows],
        "skills": list(pools.skills),
        "spans": [[_cut(text, span_limit), *rest] for text, *rest in pools.spans],
        "memories": [[text and _cut(text, memory_limit), *rest] for text, *rest in pools.memories],
        "items": list(items.values()),
    }


def limit_of(lengths: Iterable[int], total: int) -> int | None:
    """The length to which texts must be cut so that together they have `total` characters at most.

    Args:
        lengths: Of the texts.
        total: What they may have together.

    Returns:
        The limit, or None if nothing needs to be cut.
    """
    ordered = sorted(lengths)
    left = total
    for position, length in enumerate(ordered):
        share = left // (len(ordered) - position)
        if length > share:
            return share
        left -= length
    return None


def _name(path: Path) -> str:
    folder = path if path.is_dir() else path.parent
    return folder.absolute().name


def _data_key(report: Report, row: ReportRow) -> tuple[str, str]:
    data = report.runs[row.run].log.data
    return data.task, data.sha256


def _question(item: ItemLog) -> dict[str, Any]:
    return {
        "id": item.id,
        "sample": item.sample,
        "category": item.category,
        "text": item.text,
        "gold": list(item.gold),
        "evidence": list(item.evidence),
        "date": item.date,
        "rows": [],
    }


def _cut(text: str, limit: int | None) -> str:
    if limit is None or len(text) <= limit:
        return text
    return f"{text[:limit]}… [{len(text) - limit} more characters are in the log]"


class _Pools:
    """Spans, memories and skills of all runs, each once."""

    def __init__(self, report: Report) -> None:
        self._spans: dict[tuple[str | None, ...], int] = {}
        self._memories: dict[tuple[Any, ...], int] = {}
        self._skills: dict[str, int] = {}
        self._logged = [
            {(sample.id, span.id): span for sample in run.log.samples for span in sample.spans}
            for run in report.runs
        ]
        self._known: dict[tuple[int, str, str], int] = {}

    @property
    def spans(self) -> list[list[Any]]:
        """Text, session and time of each."""
        return [list(span) for span in self._spans]

    @property
    def memories(self) -> list[list[Any]]:
        """Content, positions of skills, positions of spans and evidence ids of each.

        Without content it is its span, word for word.
        """
        return [[text, *map(list, rest)] for text, *rest in self._memories]

    @property
    def skills(self) -> list[str]:
        """Their names."""
        return list(self._skills)

    @property
    def span_texts(self) -> list[str]:
        """All of them."""
        return [span[0] or "" for span in self._spans]

    @property
    def memory_texts(self) -> list[str]:
        """All of them."""
        return [memory[0] or "" for memory in self._memories]

    def played(
        self,
        position: int,
        row: ReportRow,
        item: ItemLog,
        build: BuildLog | None,
        metrics: Sequence[str],
    ) -> dict[str, Any]:
        """What a row made of an item."""
        self._take(position, row, item.sample, build)
        recalled = [
            [self._known[position, item.sample, entry.memory_id], entry.score]
            for entry in item.recalled
            if (position, item.sample, entry.memory_id) in self._known
        ]
        scores = [item.scores.get(metric) for metric in metrics]
        played: dict[str, Any] = {
            "row": position,
            "answer": item.answer,
            "scores": [None if score is None else score.value for score in scores],
            "problems": {
                metric: score.problem for metric, score in item.scores.items() if score.problem
            },
            "recalled": recalled,
            "tokens": item.usage.tokens,
            "seconds": item.seconds,
        }
        if item.error is not None or (build is not None and build.error is not None):
            played["error"] = item.error or f"no memories: {build.error if build else ''}"
        if item.steps:
            played["steps"] = [
                [step.observation, step.action, step.thought, step.reward, step.match]
                for step in item.steps
            ]
        return played

    def _take(self, position: int, row: ReportRow, sample: str, build: BuildLog | None) -> None:
        """Put the memories of a build into the pool, once."""
        if build is None or (position, sample, "") in self._known:
            return
        self._known[position, sample, ""] = -1
        for memory in build.memories:
            key = (
                memory.content,
                tuple(self._skills.setdefault(name, len(self._skills)) for name in memory.skills),
                tuple(
                    place
                    for span_id in memory.span_ids
                    if (place := self._span(row.run, sample, span_id)) is not None
                ),
                memory.evidence_ids,
            )
            place = self._memories.setdefault(key, len(self._memories))
            self._known[position, sample, memory.id] = place

    def _span(self, run: int, sample: str, span_id: str) -> int | None:
        span = self._logged[run].get((sample, span_id))
        if span is None:
            return None
        return self._spans.setdefault((span.text, span.session, span.time), len(self._spans))
