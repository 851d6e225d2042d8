"""`memskill curves`."""

import json
from pathlib import Path

from langgraph_memskill.trainers.metrics.names import Metric
from langgraph_memskill.trainers.metrics.writers import open_writers
from tests.cli.conftest import Run


def test_the_page_lies_beside_the_metrics(run: Run) -> None:
    with open_writers("run") as writer:
        writer.write(0, {Metric.REWARD: 0.5})
    done = run("curves", "run")
    assert done.exit_code == 0, done.output
    assert "<title>run</title>" in Path("run/curves.html").read_text(encoding="utf-8")


def test_a_page_elsewhere(run: Run) -> None:
    with open_writers("run") as writer:
        writer.write(0, {Metric.REWARD: 0.5})
    done = run("curves", "run/metrics.jsonl", "--out", "page.html", "--json")
    assert json.loads(done.stdout) == {"page": "page.html"}
    assert Path("page.html").exists()


def test_a_folder_without_metrics(run: Run) -> None:
    failed = run("curves", "nowhere")
    assert failed.exit_code == 1
    assert "nowhere" in failed.stderr
