"""`memskill report`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from langgraph_memskill.benchmarks.run_log import write_run_log
from tests.benchmarks.report.runs import made_up_run
from tests.cli.conftest import Run


def test_the_page_lies_beside_the_first_log(run: Run) -> None:
    write_run_log(made_up_run(), Path("first/run.json"))
    done = run("report", "first")
    assert done.exit_code == 0, done.output
    assert "Written: first/report.html" in done.stdout
    assert "<title>Benchmark: locomo</title>" in Path("first/report.html").read_text("utf-8")


def test_several_runs_on_a_page_elsewhere(run: Run) -> None:
    write_run_log(made_up_run(num_rows=1), Path("a/run.json"))
    write_run_log(made_up_run(num_rows=1, seed=1), Path("b/run.json"))
    done = run("report", "a", "b/run.json", "--out", "page.html", "--title", "Ours", "--json")
    assert json.loads(done.stdout) == {
        "page": "page.html",
        "rows": ["no memory · a", "no memory · b"],
    }
    assert "<title>Ours</title>" in Path("page.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("make", "name", "problem"),
    [
        (lambda: None, "nope", "there is no run in nope: name the folder of a run"),
        (lambda: Path("empty").mkdir(), "empty", "there is no run in empty"),
        (
            lambda: write(Path("half/items.jsonl"), "{}"),
            "half",
            "the run in half has no run.json: if it was interrupted, give its memskill bench",
        ),
        (lambda: write(Path("cut/run.json"), '{"format_ver'), "cut", "is the file truncated?"),
        (lambda: write(Path("data.json"), "[]"), "data.json", "is no result log"),
    ],
    ids=["nowhere", "empty", "interrupted", "truncated", "data"],
)
def test_what_is_no_run_gets_one_line(
    run: Run, make: Callable[[], object], name: str, problem: str
) -> None:
    make()
    failed = run("report", name)
    assert failed.exit_code == 1
    assert problem in failed.stderr
    assert failed.stderr.count("\n") == 1
    assert not list(Path().glob("**/report.html"))


def write(file: Path, text: str) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
