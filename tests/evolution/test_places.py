"""Banks that are replaced while others replace them, too."""

from pathlib import Path

import pytest

from langgraph_memskill.errors import SkillError
from langgraph_memskill.evolution.checking import Checked
from langgraph_memskill.evolution.places import EvolutionNote, FolderBank
from langgraph_memskill.evolution.records import ChangeAction, SkillChange
from langgraph_memskill.records import ActionType, Skill
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.skills.version_records import VersionAuthor, VersionNote
from langgraph_memskill.skills.versions import VERSIONS_FOLDER, SkillVersions

NOTE = EvolutionNote(id="e1", model="rules", reason="better")


@pytest.fixture
def versions(tmp_path: Path) -> SkillVersions:
    SkillBank.seed().save(tmp_path / "skills")
    return SkillVersions(tmp_path / VERSIONS_FOLDER, tmp_path / "skills")


def skill(name: str) -> Skill:
    return Skill(
        name=name,
        description=f"What belongs to {name}.",
        instructions=f"Write down {name}.",
        action_type=ActionType.INSERT,
        origin="designer",
    )


def with_skill(bank: SkillBank, name: str) -> Checked:
    bank.add(skill(name))
    change = SkillChange(action=ChangeAction.ADD_NEW, name=name, after=bank[name])
    return Checked(bank=bank, changes=(change,))


def others_add(folder: Path, name: str) -> None:
    """Another process puts a bank with one more skill to use."""
    other = SkillVersions(folder / VERSIONS_FOLDER, folder / "skills")
    bank = other.load()
    bank.add(skill(name))
    note = VersionNote(author=VersionAuthor.PERSON, reason=name)
    other.activate(other.record(bank, note).id)


def test_a_skill_that_others_add_meanwhile_stays(versions: SkillVersions, tmp_path: Path) -> None:
    made = []

    def make(bank: SkillBank) -> Checked:
        if not made:
            others_add(tmp_path, "theirs")
        made.append(bank.names)
        return with_skill(bank, "ours")

    placed = FolderBank(versions).change(NOTE, make)
    assert versions.load().names[4:] == ("theirs", "ours")
    assert placed.checked.bank.names[4:] == ("theirs", "ours")
    assert len(made) == 2


def test_a_bank_that_changes_all_the_time(versions: SkillVersions, tmp_path: Path) -> None:
    names = iter("abcdefgh")

    def make(bank: SkillBank) -> Checked:
        others_add(tmp_path, next(names))
        return with_skill(bank, "ours")

    with pytest.raises(SkillError, match="changed by others all the time"):
        FolderBank(versions).change(NOTE, make)
    assert "ours" not in versions.load()
