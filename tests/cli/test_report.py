"""`memskill report`."""

import json
from pathlib import Path

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


def test_a_folder_without_a_run(run: Run) -> None:
    Path("empty").mkdir()
    failed = run("report", "empty")
    assert failed.exit_code == 1
    assert "empty/run.json" in failed.stderr
    assert not Path("empty/report.html").exists()
