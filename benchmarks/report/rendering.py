"""Makes the page: one HTML file that needs no network and loads nothing."""

import base64
import gzip
import json
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from langgraph_memskill.benchmarks.report.charts import EXTRA, PURPOSE, category_table, charts
from langgraph_memskill.benchmarks.report.comparing import (
    Difference,
    best_cells,
    deviations,
    differences,
)
from langgraph_memskill.benchmarks.report.content import (
    Report,
    built,
    explorer_data,
    overall,
    read_report,
)
from langgraph_memskill.benchmarks.run_log import CategoryLog
from langgraph_memskill.errors import DataError
from langgraph_memskill.vega import CONTENT_POLICY, script_json, vega_script, write_page

PAGE_FILE = "report.html"
"""Usual name of the page in the folder of a run."""

_PACKAGE = "langgraph_memskill.benchmarks.report"
_NONE = "–"


def write_report(runs: Sequence[Path], page: Path, *, title: str | None = None) -> Report:
    """Write the page about one or several runs.

    Args:
        runs: Run folders or their logs.
        page: The file to write; it is replaced as a whole.
        title: Heading; None makes one of the benchmarks' names.

    Returns:
        What the page is about.

    Raises:
        ConfigError: If no run is named.
        DataError: If one is no result log, or the page cannot be written.
        MissingDependencyError: If Altair or vl-convert is not installed.
    """
    report = read_report(runs)
    text = report_page(report, title=title)
    try:
        write_page(text, page)
    except OSError as error:
        raise DataError(f"{page} cannot be written: {error.strerror or error}") from error
    return report


def report_page(report: Report, *, title: str | None = None) -> str:
    """The page's text.

    Whatever comes from a log is escaped: in the tables by Jinja, in the questions by packing all
    data (gzip, base64) and by a script that makes text nodes only.

    Args:
        report: What it is about.
        title: Heading; None makes one of the benchmarks' names.

    Raises:
        MissingDependencyError: If Altair or vl-convert is not installed.
    """
    tasks = dict.fromkeys(run.log.data.task for run in report.runs)
    main_metric = report.metrics[0] if report.metrics else ""
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            title=title or f"Benchmark: {', '.join(tasks)}",
            report=report,
            main_metric=main_metric,
            differences=_differences(report),
            category_table=category_table(report),
            built=built(report),
            best=best_cells(report),
            deviations=deviations(report),
            has_judge=any(row.log.scoring.usage.calls for row in report.rows),
            has_prices=any(row.log.total.price is not None for row in report.rows),
            overall=overall,
            unscored=_unscored,
            number_cell=_number_cell,
            policy=CONTENT_POLICY,
            style=Markup(_resource("report.css")),  # our own file
            script=Markup(_resource("report.js")),  # our own file
            vega=Markup(vega_script(EXTRA, PURPOSE)),  # a library
            charts=Markup(script_json(charts(report))),  # no text in it ends the script
            data=_packed(explorer_data(report)),
            version=version("langgraph-memskill"),
        )
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader(_PACKAGE, "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _resource(name: str) -> str:
    return (files(_PACKAGE) / "page" / name).read_text(encoding="utf-8")


def _packed(data: object) -> str:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    # Halves of characters cannot be encoded; a time stamp would make equal pages differ.
    packed = gzip.compress(text.encode("utf-8", "replace"), compresslevel=6, mtime=0)
    return base64.b64encode(packed).decode("ascii")


def _differences(report: Report) -> dict[str, dict[tuple[str, str], Difference]]:
    """By metric and pair of rows; metrics and rows without any pair are left out."""
    found = {
        metric: {(d.row, d.other): d for d in differences(report, metric) if d.interval}
        for metric in report.metrics
    }
    return {metric: pairs for metric, pairs in found.items() if pairs}


def _unscored(part: CategoryLog | None) -> int:
    """The most items of any metric whose score is missing though it should be there."""
    return max((m.unscored for m in part.metrics.values()), default=0) if part else 0


def _number_cell(part: CategoryLog | None, metric: str, *, is_best: bool = False) -> Markup:
    """A table cell with a mean and its interval; the exact mean is in an attribute."""
    summary = part.metrics.get(metric) if part else None
    if summary is None or summary.mean is None:
        return Markup('<td class="number" data-metric="{}">{}</td>').format(metric, _NONE)
    interval = (
        Markup(" <small>[{:.3f}, {:.3f}]</small>").format(summary.low, summary.high)
        if summary.low is not None and summary.high is not None
        else ""
    )
    kind = "number best" if is_best else "number"
    hint = f"{summary.scored} scored, {summary.unscored} unscored"
    return Markup(
        '<td class="{}" data-metric="{}" data-value="{}" title="{}">{:.3f}{}</td>'
    ).format(kind, metric, summary.mean, hint, summary.mean, interval)
