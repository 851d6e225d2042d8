"""The page of curves: complete, self-contained, safe against what stands in the data."""

import json
import re
from pathlib import Path

import pytest

from langgraph_memskill.errors import DataError, TrainingError
from langgraph_memskill.trainers.metrics.curves import MAX_SKILLS, curves_page, write_curves
from langgraph_memskill.trainers.metrics.names import Metric, skill_usage
from langgraph_memskill.trainers.metrics.reading import MetricHistory
from langgraph_memskill.trainers.metrics.writers import METRICS_FILE, open_writers


def history(num_steps: int = 3, **series: float) -> MetricHistory:
    return MetricHistory(
        steps=tuple(range(num_steps)),
        series={name: [(i, value) for i in range(num_steps)] for name, value in series.items()},
    )


def spec_of(page: str) -> dict:
    text = re.search(r'vegaEmbed\("#curves", (\{.*\}), \{actions', page)[1]
    return json.loads(text)


def rows_of(spec: dict, chart: dict) -> list[dict]:
    """A chart's rows; Altair puts them where all parts of the page that share them see them."""
    parts = [spec, chart, *chart["layer"]]
    return [row for part in parts for row in part.get("data", {}).get("values", [])]


def panels(page: str) -> dict[str, set[str]]:
    """Title of every chart to the metrics that it draws."""
    spec = spec_of(page)
    return {
        chart["title"]: {row["metric"] for row in rows_of(spec, chart)} for chart in spec["concat"]
    }


def own_text(page: str) -> str:
    """The page without the libraries."""
    return re.sub(r"<script>.*?</script>", "", page, count=1, flags=re.DOTALL)


def test_a_chart_for_each_group(tmp_path: Path) -> None:
    with open_writers(tmp_path) as writer:
        for step in range(3):
            writer.write(
                step,
                {
                    Metric.REWARD: 0.1,
                    Metric.SCORE: 0.2,
                    Metric.ENTROPY: 2.0,
                    Metric.KL: 0.01,
                    Metric.CLIP_FRACTION: 0.1,
                    Metric.EXPLAINED_VARIANCE: 0.5,
                    Metric.FAILED_CALLS: 0.0,
                    skill_usage("insert"): 0.9,
                    skill_usage("update"): 0.1,
                    "mine/x": 5.0,
                },
            )
    write_curves(tmp_path / METRICS_FILE, tmp_path / "out/curves.html")
    drawn = panels((tmp_path / "out/curves.html").read_text(encoding="utf-8"))
    assert drawn["Reward"] == {"reward/total"}
    assert drawn["Raw score"] == {"score/raw"}
    assert drawn["Entropy of a draw (nats)"] == {"policy/entropy"}
    assert drawn["KL of an update"] == {"policy/kl"}
    assert drawn["Clip fraction"] == {"policy/clip_fraction"}
    assert drawn["Explained variance of the critic"] == {"value/explained_variance"}
    assert drawn["Skill usage (share of steps)"] == {"insert", "update"}
    assert drawn["Failures"] == {"failures/calls"}
    assert drawn["mine/x"] == {"mine/x"}


def test_the_page_loads_nothing() -> None:
    page = curves_page(history(**{Metric.REWARD: 0.5}), title="run")
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=", own_text(page))
    assert "default-src 'none'" in page


def test_names_from_the_data_stay_text() -> None:
    evil = "</script><img src=x onerror=alert(1)>"
    page = curves_page(history(**{evil: 1.0}), title=evil)
    assert "<img" not in own_text(page)
    assert page.count("</script>") == 2
    assert panels(page) == {evil: {evil}}


def test_of_many_skills_the_most_used_are_drawn() -> None:
    series = {skill_usage(f"s{i:02}"): i / 100 for i in range(40)}
    drawn = panels(curves_page(history(**series), title="run"))
    expected = {f"s{i:02}" for i in range(40 - MAX_SKILLS, 40)}
    assert drawn == {"Skill usage (share of steps)": expected}


def test_a_long_run_is_thinned_and_keeps_its_last_point() -> None:
    page = curves_page(history(12_345, **{Metric.KL: 0.5}), title="run")
    spec = spec_of(page)
    rows = rows_of(spec, spec["concat"][0])
    assert 500 <= len(rows) <= 1001
    assert rows[-1]["step"] == 12_344


def test_curves_of_long_runs_get_a_running_mean() -> None:
    points = [(i, float(i % 2)) for i in range(100)]
    series = {Metric.SCORE: points, Metric.VALIDATION_SCORE: [(0, 0.2), (99, 0.4)]}
    spec = spec_of(curves_page(MetricHistory(steps=tuple(range(100)), series=series), title="r"))
    means = {(r["metric"], r["step"]): r["mean"] for r in rows_of(spec, spec["concat"][0])}
    assert means["score/raw", 50] == pytest.approx(6 / 11)  # five steps to either side
    assert means["score/raw", 0] == 0.5
    assert means["score/validation", 99] == 0.4  # too few points to smooth


def test_the_table_has_first_last_lowest_and_highest() -> None:
    points = [(0, 0.25), (1, 0.75), (2, 0.125), (3, 0.5)]
    page = curves_page(
        MetricHistory(steps=(0, 1, 2, 3), series={Metric.SCORE: points}), title="run"
    )
    row = re.search(r"<tr><td>score/raw</td>(.*?)</tr>", page)[1]
    assert re.findall(r'number">([^<]*)', row) == ["0.25", "0.5", "0.125", "0.75"]


def test_no_metrics_no_page(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        write_curves(tmp_path / "none.jsonl", tmp_path / "curves.html")
    assert not (tmp_path / "curves.html").exists()


def test_a_page_that_cannot_be_written(tmp_path: Path) -> None:
    with open_writers(tmp_path) as writer:
        writer.write(0, {Metric.REWARD: 0.5})
    (tmp_path / "taken").write_text("", encoding="utf-8")
    with pytest.raises(TrainingError, match="cannot be written"):
        write_curves(tmp_path / METRICS_FILE, tmp_path / "taken/curves.html")
