"""Runs whose skills evolve, killed for real at many points; they end as if they never had been."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.skills.versions import SkillVersions
from tests.forks import resumable_runs_of

Train = Callable[..., int]


@pytest.fixture(scope="module")
def train() -> Iterator[Train]:
    """Trains in a process of its own."""
    with resumable_runs_of("tests.trainers.evolving_process") as run:
        yield run


def versions(folder: Path) -> SkillVersions:
    return SkillVersions(folder / "evolution" / "skill_versions", folder / "evolution" / "skills")


def told(folder: Path) -> list[Any]:
    """The versions, but for the times and what follows from them."""
    log = versions(folder).log()
    numbers = {version.id: version.number for version in log}
    return [(v.number, numbers.get(v.parent or ""), v.note, v.bank_version, v.skills) for v in log]


def banks(folder: Path) -> list[Any]:
    """Wording and statistics of every bank that the run leaves."""
    places = (folder / "skills", folder / "last" / "skills", folder / "evolution" / "skills")
    return [
        [(s.name, s.description, s.instructions, s.statistics) for s in SkillBank.load(place)]
        for place in places
    ]


@pytest.fixture(scope="module")
def unbroken(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    assert train(folder) == 0
    return folder


@pytest.mark.slow
def test_a_stage_that_is_worse_is_rolled_back(unbroken: Path) -> None:
    log = versions(unbroken).log()
    assert [version.note.stage for version in log] == [0, 1, 2, 3, 4]
    by_id = {version.id: version for version in log}
    rewards = [version.note.reward for version in log]
    for version in log[1:]:
        parent = by_id[version.parent]
        earlier = rewards[: version.number - 1]
        assert parent.note.reward == max(earlier)  # each comes from the best before it
    assert any(version.parent != log[i].id for i, version in enumerate(log[1:]))
    assert any(len(version.skills) > 4 for version in log)
    assert SkillBank.load(unbroken / "last" / "skills").version == next(
        version.bank_version for version in log if version.note.reward == max(rewards)
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "points",
    [
        ["calls:40"],  # while an episode of the second stage is played
        ["designs:1"],  # while the designer is asked for the first time
        ["designs:3", "designs:2"],
        ["writes:14"],  # while checkpoints and versions are written
        ["writes:17", "writes:20", "writes:23"],
    ],
)
def test_a_killed_run_ends_with_the_same_skills_and_weights(
    points: list[str], train: Train, unbroken: Path, tmp_path: Path
) -> None:
    for point in points:
        assert train(tmp_path, point) == -signal.SIGKILL
    assert train(tmp_path) == 0
    weights = [
        load_file(folder / "last" / "controller" / "controller.safetensors")
        for folder in (unbroken, tmp_path)
    ]
    assert all(torch.equal(weights[1][name], weights[0][name]) for name in weights[0])
    assert banks(tmp_path) == banks(unbroken)
    assert told(tmp_path) == told(unbroken)
