"""An evolution that is killed between any two nodes, and goes on, gives the same bank."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"),
]
SCRIPT = Path(__file__).with_name("kill_evolution.py")


def test_kills_between_any_two_nodes_and_around_every_write(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["problems"] == []
    assert len(report["skills"]) > 4
    nodes = {place.removeprefix("before ") for place in report["places"] if "Node" in place}
    assert {
        *("CollectNode", "ClusterNode", "SampleNode", "DiagnoseNode", "AnalyseNode"),
        *("CriticiseNode", "ProposeNode", "CheckNode", "ApproveNode", "GateNode", "ApplyNode"),
        "SnapshotNode",
    } <= nodes
