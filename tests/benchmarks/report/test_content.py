"""What the page shows of the logs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_memskill.benchmarks.report.content import (
    Built,
    built,
    explorer_data,
    limit_of,
    make_report,
    read_report,
)
from langgraph_memskill.benchmarks.run_log import BuildLog, MemoryLog, write_run_log
from langgraph_memskill.errors import ConfigError, DataError
from tests.benchmarks.report.runs import (
    game_run,
    made_up_run,
    row_log,
    run_log,
    sample_log,
    scored_run,
)


def test_runs_about_the_same_data_share_questions():
    report = make_report([("old", scored_run([0.25])), ("new", scored_run([1.0]))])
    assert [row.label for row in report.rows] == ["row 0 · old", "row 0 · new"]
    [item] = explorer_data(report)["items"]
    assert [played["row"] for played in item["rows"]] == [0, 1]


def test_two_runs_of_one_name_have_rows_of_different_names():
    report = make_report([("run", scored_run([1.0])), ("run", scored_run([1.0]))])
    assert len({row.label for row in report.rows}) == 2


def test_an_item_has_what_every_row_made_of_it():
    report = make_report([("run", made_up_run(num_rows=3, num_samples=1))])
    data = explorer_data(report)
    assert len(data["items"]) == 12
    item = data["items"][5]
    assert (item["id"], item["gold"], item["evidence"]) == ("conv-0/q5", ["35"], ["D5:1"])
    none, rag, full = item["rows"]
    assert none["recalled"] == []
    assert rag["error"] == "ModelCallError: 503"
    memory, score = full["recalled"][0]
    text, skills, spans, evidence = data["memories"][memory]
    log = report.rows[2].log.items[5]
    assert score == log.recalled[0].score
    assert text == f"Fact {log.recalled[0].memory_id[1:]} of conv-0 is number " + text.split()[-1]
    assert evidence == [f"D{log.recalled[0].memory_id[1:]}:1"]
    assert data["spans"][spans[0]][1] == f"session_{log.recalled[0].memory_id[1:]}"
    assert skills == []


def test_scores_stand_in_the_order_of_the_metrics():
    report = make_report([("run", made_up_run(num_rows=1, num_samples=1))])
    data = explorer_data(report)
    played = data["items"][3]["rows"][0]
    log = report.rows[0].log.items[3]
    assert data["metrics"] == ["f1", "evidence_recall@20", "judge"]
    assert played["scores"] == [
        log.scores["f1"].value,
        log.scores["evidence_recall@20"].value,
        None,
    ]
    assert played["problems"] == {"judge": "the judge's reply cannot be read: 'well'"}


def test_what_many_items_share_stands_once():
    data = explorer_data(make_report([("run", made_up_run(num_rows=7, num_samples=1))]))
    # 30 facts: as raw ones, and as written by each of the four rows' first, second ... skills.
    assert len(data["spans"]) == 30
    assert len(data["memories"]) <= 5 * 30
    assert len(set(map(str, data["memories"]))) == len(data["memories"])


def test_a_sample_that_could_not_be_built_says_why():
    run = scored_run([None])
    broken = BuildLog(sample="conv-0", key="k", error="EmbeddingError: no")
    row = run.rows[0].model_copy(update={"builds": (broken,)})
    report = make_report([("run", run.model_copy(update={"rows": (row,)}))])
    [item] = explorer_data(report)["items"]
    assert item["rows"][0]["error"] == "no memories: EmbeddingError: no"


def test_what_was_built_is_summed_over_the_samples():
    samples = [sample_log("a", 3), sample_log("b", 4)]
    row = row_log("r", "r", samples, [], skills=("insert",))
    first = row.builds[0].model_copy(update={"actions": {"insert": 3, "update": 2}})
    broken = BuildLog(sample="b", key="k", error="EmbeddingError: no", failed_spans=2)
    rows = [row.model_copy(update={"builds": (first, broken)}), row_log("x", "x", samples[:0], [])]
    report = make_report([("run", run_log(rows, samples))])
    assert built(report) == [
        Built(
            row="r",
            num_memories=3,
            actions={"insert": 3, "update": 2},
            failed_spans=2,
            failed_samples=1,
        )
    ]


def test_memories_that_samples_share_are_counted_once():
    samples = [sample_log("a", 3), sample_log("b", 3), sample_log("c", 3)]
    row = row_log("r", "r", samples, [], skills=("insert",))
    builds = [build.model_copy(update={"failed_spans": 1}) for build in row.builds]
    builds[1] = builds[0].model_copy(update={"sample": "b"})
    report = make_report([("run", run_log([row.model_copy(update={"builds": builds})], samples))])
    [found] = built(report)
    assert (found.num_memories, found.actions, found.failed_spans) == (6, {"insert": 6}, 2)


def test_rows_that_search_nothing_by_design_are_told_apart():
    report = make_report([("run", made_up_run(num_rows=3, num_samples=1))])
    assert [row.log.name for row in report.rows] == ["none", "rag", "full"]
    assert explorer_data(report)["searches"] == [False, True, False]


def test_a_memory_whose_span_is_not_in_the_log_is_shown_without():
    run = made_up_run(num_rows=1, num_samples=1)
    memory = MemoryLog(id="m0", content="x", span_ids=("nowhere",))
    build = BuildLog(sample="conv-0", key="k", memories=(memory,))
    row = run.rows[0].model_copy(update={"builds": (build,)})
    report = make_report([("run", run.model_copy(update={"rows": (row,)}))])
    assert explorer_data(report)["memories"] == [["x", [], [], []]]


def test_a_memory_that_is_its_span_has_no_text_of_its_own():
    run = made_up_run(num_rows=1, num_samples=1)
    memory = MemoryLog(id="m0", content=None, span_ids=("conv-0:3",))
    build = BuildLog(sample="conv-0", key="k", memories=(memory,))
    row = run.rows[0].model_copy(update={"builds": (build,)})
    report = make_report([("run", run.model_copy(update={"rows": (row,)}))])
    data = explorer_data(report, max_characters=20)
    assert data["memories"] == [[None, [], [0], []]]
    assert data["spans"][0][1] == "session_3"


def test_games_have_their_steps():
    [item] = explorer_data(make_report([("run", game_run())]))["items"]
    assert item["rows"][0]["steps"] == [
        ["You are in a kitchen.", "look", "Where am I?", None, "miss"],
        ["You see a mug.", "take mug 1", "", 1.0, ""],
    ]


def test_texts_of_a_large_run_are_cut_and_say_so():
    report = make_report([("run", made_up_run(num_rows=1 + 1, num_samples=1))])
    whole = explorer_data(report)
    cut = explorer_data(report, max_characters=600)
    assert sum(map(len, (text for text, *_ in whole["memories"]))) > 600
    text = cut["memories"][0][0]
    assert text.startswith(whole["memories"][0][0][:15])
    assert "more characters are in the log" in text


@given(st.lists(st.integers(0, 50), max_size=20), st.integers(0, 300))
def test_the_limit_is_the_largest_that_fits(lengths, total):
    limit = limit_of(lengths, total)
    if sum(lengths) <= total:
        assert limit is None
        return
    assert sum(min(length, limit) for length in lengths) <= total
    assert sum(min(length, limit + 1) for length in lengths) > total


def test_runs_are_read_from_folders_and_files(tmp_path):
    write_run_log(scored_run([1.0]), tmp_path / "first" / "run.json")
    report = read_report([tmp_path / "first", tmp_path / "first" / "run.json"])
    assert [run.name for run in report.runs] == ["first", "first"]


def test_no_run(tmp_path):
    with pytest.raises(ConfigError, match="at least one run"):
        read_report([])
    with pytest.raises(DataError, match="there is no run in"):
        read_report([tmp_path])
