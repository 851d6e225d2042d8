"""The charts of the page, as Vega-Lite that Altair writes."""

from typing import Any

from langgraph_memskill.benchmarks.report.content import (
    Report,
    categories,
    distinct_builds,
    overall,
)
from langgraph_memskill.benchmarks.run_log import OVERALL, CategoryLog, MetricLog
from langgraph_memskill.vega import load_altair

EXTRA, PURPOSE = "bench", "The report"

MAX_PLACES = 20
"""Samples among which one can choose in the chart of skills; with more there is only all."""

_WIDTH = 560
_EVERYWHERE = "all samples"


def charts(report: Report) -> dict[str, dict[str, Any]]:
    """The charts of a report by the id of the element that they go into.

    Args:
        report: The runs. A chart that there is nothing for is left out.

    Raises:
        MissingDependencyError: If Altair is not installed.
    """
    found = {
        "category-chart": _quality(report),
        "cost-chart": _cost(report),
        "skill-chart": _skills(report),
    }
    return {name: chart for name, chart in found.items() if chart is not None}


def _metric_choice(alt: Any, report: Report, name: str) -> Any:
    return alt.param(
        name=name,
        value=report.metrics[0],
        bind=alt.binding_select(options=list(report.metrics), name="metric "),
    )


def _quality(report: Report) -> dict[str, Any] | None:
    """Each metric by category, with its interval."""
    rows = [
        {"row": row.label, "category": part.category, "metric": metric, **_numbers(summary)}
        for row in report.rows
        for part in row.log.categories
        for metric, summary in part.metrics.items()
        if summary.mean is not None
    ]
    if not rows:
        return None
    alt = load_altair(EXTRA, PURPOSE)
    choice = _metric_choice(alt, report, "quality_metric")
    labels = [row.label for row in report.rows]
    base = alt.Chart().encode(
        y=alt.Y("row:N", sort=labels, title=None, axis=alt.Axis(labelLimit=260)),
        color=_colours(alt, labels),
        tooltip=_tooltip(alt),
    )
    limits = alt.Scale(zero=True, nice=True)
    rule = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", title="mean with its 95% interval", scale=limits), x2="high:Q"
    )
    points = base.mark_point(filled=True, size=70, opacity=1).encode(x="mean:Q")
    layered = alt.layer(rule, points).properties(width=_WIDTH, height=alt.Step(18))
    faceted = layered.facet(
        row=alt.Row(
            "category:N",
            sort=[OVERALL, *categories(report)],
            title=None,
            header=alt.Header(labelAngle=0, labelAlign="left", labelLimit=150),
        ),
        data=alt.Data(values=rows),
    )
    # Filtered above the facets, so that no category without the metric leaves an empty one.
    chosen = faceted.transform_filter("datum.metric === quality_metric").add_params(choice)
    spec: dict[str, Any] = chosen.to_dict()
    return spec


def _cost(report: Report) -> dict[str, Any] | None:
    """Each metric of all items against the tokens that it cost."""
    rows = []
    for row in report.rows:
        part = overall(row.log)
        for metric, summary in (part.metrics if part else {}).items():
            if part is None or summary.mean is None:
                continue
            building = row.log.building.usage.tokens / max(part.items, 1)
            answering = row.log.tokens_per_item
            rows.append(
                {
                    "row": row.label,
                    "category": OVERALL,
                    "metric": metric,
                    **_numbers(summary),
                    "answering": answering,
                    "all": answering + building,
                }
            )
    if not rows:
        return None
    alt = load_altair(EXTRA, PURPOSE)
    choice = _metric_choice(alt, report, "cost_metric")
    which = alt.param(
        name="cost_tokens",
        value="answering",
        bind=alt.binding_radio(
            options=["answering", "all"],
            labels=["of answering", "and of building, shared by the questions"],
            name="tokens ",
        ),
    )
    is_wide = min(row["answering"] for row in rows) > 0
    labels = [row.label for row in report.rows]
    base = (
        alt.Chart(alt.Data(values=rows))
        .transform_filter("datum.metric === cost_metric")
        .transform_calculate(tokens="datum[cost_tokens]")
        .encode(
            x=alt.X(
                "tokens:Q",
                title="tokens a question" + (" (logarithmic)" if is_wide else ""),
                scale=alt.Scale(type="log" if is_wide else "linear", nice=True, padding=30),
            ),
            color=_colours(alt, labels, alt.Legend(title=None, labelLimit=260, symbolOpacity=1)),
            tooltip=[*_tooltip(alt), alt.Tooltip("tokens:Q", format=",.0f")],
        )
    )
    limits = alt.Scale(zero=False, nice=True, padding=14)
    rule = base.mark_rule(strokeWidth=2).encode(
        y=alt.Y("low:Q", title="mean with its 95% interval", scale=limits), y2="high:Q"
    )
    points = base.mark_point(filled=True, size=90, opacity=1).encode(y="mean:Q")
    layered = alt.layer(rule, points).properties(width=_WIDTH, height=300)
    spec: dict[str, Any] = layered.add_params(choice, which).to_dict()
    return spec


def _skills(report: Report) -> dict[str, Any] | None:
    """How often each skill was chosen, by row and sample."""
    rows = _skill_rows(report)
    if not rows:
        return None
    alt = load_altair(EXTRA, PURPOSE)
    places = list(dict.fromkeys(row["place"] for row in rows))
    place = alt.param(
        name="place",
        value=_EVERYWHERE,
        bind=alt.binding_select(options=places, name="in "),
    )
    labels = [row.label for row in report.rows]
    highest = max(row["share"] for row in rows)
    base = (
        alt.Chart(alt.Data(values=rows))
        .transform_filter("datum.place === place")
        .encode(
            x=alt.X("row:N", sort=labels, title=None, axis=alt.Axis(labelAngle=-30)),
            y=alt.Y("skill:N", title=None, axis=alt.Axis(labelLimit=260)),
        )
    )
    cells = base.mark_rect().encode(
        color=alt.Color(
            "share:Q",
            scale=alt.Scale(scheme="blues", domainMin=0),
            legend=alt.Legend(title="share of choices", format=".0%"),
        ),
        tooltip=["row:N", "skill:N", "uses:Q", alt.Tooltip("share:Q", format=".1%")],
    )
    counts = base.mark_text(fontSize=11).encode(
        text="uses:Q",
        color=alt.condition(f"datum.share > {highest / 2}", alt.value("#fff"), alt.value("#111")),
    )
    layered = alt.layer(cells, counts).properties(width=alt.Step(110), height=alt.Step(20))
    spec: dict[str, Any] = layered.add_params(place).to_dict()
    return spec


def _skill_rows(report: Report) -> list[dict[str, Any]]:
    samples = {build.sample for row in report.rows for build in row.log.builds}
    has_places = len(samples) <= MAX_PLACES
    counted: dict[tuple[str, str], dict[str, int]] = {}
    for row in report.rows:
        placed = [(_EVERYWHERE, build) for build in distinct_builds(row.log)]
        if has_places:
            placed += [(build.sample, build) for build in row.log.builds]
        for place, build in placed:
            uses = counted.setdefault((place, row.label), {})
            for skill, number in build.skill_uses.items():
                uses[skill] = uses.get(skill, 0) + number
    return [
        {
            "place": place,
            "row": label,
            "skill": skill,
            "uses": number,
            "share": number / max(sum(uses.values()), 1),
        }
        for (place, label), uses in sorted(
            counted.items(), key=lambda entry: entry[0][0] != _EVERYWHERE
        )
        for skill, number in uses.items()
    ]


def _numbers(summary: MetricLog) -> dict[str, Any]:
    return {
        "mean": summary.mean,
        "low": summary.mean if summary.low is None else summary.low,
        "high": summary.mean if summary.high is None else summary.high,
        "scored": summary.scored,
    }


def _tooltip(alt: Any) -> list[Any]:
    numbers = [alt.Tooltip(f"{name}:Q", format=".3f") for name in ("mean", "low", "high")]
    return [alt.Tooltip("row:N"), alt.Tooltip("category:N"), *numbers, alt.Tooltip("scored:Q")]


def _colours(alt: Any, labels: list[str], legend: Any = None) -> Any:
    # All rows have their colour in every chart, those that a chart lacks too.
    scale = alt.Scale(domain=labels, scheme="tableau20" if len(labels) > 10 else "tableau10")
    return alt.Color("row:N", scale=scale, legend=legend)


def category_table(report: Report) -> list[tuple[str, list[CategoryLog | None]]]:
    """The summaries of each category, one a row of the report, `OVERALL` last."""
    names = [*categories(report), OVERALL]
    return [
        (
            name,
            [
                next((part for part in row.log.categories if part.category == name), None)
                for row in report.rows
            ],
        )
        for name in names
    ]
