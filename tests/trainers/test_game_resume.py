"""Runs over games that are killed for real, and go on; the real engine plays tiny games."""

import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from langgraph_memskill.alfworld.games import list_games
from langgraph_memskill.alfworld.pool import EnginePool
from langgraph_memskill.alfworld.replay import replay
from langgraph_memskill.trainers.metrics.reading import read_lines
from tests.alfworld.tiny_games import write_games
from tests.forks import Forks, two_forks_of

pytest.importorskip("alfworld", reason="the extra alfworld is not installed")

MARK = "MEMSKILL_TEST_RUN"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_games(tmp_path_factory.mktemp("games"), train=6)
    with EnginePool() as pool:
        replay(list_games(folder, "train"), folder / "train.json", pool, workers=2)
    return folder


@pytest.fixture(scope="module")
def forks() -> Iterator[tuple[Forks, Forks]]:
    with two_forks_of("tests.trainers.game_training_process") as forks:
        yield forks


def train(forks: tuple[Forks, Forks], data: Path, folder: Path, *point: str) -> int:
    """Train in a process, and see that no engine outlives it.

    A run goes on in another process, whose sets have another order.
    """
    mark = uuid.uuid4().hex
    done = forks[folder.exists()].run(
        data, data / "train.json", folder, *point, environment={MARK: mark}
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    deadline = time.monotonic() + 120
    while processes_with(mark):
        assert time.monotonic() < deadline, "an engine outlives the run"
        time.sleep(0.1)
    return done.returncode


def processes_with(mark: str) -> list[int]:
    """Those that were started with the mark in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            is_marked = entry.name.isdigit() and mark.encode() in (entry / "environ").read_bytes()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0] if is_marked else "Z"
        except OSError:  # it has ended meanwhile, or is somebody else's
            continue
        if state != "Z":
            found.append(int(entry.name))
    return found


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {
        f"{root}/{name}": tensor
        for root in ("controller", "last/controller")
        for name, tensor in load_file(folder / root / "controller.safetensors").items()
    }


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks at /proc")
def test_a_killed_run_ends_with_the_weights_of_one_that_never_was(
    forks: tuple[Forks, Forks], data: Path, tmp_path: Path
) -> None:
    unbroken, killed = tmp_path / "unbroken", tmp_path / "killed"
    assert train(forks, data, unbroken) == 0
    # An update plays two games of up to three commands.
    for point in ("steps:3", "steps:8"):  # in the first update, and in a later one
        assert train(forks, data, killed, point) == -signal.SIGKILL
    assert train(forks, data, killed) == 0
    expected, found = weights(unbroken), weights(killed)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    lines = [read_lines(folder / "metrics.jsonl").whole for folder in (unbroken, killed)]
    rewards = [[line.values["reward/total"] for line in each] for each in lines]
    assert [line.step for line in lines[1]] == [0, 1, 2]
    assert rewards[0] == rewards[1]
