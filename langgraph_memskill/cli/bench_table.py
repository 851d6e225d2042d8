"""The tables of `memskill bench`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from langgraph_memskill.cli.screen import printable

if TYPE_CHECKING:
    from langgraph_memskill.benchmarks.run_log import CategoryLog, MetricLog, RowLog, RunLog
    from langgraph_memskill.benchmarks.running.estimate import Estimate


_SHOWN = ("judge", "evidence_recall@20")
"""Metrics in the table, besides the main one; the width of a terminal ends there."""


def table(log: "RunLog") -> Table:
    """All rows over all questions: the main metrics, and beside them what they took.

    Everything else is in the log, and in the report.
    """
    metrics = [log.metrics[0], *(name for name in log.metrics[1:] if name in _SHOWN)]
    shown = Table(box=None, pad_edge=False)
    shown.add_column("system", no_wrap=True)
    for metric in metrics:
        shown.add_column(metric.replace("@", " @"), justify="right", no_wrap=metric == metrics[0])
    for name in ("failed", "calls to build", "tokens to build", "tokens a question"):
        shown.add_column(name, justify="right")
    priced = log.prices is not None
    if priced:
        shown.add_column("cost", justify="right")
    for row in log.rows:
        overall = _overall(row)
        cells = [_mean(overall.metrics[m], with_interval=m == metrics[0]) for m in metrics]
        cost = [_price(row.total.price)] if priced else []
        shown.add_row(
            printable(row.title),
            *cells,
            str(overall.failed),
            f"{row.building.usage.calls:,}",
            f"{row.building.usage.tokens:,}",
            f"{row.tokens_per_item:,.0f}",
            *cost,
        )
    return shown


def estimates(rows: "Sequence[Estimate]") -> Table:
    """What a run would call."""
    shown = Table(box=None, pad_edge=False)
    shown.add_column("system")
    names = ("spans to read", "spans known", "questions", "judgements", "calls", "about tokens")
    for name in names:
        shown.add_column(name, justify="right")
    for row in rows:
        calls = row.spans + row.questions + row.judgements
        numbers = (row.spans, row.cached_spans, row.questions, row.judgements, calls, row.tokens)
        shown.add_row(row.row, *(f"{number:,}" for number in numbers))
    return shown


def summary(log: "RunLog") -> dict[str, Any]:
    """The log without samples, items and memories, for machines."""
    document = log.model_dump(mode="json", exclude={"samples": True, "rows": True})
    rows = [
        row.model_dump(mode="json", exclude={"builds": True, "items": True}) for row in log.rows
    ]
    return {**document, "rows": rows}


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
