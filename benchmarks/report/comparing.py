"""Which rows can be compared, how they differ, and in what their runs do."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from langgraph_memskill.benchmarks.intervals import Interval, difference_interval
from langgraph_memskill.benchmarks.report.content import Report, ReportRow, overall
from langgraph_memskill.benchmarks.run_log import ItemLog, RunLog

_JUDGE = "judge"
"""The metric that depends on who judges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One row less another one, over the questions that both have a score for."""

    row: str
    other: str
    interval: Interval | None
    """None if they share no scored question."""
    num_pairs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """Something that is not the same in all runs of a page."""

    what: str
    values: tuple[tuple[str, tuple[str, ...]], ...]
    """Each value with the names of the runs that have it."""
    is_bar: bool
    """Whether rows of runs that differ in it are not compared."""


def differences(report: Report, metric: str) -> list[Difference]:
    """Each row less each later one that can be compared with it.

    Rows are compared question by question if their runs have the same task, data, split, reader
    and number of memories a question, and for the judge's score the same judge.

    Args:
        report: The runs.
        metric: What is compared.
    """
    keys = [_key(report, row, metric) for row in report.rows]
    scores = [_scores(row.log.items, metric) for row in report.rows]
    found = []
    for first, row in enumerate(report.rows):
        for second in range(first + 1, len(report.rows)):
            if keys[first] != keys[second]:
                continue
            shared = [name for name in scores[first] if name in scores[second]]
            ours = [scores[first][name] for name in shared]
            theirs = [scores[second][name] for name in shared]
            pairs = zip(ours, theirs, strict=True)
            found.append(
                Difference(
                    row=row.label,
                    other=report.rows[second].label,
                    interval=difference_interval(ours, theirs),
                    num_pairs=sum(a is not None and b is not None for a, b in pairs),
                )
            )
    return found


def best_cells(report: Report) -> frozenset[tuple[str, str]]:
    """The labels and metrics of the rows with the highest overall mean.

    Only rows that can be compared and that were asked the same questions compete; where all of
    them are equal there is no best one.
    """
    groups: dict[tuple[str, tuple[str, ...], frozenset[str]], list[tuple[float, str]]] = {}
    for row in report.rows:
        part = overall(row.log)
        asked = frozenset(item.id for item in row.log.items)
        for metric, summary in (part.metrics if part else {}).items():
            if summary.mean is not None:
                key = (metric, _key(report, row, metric), asked)
                groups.setdefault(key, []).append((summary.mean, row.label))
    found: set[tuple[str, str]] = set()
    for (metric, *_), entries in groups.items():
        highest = max(entries)[0]
        if min(entries)[0] < highest:
            found |= {(label, metric) for mean, label in entries if mean == highest}
    return frozenset(found)


def deviations(report: Report) -> list[Deviation]:
    """What is not the same in all runs, the bars to a comparison first."""
    names = [run.name for run in report.runs]
    if len(set(names)) < len(names):
        names = [f"{name} ({number})" for number, name in enumerate(names, 1)]
    facts = [{**_bars(run.log), _JUDGE: _model(run.log, _JUDGE)} for run in report.runs]
    others = [_others(run.log) for run in report.runs]
    return [
        *_deviations(names, facts, is_bar=True),
        *_deviations(names, others, is_bar=False),
    ]


def _deviations(
    names: Sequence[str], facts: Sequence[dict[str, str]], *, is_bar: bool
) -> list[Deviation]:
    found = []
    for what in facts[0]:
        runs_by_value: dict[str, list[str]] = {}
        for name, own in zip(names, facts, strict=True):
            runs_by_value.setdefault(own[what], []).append(name)
        if len(runs_by_value) > 1:
            values = tuple((value, tuple(runs)) for value, runs in runs_by_value.items())
            found.append(Deviation(what=what, values=values, is_bar=is_bar))
    return found


def _key(report: Report, row: ReportRow, metric: str) -> tuple[str, ...]:
    """Rows with equal keys can be compared by this metric."""
    log = report.runs[row.run].log
    judge = (_model(log, _JUDGE),) if metric == _JUDGE else ()
    return (*_bars(log).values(), *judge)


def _bars(log: RunLog) -> dict[str, str]:
    """What must be the same in two runs whose rows are compared, in words."""
    settings = log.settings
    facts = {
        "task": log.data.task,
        "data": f"{log.data.file}, SHA-256 {log.data.sha256[:12]}",
        "split": log.data.split,
        "reader": _model(log, "reader"),
        "memories a question": str(settings.get("top_k", "unknown")),
    }
    # Of games.
    return {**facts, "agent": _setting(log, "agent"), "steps at most": _setting(log, "max_steps")}


def _others(log: RunLog) -> dict[str, str]:
    """What rows may differ in, and readers of a page should know."""
    asked = {item.id for row in log.rows for item in row.items}
    return {
        "questions": str(len(asked)),
        "executor": _model(log, "executor"),
        "encoder": _model(log, "encoder"),
        "spans": log.data.span_mode,
        "skills a span": _setting(log, "skills_per_span"),
        "product's defaults": _setting(log, "product"),
        "seed": ", ".join(map(str, log.seeds.values())),
        "version": log.environment.packages.get("langgraph-memskill", "unknown"),
        "git revision": str(log.environment.git_revision or "unknown")[:12],
    }


def _setting(log: RunLog, name: str) -> str:
    return str(log.settings.get(name, "none"))


def _model(log: RunLog, role: str) -> str:
    """Name of the model in a role, and how it was named; "none" without one."""
    for model in log.models:
        if model.role == role:
            facts = [model.spec] if model.spec not in ("", model.name) else []
            facts += [] if model.sha256 is None else [f"SHA-256 {model.sha256[:12]}"]
            return f"{model.name} ({', '.join(facts)})" if facts else model.name
    return "none"


def _scores(items: Iterable[ItemLog], metric: str) -> dict[str, float | None]:
    return {item.id: item.scores[metric].value if metric in item.scores else None for item in items}
