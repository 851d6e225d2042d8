"""The tables of `memskill bench`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from langgraph_memskill.cli.screen import printable

if TYPE_CHECKING:
    from langgraph_memskill.benchmarks.run_log import CategoryLog, MetricLog, RowLog, RunLog
    from langgraph_memskill.benchmarks.running.estimate import Estimate


def table(log: "RunLog") -> Table:
    """All rows over all questions: the main metrics, and beside them what they took.

    Everything else is in the log, and in the report.
    """
    metrics = _shown(log.metrics)
    shown = Table(box=None, pad_edge=False)
    shown.add_column("system", no_wrap=True)
    for metric in metrics:
        shown.add_column(metric.replace("@", " @"), justify="right", no_wrap=metric == metrics[0])
    names = ["failed", "calls to build", "tokens to build", "calls to answer", "tokens a question"]
    judged = any(row.scoring.usage.calls for row in log.rows)
    for name in [*names, *["judge's calls", "judge's tokens"] * judged]:
        shown.add_column(name, justify="right")
    priced = log.prices is not None
    if priced:
        shown.add_column("cost", justify="right")
    for row in log.rows:
        overall = _overall(row)
        cells = [_mean(overall.metrics[m], with_interval=m == metrics[0]) for m in metrics]
        scoring = row.scoring.usage
        judging = [f"{scoring.calls:,}", f"{scoring.tokens:,}"] if judged else []
        cost = [_price(row.total.price)] if priced else []
        shown.add_row(
            printable(row.title),
            *cells,
            str(overall.failed),
            f"{row.building.usage.calls:,}",
            f"{row.building.usage.tokens:,}",
            f"{row.answering.usage.calls:,}",
            f"{row.tokens_per_item:,.0f}",
            *judging,
            *cost,
        )
    return shown


def estimates(rows: "Sequence[Estimate]") -> Table:
    """What a run would call."""
    shown = Table(box=None, pad_edge=False)
    shown.add_column("system")
    names = ("spans to read", "spans known", "questions to ask", "questions answered")
    for name in (*names, "judgements", "calls", "about tokens"):
        shown.add_column(name, justify="right")
    for row in rows:
        calls = row.spans + row.questions + row.judgements
        done = (row.spans, row.cached_spans, row.questions, row.answered)
        numbers = (*done, row.judgements, calls, row.tokens)
        shown.add_row(row.row, *(f"{number:,}" for number in numbers))
    return shown


def summary(log: "RunLog") -> dict[str, Any]:
    """The log without samples, items and memories, for machines."""
    document = log.model_dump(mode="json", exclude={"samples": True, "rows": True})
    rows = [
        row.model_dump(mode="json", exclude={"builds": True, "items": True}) for row in log.rows
    ]
    return {**document, "rows": rows}


def _shown(metrics: Sequence[str]) -> list[str]:
    """The main metric, the deepest recall and the judge: a terminal's width ends there."""
    others = metrics[1:]
    recall = next((name for name in others if name.startswith("evidence_recall@")), None)
    return [metrics[0], *(name for name in others if name in ("judge", recall))]


def _overall(row: "RowLog") -> "CategoryLog":
    return row.categories[-1]


def _mean(metric: "MetricLog", *, with_interval: bool) -> str:
    if metric.mean is None:
        return "-"
    unscored = f" ({metric.unscored} unscored)" if metric.unscored else ""
    if not with_interval:
        return f"{metric.mean:.3f}{unscored}"
    return f"{metric.mean:.3f} [{metric.low:.3f}, {metric.high:.3f}]{unscored}"


def _price(price: float | None) -> str:
    return "-" if price is None else f"{price:.2f}"
