"""Which rows the page compares, and what it says of the runs."""

import pytest

from langgraph_memskill.benchmarks.report.comparing import best_cells, deviations, differences
from langgraph_memskill.benchmarks.report.content import make_report
from langgraph_memskill.benchmarks.run_log import ModelLog, ScoreLog
from tests.benchmarks.report.runs import category_log, game_run, scored_run

READER = ModelLog(role="reader", name="extractive")


def judged_run(value, judge):
    run = scored_run([1.0], models=(READER, ModelLog(role="judge", name=judge)))
    scores = {"f1": ScoreLog(value=value), "judge": ScoreLog(value=value)}
    items = [item.model_copy(update={"scores": scores}) for item in run.rows[0].items]
    parts = (category_log("overall", items),)
    row = run.rows[0].model_copy(update={"items": tuple(items), "categories": parts})
    return run.model_copy(update={"rows": (row,)})


def test_differences_are_those_of_the_same_questions():
    report = make_report([("run", scored_run([0.9, 0.5, None], [0.8, 0.4, 1.0]))])
    [found] = differences(report, "f1")
    assert (found.row, found.other, found.num_pairs) == ("row 0", "row 1", 2)
    assert found.interval == pytest.approx((0.1, 0.1, 0.1))


def test_each_pair_of_rows_is_compared_once():
    report = make_report([("run", scored_run([1.0], [0.5], [0.0]))])
    found = {(d.row, d.other): d.interval.mean for d in differences(report, "f1")}
    assert found == {("row 0", "row 1"): 0.5, ("row 0", "row 2"): 1.0, ("row 1", "row 2"): 0.5}


def test_runs_about_other_data_are_not_compared():
    other = scored_run([0.0], sha256="1" * 64)
    report = make_report([("a", scored_run([1.0])), ("b", other)])
    assert differences(report, "f1") == []


OTHERS = [
    {"sha256": "1" * 64},
    {"task": "hotpotqa"},
    {"split": "val"},
    {"top_k": 2},
    {"models": (ModelLog(role="reader", name="gpt"),)},
    {"models": (ModelLog(role="reader", name="extractive", spec="http://host/v1#extractive"),)},
]


@pytest.mark.parametrize("fields", OTHERS)
def test_runs_that_differ_in_what_counts_are_not_compared_and_say_so(fields):
    runs = [("a", scored_run([1.0])), ("b", scored_run([0.0], **fields))]
    report = make_report(runs)
    assert differences(report, "f1") == []
    assert best_cells(report) == frozenset()
    [found] = [one for one in deviations(report) if one.is_bar]
    assert [names for _, names in found.values] == [("a",), ("b",)]


def test_runs_about_the_same_data_are_compared():
    report = make_report([("old", scored_run([0.25])), ("new", scored_run([1.0]))])
    [found] = differences(report, "f1")
    assert found.interval.mean == -0.75
    assert best_cells(report) == {("row 0 · new", "f1")}
    assert deviations(report) == []


def test_another_judge_bars_only_its_own_score():
    report = make_report([("a", judged_run(1.0, "gpt")), ("b", judged_run(0.0, "claude"))])
    assert len(differences(report, "f1")) == 1
    assert differences(report, "judge") == []
    assert best_cells(report) == {("row 0 · a", "f1")}
    [found] = deviations(report)
    assert (found.what, found.is_bar) == ("judge", True)
    assert found.values == (("gpt", ("a",)), ("claude", ("b",)))


def test_of_runs_over_other_questions_there_is_no_common_best():
    report = make_report([("few", scored_run([1.0])), ("more", scored_run([0.5, 0.0]))])
    assert best_cells(report) == frozenset()
    assert [d.num_pairs for d in differences(report, "f1")] == [1]
    [found] = deviations(report)
    assert (found.what, found.is_bar) == ("questions", False)


def test_the_best_of_a_run_are_all_that_reach_the_highest_mean():
    report = make_report([("run", scored_run([1.0], [0.5], [1.0]))])
    assert best_cells(report) == {("row 0", "f1"), ("row 2", "f1")}
    assert best_cells(make_report([("run", scored_run([1.0], [1.0]))])) == frozenset()


def test_games_and_questions_are_told_apart():
    bars = [
        one.what for one in deviations(make_report([("q", scored_run([1.0])), ("g", game_run())]))
    ]
    assert bars[0] == "task"


def test_runs_of_one_name_are_numbered():
    report = make_report([("run", scored_run([1.0])), ("run", scored_run([1.0], top_k=2))])
    [found] = deviations(report)
    assert found.values == (("20", ("run (1)",)), ("2", ("run (2)",)))
