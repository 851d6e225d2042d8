"""Store and log agree whatever happens to the processes that remember.

`MEMSKILL_KILLS=200 pytest tests/test_kills.py` kills more often.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"),
]
KILLS = int(os.environ.get("MEMSKILL_KILLS", "25"))
SERVER = Path(__file__).with_name("kill_server.py")


def _run(what: str, folder: Path, rounds: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(SERVER), what, str(folder), str(rounds)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(report)[:2000], done.stderr[-2000:])  # noqa: T201  # shown if a test fails
    return report


def test_kills_at_random_points_while_remembering(tmp_path: Path) -> None:
    report = _run("killed_at_random", tmp_path / "m", KILLS)
    assert report["problems"] == []
    assert report["failed by itself"] == 0
    assert report["killed while remembering"] >= KILLS // 5


def test_exits_between_any_two_writes(tmp_path: Path) -> None:
    report = _run("killed_at_each_step", tmp_path / "m", 0)
    assert report["problems"] == []
    assert report["with pending changes"] >= 8
    assert {*report["places"]} == {
        "before append",
        "after append",
        "after write",
        "after remove",
        "after settle",
    }


def test_several_processes_lose_nothing(tmp_path: Path) -> None:
    report = _run("several_at_once", tmp_path / "m", 5)
    assert report["statuses"] == [0, 0, 0, 0]
    assert report["problems"] == []
    assert report["acknowledged"] == 4 * 5 * 3
    assert report["changes"] == 4 * 5 * 3 + 1


def test_processes_that_make_one_folder_at_once_get_the_same(tmp_path: Path) -> None:
    report = _run("opened_at_once", tmp_path, 40)
    assert report["seen"] == {str((0, [report["skills"]])): 40 * 3}
    assert report["left"] == []
