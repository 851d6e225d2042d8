"""The page: complete, self-contained, safe against what stands in the data."""

import base64
import gzip
import json
import re
import sys

import pytest

from langgraph_memskill.benchmarks.report import charts as charts_module
from langgraph_memskill.benchmarks.report.charts import charts
from langgraph_memskill.benchmarks.report.comparing import differences
from langgraph_memskill.benchmarks.report.content import make_report
from langgraph_memskill.benchmarks.report.rendering import report_page, write_report
from langgraph_memskill.benchmarks.run_log import CostLog, write_run_log
from langgraph_memskill.errors import DataError, MissingDependencyError
from langgraph_memskill.records import Usage
from tests.benchmarks.report.runs import game_run, made_up_run, run_log

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def report():
    return make_report([("first run", made_up_run())])


@pytest.fixture(scope="module")
def page(report):
    return report_page(report)


def own_text(page):
    """The page without the Vega libraries."""
    scripts = re.findall(r"<script[^>]*>.*?</script>", page, flags=re.DOTALL)
    return page.replace(max(scripts, key=len), "")


def packed(page):
    text = re.search(r'<script id="data"[^>]*>([^<]*)</script>', page)[1]
    return json.loads(gzip.decompress(base64.b64decode(text)))


def values(page, table, row):
    """Exact means of a table's row, by metric."""
    part = re.search(rf'id="{table}">.*?</table>', page, flags=re.DOTALL)[0]
    cells = re.search(rf'<tr data-\w+="{row}">.*?</tr>', part, flags=re.DOTALL)[0]
    found = re.findall(r'data-metric="([^"]*)" data-value="([^"]*)"', cells)
    return [(metric, float(value)) for metric, value in found]


def test_the_summary_has_the_numbers_of_the_log(report, page):
    for row in report.rows:
        overall = row.log.categories[-1]
        wanted = [(name, summary.mean) for name, summary in overall.metrics.items()]
        assert values(page, "summary", row.label) == wanted


def test_the_categories_have_the_numbers_of_the_log(report, page):
    for number, name in enumerate(("multi-hop", "single-hop", "temporal", "overall")):
        wanted = [("f1", row.log.categories[number].metrics["f1"].mean) for row in report.rows]
        assert values(page, "categories", name) == wanted


def test_differences_are_told_for_every_metric(report, page):
    part = re.search(r'<section id="differences">.*?</section>', page, flags=re.DOTALL)[0]
    assert re.findall(r'<table data-metric="([^"]*)">', part) == list(report.metrics)
    for metric in report.metrics:
        table = re.search(rf'<table data-metric="{metric}">.*?</table>', part, flags=re.DOTALL)[0]
        shown = [float(value) for value in re.findall(r'data-value="([^"]*)"', table)]
        assert shown == [found.interval.mean for found in differences(report, metric)]


def test_the_best_is_marked_unless_all_are_equal(report, page):
    assert page.count('class="number best"') == len(report.metrics)
    same = report_page(make_report([("run", made_up_run(num_rows=1))]))
    assert 'class="number best"' not in same


def test_runs_that_differ_say_so(report, page):
    assert 'id="deviations"' not in page
    both = make_report([("a", made_up_run()), ("b", made_up_run(top_k=2))])
    part = re.search(r'<section id="deviations">.*?</section>', report_page(both), re.DOTALL)[0]
    assert re.findall(r'data-what="([^"]*)" class="bar"', part) == ["memories a question"]
    assert '<b>20</b> <span class="faint">(a)</span>' in part
    assert "not compared across" in part


def test_runs_over_other_questions_say_how_they_are_compared():
    both = make_report([("a", made_up_run()), ("b", made_up_run(num_questions=1, num_samples=1))])
    page = report_page(both)
    part = re.search(r'data-what="questions">.*?</tr>', page, re.DOTALL)[0]
    assert "paired where both were asked" in part
    assert "1 sample, 3 rows" in page


def named(page, row):
    """Numbers of a row of the summary, by name."""
    part = re.search(r'id="summary">.*?</table>', page, flags=re.DOTALL)[0]
    cells = re.search(rf'<tr data-row="{row}">.*?</tr>', part, flags=re.DOTALL)[0]
    return dict(re.findall(r'data-name="([^"]*)">([^<]*)<', cells))


def test_calls_and_tokens_of_answering_building_and_judging_are_told():
    run = made_up_run(num_rows=4)
    scoring = CostLog(usage=Usage(calls=24, input_tokens=2400, output_tokens=24))
    row = run.rows[3].model_copy(update={"scoring": scoring})
    page = report_page(make_report([("run", run.model_copy(update={"rows": (row,)}))]))
    found = named(page, "random skills")
    assert found["answering_calls"] == "24"
    assert found["building_calls"] == "60"
    assert found["calls"] == "84"
    assert (found["judging_calls"], found["judging"]) == ("24", "2,424")
    assert "judging" not in named(report_page(make_report([("run", run)])), "random skills")


def test_the_questions_are_in_the_page(report, page):
    data = packed(page)
    assert [item["id"] for item in data["items"]] == [i.id for i in report.rows[0].log.items]


def test_the_page_loads_nothing(page):
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=", own_text(page))
    assert "default-src &#39;none&#39;" in page
    assert "://" not in own_text(page).replace("https://vega.github.io/schema", "")


def test_the_same_log_gives_the_same_page(report, page):
    assert report_page(report) == page


def test_what_stands_in_a_log_stays_text():
    run = made_up_run(num_rows=2, num_samples=1)
    memory = run.rows[1].builds[0].memories[0].model_copy(update={"content": EVIL})
    build = (
        run.rows[1].builds[0].model_copy(update={"memories": (memory,), "skill_uses": {EVIL: 3}})
    )
    items = [i.model_copy(update={"category": EVIL, "answer": EVIL}) for i in run.rows[1].items]
    parts = [part.model_copy(update={"category": EVIL}) for part in run.rows[1].categories[:1]]
    row = run.rows[1].model_copy(
        update={
            "title": EVIL,
            "builds": (build,),
            "items": tuple(items),
            "categories": (*parts, run.rows[1].categories[-1]),
        }
    )
    run = run.model_copy(update={"rows": (row, run.rows[0]), "settings": {"note": EVIL}})
    page = report_page(make_report([(EVIL, run)]), title=EVIL)
    assert "<img" not in own_text(page)
    assert "<script>alert" not in page
    assert page.count("</script>") == 4
    assert EVIL in [entry[0] for entry in packed(page)["memories"]]


def test_halves_of_characters_do_not_stop_the_page():
    run = made_up_run(num_rows=1, num_samples=1)
    items = [item.model_copy(update={"answer": "\ud83d"}) for item in run.rows[0].items]
    run = run.model_copy(update={"rows": (run.rows[0].model_copy(update={"items": tuple(items)}),)})
    page = report_page(make_report([("run", run)]))
    assert packed(page)["items"][0]["rows"][0]["answer"] == "?"
    page.encode("utf-8")


def data_of(chart):
    inline = chart.get("data", {}).get("values", [])
    return [*inline, *(row for part in chart.get("datasets", {}).values() for row in part)]


def test_charts_draw_every_row_with_its_interval(report):
    drawn = charts(report)
    assert set(drawn) == {"category-chart", "cost-chart"}  # no row of this run has skills
    rows = data_of(drawn["category-chart"])
    summary = report.rows[1].log.categories[1].metrics["judge"]
    assert {
        "row": "plain RAG",
        "category": "single-hop",
        "metric": "judge",
        "mean": summary.mean,
        "low": summary.low,
        "high": summary.high,
        "scored": summary.scored,
    } in rows


def test_the_chart_of_costs_has_both_kinds_of_tokens():
    report = make_report([("run", made_up_run(num_rows=4))])
    [row] = [
        row
        for row in data_of(charts(report)["cost-chart"])
        if (row["row"], row["metric"]) == ("random skills", "f1")
    ]
    log = report.rows[3].log
    assert row["answering"] == log.tokens_per_item == 966
    assert row["all"] == 966 + log.building.usage.tokens / 24


def test_the_chart_of_skills_counts_by_row_and_sample():
    report = make_report([("run", made_up_run(num_rows=4, num_samples=2))])
    found = {
        (row["place"], row["skill"]): (row["uses"], row["share"])
        for row in data_of(charts(report)["skill-chart"])
        if row["row"] == "random skills"
    }
    assert found["conv-1", "update"] == (11, pytest.approx(1 / 3))
    assert found["all samples", "update"] == (22, pytest.approx(1 / 3))


def test_skills_of_memories_that_samples_share_are_counted_once():
    run = made_up_run(num_rows=4, num_samples=2)
    first, second = run.rows[3].builds
    same = first.model_copy(update={"sample": second.sample})
    row = run.rows[3].model_copy(update={"builds": (first, same)})
    report = make_report([("run", run.model_copy(update={"rows": (row,)}))])
    uses = {
        row["place"]: row["uses"]
        for row in data_of(charts(report)["skill-chart"])
        if row["skill"] == "update"
    }
    assert uses == {"all samples": 11, "conv-0": 11, "conv-1": 11}


def test_of_many_samples_the_skills_are_counted_together(monkeypatch):
    monkeypatch.setattr(charts_module, "MAX_PLACES", 1)
    report = make_report([("run", made_up_run(num_rows=4, num_samples=2))])
    assert {row["place"] for row in data_of(charts(report)["skill-chart"])} == {"all samples"}


def test_actions_are_told_by_kind():
    page = report_page(make_report([("run", made_up_run(num_rows=4, num_samples=2))]))
    table = re.search(r'<table id="built">.*?</table>', page, flags=re.DOTALL)[0]
    row = re.search(r'<tr data-row="random skills">.*?</tr>', table, flags=re.DOTALL)[0]
    assert re.findall(r'number">([^<]*)<', row) == ["60", "60", "0", "0"]


def test_a_run_without_items_has_a_page():
    page = report_page(make_report([("run", run_log([], []))]))
    assert packed(page)["items"] == []


def test_games_and_runs_of_other_data_stand_on_one_page():
    page = report_page(make_report([("run", made_up_run()), ("games", game_run())]))
    assert len(packed(page)["items"]) == 24 + 1
    assert values(page, "summary", "agent") == [("f1", 1.0)]


def test_a_page_is_written_as_a_whole(tmp_path):
    write_run_log(made_up_run(), tmp_path / "run/run.json")
    write_report([tmp_path / "run"], tmp_path / "out/page.html")
    assert "<title>Benchmark: locomo</title>" in (tmp_path / "out/page.html").read_text("utf-8")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["page.html"]


def test_a_page_that_cannot_be_written(tmp_path):
    write_run_log(made_up_run(), tmp_path / "run.json")
    with pytest.raises(DataError, match="cannot be written"):
        write_report([tmp_path / "run.json"], tmp_path / "run.json" / "page.html")


def test_without_altair_the_extra_is_named(monkeypatch, report):
    monkeypatch.setitem(sys.modules, "altair", None)
    with pytest.raises(MissingDependencyError, match=r"langgraph-memskill\[bench\]"):
        report_page(report)
