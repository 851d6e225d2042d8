"""A killed run leaves whole files: `MEMSKILL_KILLS=200 pytest tests/traces` kills more often."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
KILLS = int(os.environ.get("MEMSKILL_KILLS", "25"))
PROGRAM = Path(__file__).with_name("kill_writer.py")


def run(what: str, folder: Path, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, str(PROGRAM), what, str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    print(done.stdout[-2000:])  # noqa: T201  # shown if a test fails
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_kills_at_random_points_lose_and_double_nothing(tmp_path: Path) -> None:
    report = run("killed_at_random", tmp_path, str(KILLS))
    assert (report["lost"], report["doubled"]) == ([], [])
    assert report["killed"] == KILLS
    assert report["acknowledged"] >= KILLS


def test_exits_between_any_two_calls_lose_and_double_nothing(tmp_path: Path) -> None:
    report = run("killed_at_each_step", tmp_path)
    assert (report["lost"], report["doubled"]) == ([], [])
    assert report["statuses"] == [9]
    assert report["places"] >= 10
    assert report["skipped"] == ["unfinished: its process was killed, or is still writing"]


def test_several_processes_write_into_one_folder(tmp_path: Path) -> None:
    report = run("several_at_once", tmp_path)
    assert report["statuses"] == [0, 0, 0, 0]
    assert report["acknowledged"] == 40
    assert (report["lost"], report["doubled"], report["skipped"]) == ([], [], [])
