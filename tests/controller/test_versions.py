import os
from pathlib import Path

import pytest

from langgraph_memskill.controller.files import (
    SETTINGS_FILE,
    read_controller,
    save_controller,
    version_of,
)
from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.controller.versions import NO_CONTROLLER, ControllerVersions
from langgraph_memskill.errors import CheckpointError


def save(folder: Path, seed: int) -> str:
    policy = SkillPolicy(state_dim=8, skill_dim=4, hidden_dim=4, seed=seed)
    return save_controller(folder, policy, encoder_name="words").version


@pytest.fixture
def versions(tmp_path: Path) -> ControllerVersions:
    return ControllerVersions(tmp_path / "controller")


def test_the_version_is_known_before_saving(tmp_path: Path) -> None:
    policy = SkillPolicy(state_dim=8, skill_dim=4, hidden_dim=4, seed=1)
    assert save(tmp_path, 1) == version_of(policy, encoder_name="words")
    assert save(tmp_path, 2) != version_of(policy, encoder_name="words")
    assert save(tmp_path, 1) != version_of(policy, encoder_name="letters")


def test_promoting_keeps_the_one_before(tmp_path: Path, versions: ControllerVersions) -> None:
    first, second = save(tmp_path / "controller", 1), save(tmp_path / "new", 2)
    change = versions.promote(tmp_path / "new", note="better")
    assert (change.previous, change.version, change.note) == (first, second, "better")
    assert versions.current == second
    kept = tmp_path / "controller" / "versions" / first
    assert read_controller(kept).settings.version == first
    assert versions.log() == [change]


def test_rolling_back_and_forth(tmp_path: Path, versions: ControllerVersions) -> None:
    first, second = save(tmp_path / "one", 1), save(tmp_path / "two", 2)
    assert versions.current == NO_CONTROLLER
    versions.promote(tmp_path / "one")
    versions.promote(tmp_path / "two")
    assert versions.rollback().version == first
    assert versions.current == first
    assert versions.rollback(second[:6]).version == second
    assert versions.rollback(NO_CONTROLLER).previous == second
    assert versions.current == NO_CONTROLLER
    assert not (tmp_path / "controller" / SETTINGS_FILE).exists()
    assert [change.action for change in versions.log()] == ["promote"] * 2 + ["rollback"] * 3
    assert versions.rollback(first).version == first


def test_a_damaged_controller_is_not_promoted(tmp_path: Path, versions: ControllerVersions) -> None:
    first = save(tmp_path / "controller", 1)
    save(tmp_path / "new", 2)
    weights = tmp_path / "new" / "controller.safetensors"
    weights.write_bytes(weights.read_bytes()[:-50])
    with pytest.raises(CheckpointError, match="cut off"):
        versions.promote(tmp_path / "new")
    assert versions.current == first
    assert versions.log() == []


@pytest.mark.parametrize("wanted", ["ffff", "../..", ""])
def test_an_unknown_or_ambiguous_version(
    tmp_path: Path, versions: ControllerVersions, wanted: str
) -> None:
    first, second = save(tmp_path / "one", 1), save(tmp_path / "two", 2)
    versions.promote(tmp_path / "one")
    versions.promote(tmp_path / "two")
    with pytest.raises(CheckpointError, match=f"{min(first, second)}, {max(first, second)}"):
        versions.rollback(wanted)
    assert versions.current == second


def test_nothing_to_roll_back_to(tmp_path: Path, versions: ControllerVersions) -> None:
    first = save(tmp_path / "controller", 1)
    with pytest.raises(CheckpointError, match="none was ever promoted"):
        versions.rollback()
    assert versions.current == first


def test_the_one_in_use_is_refused(tmp_path: Path, versions: ControllerVersions) -> None:
    first = save(tmp_path / "one", 1)
    versions.promote(tmp_path / "one")
    with pytest.raises(CheckpointError, match="in use already"):
        versions.rollback(first)


def test_half_a_line_that_a_crash_left_is_passed_over(
    tmp_path: Path, versions: ControllerVersions
) -> None:
    save(tmp_path / "one", 1)
    change = versions.promote(tmp_path / "one")
    log = tmp_path / "controller" / "log.jsonl"
    log.write_text(log.read_text() + '{"at": "20')
    assert versions.log() == [change]
    back = versions.rollback()
    assert versions.log() == [change, back]


@pytest.mark.parametrize("place", range(12))
def test_a_crash_at_any_write_leaves_a_whole_controller(
    tmp_path: Path, versions: ControllerVersions, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    first, second = save(tmp_path / "controller", 1), save(tmp_path / "new", 2)
    left = place
    replace = os.replace

    def failing(*arguments: str) -> None:
        nonlocal left
        if left == 0:
            raise OSError(28, "No space left on device")
        left -= 1
        replace(*arguments)

    monkeypatch.setattr(os, "replace", failing)
    try:
        versions.promote(tmp_path / "new")
    except CheckpointError:
        assert left == 0
    monkeypatch.setattr(os, "replace", replace)
    assert versions.current in (first, second)
    versions.promote(tmp_path / "new")
    assert versions.current == second
    assert read_controller(tmp_path / "controller" / "versions" / second).settings.version == second
    assert versions.rollback(first).version == first
