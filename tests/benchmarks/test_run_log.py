import json

import pytest

from langgraph_memskill.benchmarks.run_log import (
    CategoryLog,
    DataLog,
    EnvironmentLog,
    ItemLog,
    MetricLog,
    RowLog,
    RunLog,
    ScoreLog,
    StepLog,
    TimesLog,
    read_run_log,
    without_times,
    write_run_log,
)
from langgraph_memskill.errors import DataError
from langgraph_memskill.records import Usage


def run_log(**fields):
    item = ItemLog(
        id="conv-1/q0",
        sample="conv-1",
        category="temporal",
        text="When?",
        gold=("7 May 2023",),
        answer="7 May",
        scores={"f1": ScoreLog(value=0.8), "judge": ScoreLog(value=None, problem="prose")},
        usage=Usage(calls=1, input_tokens=200, output_tokens=3),
        seconds=0.25,
    )
    game = ItemLog(
        id="game-1",
        sample="game-1",
        text="put a mug on the desk",
        steps=(StepLog(observation="You are in a room.", action="look", reward=0.0),),
        error="ModelCallError: no answer",
    )
    overall = CategoryLog(
        category="overall", items=2, failed=1, metrics={"f1": MetricLog(mean=0.8, scored=1)}
    )
    values = {
        "id": "abc",
        "data": DataLog(
            task="locomo",
            file="locomo10.json",
            sha256="0" * 64,
            split="test",
            span_mode="full-session",
            samples=("conv-1",),
        ),
        "models": (),
        "environment": EnvironmentLog(
            git_revision=None, git_dirty=None, python="3.12", platform="Linux", packages={}
        ),
        "settings": {"top_k": 20},
        "seeds": {"random": 0},
        "metrics": ("f1", "judge"),
        "samples": (),
        "rows": (RowLog(name="rag", title="RAG", items=(item, game), categories=(overall,)),),
        "times": TimesLog(started_at="2026-01-01", finished_at="2026-01-02", seconds=1.0),
    }
    return RunLog(**(values | fields))


def test_a_log_is_read_back_as_it_was(tmp_path):
    write_run_log(run_log(), tmp_path / "run" / "run.json")
    assert read_run_log(tmp_path / "run") == run_log()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.json"]


def test_times_do_not_count_in_a_comparison():
    later = run_log(times=TimesLog(started_at="2027", finished_at="2027", seconds=9.0))
    slow = later.rows[0].items[0].model_copy(update={"seconds": 7.0})
    row = later.rows[0].model_copy(update={"items": (slow, later.rows[0].items[1])})
    later = later.model_copy(update={"rows": (row,)})
    assert later != run_log()
    assert without_times(later) == without_times(run_log())
    assert without_times(run_log(seeds={"random": 1})) != without_times(run_log())


def written(tmp_path, change):
    document = run_log().model_dump(mode="json")
    change(document)
    path = tmp_path / "run.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda log: log.update(format_version=99), "format version 99; this package reads up to"),
        (lambda log: log.pop("format_version"), "no format_version"),
        (lambda log: log.pop("rows"), "rows: Field required"),
        (lambda log: log["rows"][0].update(colour="red"), "rows.0.colour: Extra inputs"),
    ],
)
def test_what_is_no_log_of_this_version_is_refused(tmp_path, change, problem):
    with pytest.raises(DataError, match=problem):
        read_run_log(written(tmp_path, change))


def test_a_truncated_log_is_refused(tmp_path):
    path = written(tmp_path, lambda log: None)
    path.write_text(path.read_text(encoding="utf-8")[:-40], encoding="utf-8")
    with pytest.raises(DataError, match="truncated"):
        read_run_log(path)


def test_a_folder_without_a_log_is_refused(tmp_path):
    with pytest.raises(DataError, match="there is no run in"):
        read_run_log(tmp_path)
