"""Runs that are killed for real, at many points, and go on."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from langgraph_memskill.traces.episodes import read_recorded
from langgraph_memskill.traces.reader import TraceReader
from langgraph_memskill.trainers.metrics.reading import read_lines
from tests.forks import resumable_runs_of

Train = Callable[..., int]


@pytest.fixture(scope="module")
def train() -> Iterator[Train]:
    """Trains in a process of its own."""
    with resumable_runs_of("tests.trainers.training_process") as run:
        yield run


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
def unbroken(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
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
def test_a_killed_run_ends_with_the_weights_of_one_that_never_was(
    points: list[str], train: Train, unbroken: Path, tmp_path: Path
) -> None:
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
