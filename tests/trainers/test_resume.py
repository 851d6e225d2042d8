"""Runs that are killed for real, at many points, and go on."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from langgraph_memskill.traces.episodes import read_recorded
from langgraph_memskill.traces.reader import TraceReader
from langgraph_memskill.trainers.metrics.reading import read_lines

SCRIPT = Path(__file__).with_name("training_process.py")


def train(folder: Path, *point: str) -> int:
    command = [sys.executable, str(SCRIPT), str(folder), *point]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {
        f"{root.relative_to(folder)}/{name}": tensor
        for root in (folder / "controller", folder / "last" / "controller")
        for name, tensor in load_file(root / "controller.safetensors").items()
    }


def recorded(folder: Path) -> dict[str, tuple[list[tuple[int, ...]], float | None]]:
    """Every episode's choices and reward."""
    episodes = read_recorded(TraceReader(folder / "traces"))
    return {e.id: ([step.chosen for step in e.steps], e.reward) for e in episodes}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    assert train(folder) == 0
    return folder


# The run makes about 12 calls an update; a checkpoint syncs five times.
@pytest.mark.slow
@pytest.mark.parametrize(
    "points",
    [
        ["calls:5"],  # inside of the very first update
        ["calls:30", "calls:15"],  # inside of later ones, twice
        ["calls:50"],  # in the second stage
        ["syncs:3"],  # while the first checkpoint is written
        ["syncs:9", "syncs:10"],  # while others are, twice
    ],
)
def test_a_killed_run_ends_with_the_weights_of_one_that_never_was(points, unbroken, tmp_path):
    for point in points:
        assert train(tmp_path, point) == -signal.SIGKILL
    assert train(tmp_path) == 0
    expected = weights(unbroken)
    found = weights(tmp_path)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    steps = [line.step for line in read_lines(tmp_path / "metrics.jsonl").whole]
    assert steps == [0, 1, 2, 3, 4, 5]
    # What an update that was played again has recorded twice is read once.
    assert recorded(tmp_path) == recorded(unbroken)
