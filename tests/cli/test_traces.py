import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from langgraph_memskill.testing.traces import make_bank, make_episode, make_step
from langgraph_memskill.traces.writer import TraceWriter

Run = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "traces"
    with TraceWriter(path) as writer:
        writer.add_bank(make_bank())
        writer.add_steps([make_step("a", 0), make_step("a", 1, chosen=(2, 1))])
        writer.add_episode(make_episode("a", reward=1.0, source="application"))
        writer.add_steps([make_step("b", 0, failure="ParseError")])
        writer.add_episode(make_episode("b", reward=0.0, source="f1"))
    return path


def test_show_for_people(run: Run, folder: Path) -> None:
    shown = run("traces", "show", folder).stdout
    assert "2, 2 finished, 2 with a reward" in shown
    rows = {line.split()[0]: line for line in shown.splitlines() if line.strip()}
    assert "100%" in rows["update"]
    assert "mean reward 0.667" in rows["update"]
    assert "33%" in rows["insert"]
    assert "mean 0.500, deviation 0.500, from 0.000 to 1.000" in shown
    assert "█" in rows["ParseError"]


def test_show_for_machines(run: Run, folder: Path) -> None:
    shown = json.loads(run("traces", "show", folder, "--json").stdout)
    assert (shown["steps"], shown["episodes"], shown["rewards"]["mean"]) == (3, 2, 0.5)
    assert shown["skills"][0] == {
        "name": "update",
        "picks": 3,
        "offers": 3,
        "mean_reward": pytest.approx(2 / 3),
    }


def test_show_says_what_it_skipped(run: Run, folder: Path) -> None:
    (folder / "steps" / "cut.parquet").write_bytes(b"PAR1")
    done = run("traces", "show", folder)
    assert done.exit_code == 0
    assert "skipped 1 file: truncated, or no Parquet file (cut.parquet)" in done.stderr


def test_show_of_an_empty_folder_is_an_error(run: Run, tmp_path: Path) -> None:
    done = run("traces", "show", tmp_path)
    assert done.exit_code == 1
    assert "there are no traces" in done.stderr


def test_show_cannot_be_steered_by_names_in_the_traces(run: Run, tmp_path: Path) -> None:
    with TraceWriter(tmp_path / "t") as writer:
        writer.add_steps([make_step(selector="\x1b[31m[bold]evil", failure="\x1b]0;title\x07")])
    shown = run("traces", "show", tmp_path / "t").stdout
    assert "\x1b" not in shown
    assert "[bold]evil" in shown


def test_merge(run: Run, folder: Path, tmp_path: Path) -> None:
    done = run("traces", "merge", folder, "--out", tmp_path / "all")
    assert "4 files joined: 3 steps, 2 episode rows, 1 new bank version" in done.stdout
    again = run("traces", "merge", folder, "--out", tmp_path / "all", "--json")
    assert json.loads(again.stdout)["known"] == 4


def test_merge_needs_a_target(run: Run, folder: Path) -> None:
    assert run("traces", "merge", folder).exit_code == 2
