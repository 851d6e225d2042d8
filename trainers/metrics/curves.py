"""One HTML page with the curves of a run; it needs no network and loads nothing.

The page holds the numbers and the Vega libraries (about 1 MB). The extra `curves` brings what
writes it: Altair for the charts, vl-convert for the libraries.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langgraph_memskill.errors import TrainingError
from langgraph_memskill.trainers.metrics.family import family_section, run_versions
from langgraph_memskill.trainers.metrics.names import (
    SKILL_USAGE_PREFIX,
    Metric,
    meaning_of,
)
from langgraph_memskill.trainers.metrics.reading import MetricHistory, read_metrics
from langgraph_memskill.vega import (
    CONTENT_POLICY,
    load_altair,
    script_json,
    vega_script,
    write_page,
)

if TYPE_CHECKING:
    import altair

MAX_SKILLS = 12
"""Curves of skill usage; of a larger bank the most used skills are drawn."""

_PURPOSE = "The page of curves"
_WIDTH, _HEIGHT = 420, 190
_MAX_POINTS = 1000
_FAINT = 0.25
_MANY_STEPS = 60
"""From here on points hide until the mouse is on them, and jumping numbers get a running mean."""
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>
body {{ font: 14px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1080px; color: #222 }}
h1 {{ font-size: 1.35rem; margin: 0 }}
h2 {{ font-size: 1.1rem; margin: 1.8rem 0 0 }}
p {{ color: #666; margin: .2rem 0 1.2rem }}
table {{ border-collapse: collapse; margin-top: 1.5rem; width: 100% }}
th, td {{ text-align: left; padding: .25rem .7rem .25rem 0; border-bottom: 1px solid #e5e5e5 }}
td.number, th.number {{ text-align: right; font-variant-numeric: tabular-nums }}
td.meaning {{ color: #666 }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{subtitle}</p>
<div id="curves"></div>
{family}
<table>
<tr><th>metric</th><th class="number">first</th><th class="number">last</th>\
<th class="number">lowest</th><th class="number">highest</th><th>meaning</th></tr>
{rows}
</table>
<script>{libraries}</script>
<script>vegaEmbed("#curves", {spec}, {{actions: false, renderer: "svg"}});</script>
</body>
</html>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One chart: which metrics it draws."""

    title: str
    names: tuple[str, ...] = ()
    prefix: str | None = None
    """Draws all metrics that begin so, instead of `names`."""
    is_smoothed: bool = False
    """Whether to add a running mean, for numbers that jump from batch to batch."""
    from_zero: bool = False
    """Whether the axis begins at 0."""


PANELS = (
    Panel(title="Reward", names=(Metric.REWARD, Metric.FINAL_REWARD), is_smoothed=True),
    Panel(title="Raw score", names=(Metric.SCORE, Metric.VALIDATION_SCORE), is_smoothed=True),
    Panel(title="Entropy of a draw (nats)", names=(Metric.ENTROPY, Metric.CHOICE_ENTROPY)),
    Panel(title="KL of an update", names=(Metric.KL, Metric.APPROX_KL), is_smoothed=True),
    Panel(title="Clip fraction", names=(Metric.CLIP_FRACTION,), is_smoothed=True, from_zero=True),
    Panel(
        title="Explained variance of the critic",
        names=(Metric.EXPLAINED_VARIANCE,),
        is_smoothed=True,
    ),
    Panel(
        title="Skill usage (share of steps)",
        prefix=SKILL_USAGE_PREFIX,
        is_smoothed=True,
        from_zero=True,
    ),
    Panel(
        title="Failures",
        names=(
            Metric.FAILED_CALLS,
            Metric.FAILED_REPLIES,
            Metric.FAILED_QUERIES,
            Metric.UNSCORED_QUERIES,
            Metric.FAILED_EPISODES,
        ),
        from_zero=True,
    ),
    Panel(title="Losses", names=(Metric.LOSS, Metric.VALUE_LOSS)),
    Panel(title="Seconds an inner epoch", names=(Metric.SECONDS,), from_zero=True),
)


def write_curves(metrics: str | Path, page: str | Path, *, title: str | None = None) -> None:
    """Draw a run's metrics as one self-contained HTML page.

    Args:
        metrics: A metrics.jsonl; the run may still go on.
        page: The file to write; it is replaced as a whole.
        title: Heading; None takes the name of the run's folder.

    Raises:
        DataError: If there are no metrics to draw.
        SkillError: If the versions of the run's skills are damaged.
        MissingDependencyError: If Altair or vl-convert is not installed.
        TrainingError: If the page cannot be written.
    """
    history = read_metrics(metrics)
    heading = title or Path(metrics).absolute().parent.name
    family = family_section(run_versions(Path(metrics).parent), history)
    text = curves_page(history, title=heading, family=family)
    try:
        write_page(text, Path(page))
    except OSError as error:
        raise TrainingError(f"{page} cannot be written: {error.strerror or error}") from error


def curves_page(history: MetricHistory, *, title: str, family: str = "") -> str:
    """The page's text.

    Args:
        history: What to draw.
        title: Heading.
        family: HTML about the versions of the skills.

    Raises:
        MissingDependencyError: If Altair or vl-convert is not installed.
    """
    spec = script_json(_concatenated(history).to_dict())
    num_steps = len(history.steps)
    subtitle = f"{num_steps} inner epochs, {history.steps[0]} to {history.steps[-1]}"
    if history.num_broken:
        subtitle += f"; {history.num_broken} lines of the file could not be read"
    return _PAGE.format(
        title=html.escape(title),
        subtitle=html.escape(subtitle),
        family=family,
        rows="\n".join(_row(name, points) for name, points in sorted(history.series.items())),
        policy=CONTENT_POLICY,
        libraries=vega_script("curves", _PURPOSE),
        spec=spec,
    )


def _concatenated(history: MetricHistory) -> "altair.ConcatChart":
    alt = _altair()
    panels = [*PANELS, *_others(history)]
    found = [_chart(panel, history, f"picked_{i}") for i, panel in enumerate(panels)]
    charts = [chart for chart in found if chart is not None]
    page: altair.ConcatChart = (
        alt.concat(*charts, columns=2, spacing=30)
        .resolve_scale(color="independent")
        .configure_axis(grid=True, gridColor="#eeeeee", domainColor="#bbbbbb")
        .configure_view(stroke=None)
        .configure_title(anchor="start", fontSize=13)
    )
    return page


def _others(history: MetricHistory) -> list[Panel]:
    """A panel for every metric that is not one of ours."""
    return [Panel(title=name, names=(name,)) for name in history.series if not meaning_of(name)]


def _chart(panel: Panel, history: MetricHistory, name: str) -> "altair.LayerChart | None":
    alt = _altair()
    names = _drawn(panel, history)
    if not names:
        return None
    prefix = panel.prefix or ""
    rows = [
        {"step": step, "metric": name.removeprefix(prefix), "value": value, "mean": mean}
        for name in names
        for step, value, mean in _thinned(_with_means(history.series[name]))
    ]
    labels = [name.removeprefix(prefix) for name in names]
    picked = alt.selection_point(name=name, fields=["metric"], bind="legend")
    is_long = len(history.steps) > _MANY_STEPS
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("step:Q", title="inner epoch", axis=alt.Axis(tickMinStep=1, format="d")),
        y=alt.Y("value:Q", title=None, scale=alt.Scale(zero=panel.from_zero, nice=True)),
        color=_colours(labels),
    )
    tooltip = [alt.Tooltip("metric:N"), alt.Tooltip("step:Q"), alt.Tooltip("value:Q", format=".4f")]
    points = base.mark_circle(size=36, opacity=0 if is_long else 1).encode(tooltip=tooltip)
    strong = alt.condition(picked, alt.value(1.0), alt.value(0.08))
    layers = [base.mark_line(strokeWidth=1.8).encode(opacity=strong), points]
    if panel.is_smoothed and is_long:
        mean = base.mark_line(strokeWidth=2)
        faint = alt.condition(picked, alt.value(_FAINT), alt.value(0.0))
        layers[0] = base.mark_line(strokeWidth=1).encode(opacity=faint)
        layers.insert(1, mean.encode(y=alt.Y("mean:Q", title=None), opacity=strong))
    layered: altair.LayerChart = alt.layer(*layers).add_params(picked)
    return layered.properties(title=panel.title, width=_WIDTH, height=_HEIGHT)


def _colours(labels: list[str]) -> "altair.Color":
    alt = _altair()
    colours: altair.Color = alt.Color(
        "metric:N",
        sort=labels,
        scale=alt.Scale(scheme="tableau20" if len(labels) > 10 else "tableau10"),
        legend=alt.Legend(
            title=None,
            orient="bottom",
            columns=3,
            labelLimit=150,
            symbolType="stroke",
            symbolStrokeWidth=3,
            symbolOpacity=1,
        ),
    )
    return colours


def _drawn(panel: Panel, history: MetricHistory) -> list[str]:
    if panel.prefix is None:
        return [str(name) for name in panel.names if name in history.series]
    found = [name for name in history.series if name.startswith(panel.prefix)]

    def usage(name: str) -> float:
        return sum(value for _, value in history.series[name])

    return sorted(sorted(found, key=usage, reverse=True)[:MAX_SKILLS])


def _with_means(points: Sequence[tuple[int, float]]) -> list[tuple[int, float, float]]:
    """Each point with the mean over a tenth of the curve around it; of a short curve, itself."""
    values = [value for _, value in points]
    if len(points) <= _MANY_STEPS:
        return [(step, value, value) for step, value in points]
    reach = len(points) // 20
    sums = [0.0, *accumulate(values)]
    found = []
    for position, (step, value) in enumerate(points):
        start, end = max(0, position - reach), min(len(points), position + reach + 1)
        found.append((step, value, (sums[end] - sums[start]) / (end - start)))
    return found


def _thinned(points: list[tuple[int, float, float]]) -> list[tuple[int, float, float]]:
    """At most a thousand points, the last one among them."""
    every = -(-len(points) // _MAX_POINTS)
    return points if every <= 1 else [*points[:-1:every], points[-1]]


def _row(name: str, points: Sequence[tuple[int, float]]) -> str:
    values = [value for _, value in points]
    numbers = "".join(
        f'<td class="number">{value:.4g}</td>'
        for value in (values[0], values[-1], min(values), max(values))
    )
    meaning = html.escape(meaning_of(name))
    return f'<tr><td>{html.escape(name)}</td>{numbers}<td class="meaning">{meaning}</td></tr>'


def _altair() -> Any:
    return load_altair("curves", _PURPOSE)
