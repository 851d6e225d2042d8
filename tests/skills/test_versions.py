import json
from pathlib import Path

import pytest

from langgraph_memskill.errors import ConflictError, SkillError
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.skills.version_files import read_bank_files
from langgraph_memskill.skills.version_records import VersionAuthor, VersionNote
from langgraph_memskill.skills.versions import ROOT, VERSIONS_FOLDER, SkillVersions
from tests.skills.conftest import MakeSkill

DESIGNED = VersionNote(author=VersionAuthor.DESIGNER, reason="dates were lost", model="big")


@pytest.fixture
def versions(bank_folder: Path) -> SkillVersions:
    return SkillVersions(bank_folder.parent / VERSIONS_FOLDER, bank_folder)


def evolve(versions: SkillVersions, description: str) -> str:
    bank = versions.load()
    bank.refine("alpha", description=description, at="2026-01-02T03:04:05+00:00")
    return versions.activate(versions.record(bank, DESIGNED).id).version


def edit(file: Path, old: str, new: str) -> None:
    file.write_bytes(file.read_bytes().replace(old.encode(), new.encode()))


def test_nothing_is_made_by_looking(versions: SkillVersions, bank_folder: Path) -> None:
    assert (versions.current(), versions.log(), versions.switches()) == (None, [], [])
    assert not (bank_folder.parent / VERSIONS_FOLDER).exists()


def test_the_first_look_records_what_is_there(versions: SkillVersions) -> None:
    versions.load()
    (first,) = versions.log()
    assert (first.number, first.parent, first.skills) == (1, None, ("zeta", "alpha"))
    assert first.note.author == "person"  # the skills of this folder are a person's
    assert versions.current() == first


def test_packaged_skills_are_the_seeds(tmp_path: Path) -> None:
    SkillBank.seed("conversation").save(tmp_path / "skills")
    versions = SkillVersions(tmp_path / VERSIONS_FOLDER, tmp_path / "skills")
    versions.load()
    assert versions.log()[0].note.author == "seed"


def test_a_folder_that_was_always_broken_has_no_way_back(
    versions: SkillVersions, bank_folder: Path
) -> None:
    (bank_folder / "alpha" / "SKILL.md").write_text("no front matter", encoding="utf-8")
    with pytest.raises(SkillError, match=r"front matter: is missing[^\n]*$"):
        versions.load()
    with pytest.raises(SkillError, match="no earlier version"):
        versions.rollback()


def test_a_recorded_version_is_not_yet_in_use(versions: SkillVersions, bank_folder: Path) -> None:
    bank = versions.load()
    before = read_bank_files(bank_folder)
    bank.refine("alpha", description="Another text.")
    recorded = versions.record(bank, DESIGNED)
    assert versions.current() != recorded
    assert read_bank_files(bank_folder) == before
    assert recorded.parent == versions.log()[0].id
    assert recorded.note == DESIGNED


def test_recording_the_same_again_is_the_same_version(versions: SkillVersions) -> None:
    bank = versions.load()
    bank.refine("alpha", description="Another text.")
    assert versions.record(bank, DESIGNED) == versions.record(bank.copy(), DESIGNED)
    assert len(versions.log()) == 2


def test_activating_brings_the_folder_to_the_version(
    versions: SkillVersions, bank_folder: Path, make_skill: MakeSkill
) -> None:
    bank = versions.load()
    bank.remove("zeta")
    bank.add(make_skill("fresh"))
    version = versions.record(bank, DESIGNED)
    switch = versions.activate(version.id)
    assert (switch.action, switch.version, switch.previous) == (
        "evolve",
        version.id,
        version.parent,
    )
    assert SkillBank.load(bank_folder).names == ("alpha", "fresh")
    assert not (bank_folder / "zeta").exists()


def test_an_unchanged_skill_keeps_its_file_to_the_byte(
    versions: SkillVersions, bank_folder: Path
) -> None:
    odd = bank_folder / "zeta" / "SKILL.md"
    edit(odd, "name: zeta", "name:   zeta\r\nlicense: MIT")
    before = odd.read_bytes()
    evolve(versions, "Another text.")
    assert odd.read_bytes() == before


def test_foreign_keys_of_a_changed_skill_stay(versions: SkillVersions, bank_folder: Path) -> None:
    file = bank_folder / "alpha" / "SKILL.md"
    edit(file, "name: alpha", "name: alpha\nlicense: MIT")
    evolve(versions, "Another text.")
    assert "license: MIT" in file.read_text(encoding="utf-8")
    assert "Another text." in file.read_text(encoding="utf-8")


def test_rolling_back_restores_the_bytes(versions: SkillVersions, bank_folder: Path) -> None:
    edit(bank_folder / "zeta" / "SKILL.md", "name: zeta", "name:   'zeta'\r\nlicense: MIT")
    edit(bank_folder / "bank.json", '"capacity": 9', '"capacity":   8')
    versions.load()
    before = {p: p.read_bytes() for p in bank_folder.rglob("*") if p.is_file()}
    evolve(versions, "Another text.")
    evolve(versions, "Yet another text.")
    versions.rollback("v1")
    assert {p: p.read_bytes() for p in bank_folder.rglob("*") if p.is_file()} == before
    assert versions.load().capacity == 8


def test_rolling_back_without_a_name_goes_there_and_back(versions: SkillVersions) -> None:
    versions.load()
    first = versions.log()[0].id
    second = evolve(versions, "Another text.")
    assert versions.rollback().version == first
    assert versions.rollback().version == second


def test_a_rollback_needs_somewhere_to_go(versions: SkillVersions) -> None:
    versions.load()
    with pytest.raises(SkillError, match="no earlier version"):
        versions.rollback()
    with pytest.raises(SkillError, match="in use already"):
        versions.rollback("1")
    with pytest.raises(SkillError, match="no version of the skills is '7'; there are: v1"):
        versions.rollback("7")


def test_the_next_evolution_after_a_rollback_is_a_child_of_it(versions: SkillVersions) -> None:
    versions.load()
    evolve(versions, "Another text.")
    versions.rollback()
    evolve(versions, "A third text.")
    assert [version.parent for version in versions.log()] == [
        None,
        versions.log()[0].id,
        versions.log()[0].id,
    ]


def test_an_edit_by_hand_becomes_a_version(versions: SkillVersions, bank_folder: Path) -> None:
    versions.load()
    edit(bank_folder / "alpha" / "SKILL.md", "Write down alpha.", "Write down alpha well.")
    assert versions.load()["alpha"].instructions == "Write down alpha well."
    version = versions.log()[-1]
    assert version.note.author == "person"
    assert version.note.reason == "edited by hand: changed alpha"
    assert version.parent == versions.log()[0].id
    assert [switch.action for switch in versions.switches()] == ["start", "edit"]


def test_added_and_removed_files_are_edits_too(
    versions: SkillVersions, bank_folder: Path, make_skill: MakeSkill
) -> None:
    versions.load()
    (bank_folder / "zeta" / "SKILL.md").unlink()
    SkillBank([make_skill("mine")]).save(bank_folder.parent / "other")
    (bank_folder.parent / "other" / "mine").rename(bank_folder / "mine")
    version = versions.note_edits()
    assert version is not None
    assert version.note.reason == "edited by hand: added mine; removed zeta"
    assert versions.note_edits() is None


def test_an_edit_just_before_a_switch_is_not_lost(
    versions: SkillVersions, bank_folder: Path
) -> None:
    bank = versions.load()
    bank.refine("zeta", description="Another text.")
    designed = versions.record(bank, DESIGNED)
    edit(bank_folder / "alpha" / "SKILL.md", "Write down alpha.", "Mine.")
    versions.activate(designed.id)
    edited = next(v for v in versions.log() if v.note.author == "person" and v.number > 1)
    assert versions.bank(edited.id)["alpha"].instructions == "Mine."
    assert versions.load()["alpha"].instructions == "Write down alpha."


def test_a_switch_can_ask_for_the_version_it_is_based_on(
    versions: SkillVersions, bank_folder: Path
) -> None:
    bank = versions.load()
    base = versions.log()[0].id
    bank.refine("zeta", description="Another text.")
    designed = versions.record(bank, DESIGNED)
    edit(bank_folder / "alpha" / "SKILL.md", "Write down alpha.", "Mine.")
    with pytest.raises(ConflictError, match=f"not {base}"):
        versions.activate(designed.id, expected=base)
    assert versions.load()["alpha"].instructions == "Mine."


def test_activating_the_version_in_use_changes_nothing(versions: SkillVersions) -> None:
    version = evolve(versions, "Another text.")
    assert versions.activate(version, expected="0" * 16) == versions.switches()[-1]
    assert len(versions.switches()) == 2


def test_a_broken_edit_is_told_and_a_rollback_mends_it(
    versions: SkillVersions, bank_folder: Path
) -> None:
    versions.load()
    file = bank_folder / "alpha" / "SKILL.md"
    good = file.read_bytes()
    file.write_bytes(b"no front matter")
    with pytest.raises(SkillError, match="SKILL.md: front matter: is missing"):
        versions.load()
    assert versions.rollback().version == versions.log()[0].id
    assert file.read_bytes() == good
    (aside,) = (bank_folder.parent / VERSIONS_FOLDER / "set_aside").rglob("alpha/SKILL.md")
    assert aside.read_bytes() == b"no front matter"


def test_a_folder_that_was_moved_away_comes_back(
    versions: SkillVersions, bank_folder: Path
) -> None:
    versions.load()
    bank_folder.rename(bank_folder.parent / "elsewhere")
    assert versions.load().names == ("zeta", "alpha")


def test_other_files_in_the_folder_stay(versions: SkillVersions, bank_folder: Path) -> None:
    note = bank_folder / "zeta" / "notes.txt"
    note.write_text("mine", encoding="utf-8")
    bank = versions.load()
    bank.remove("zeta")
    versions.activate(versions.record(bank, DESIGNED).id)
    assert note.read_text(encoding="utf-8") == "mine"


def test_statistics_are_part_of_a_version(versions: SkillVersions) -> None:
    bank = versions.load()
    bank.record_reward("alpha", 0.5)
    version = versions.record(bank, DESIGNED)
    bank.record_reward("alpha", 1.0)
    assert versions.bank(version.id)["alpha"].statistics.recent_rewards == (0.5,)


def test_versions_without_a_skills_folder(tmp_path: Path, make_skill: MakeSkill) -> None:
    versions = SkillVersions(tmp_path / "v", tmp_path / "skills")
    first = versions.record(SkillBank([make_skill("one")]), DESIGNED)
    second = versions.record(SkillBank([make_skill("two")]), DESIGNED, parent=first.id)
    versions.activate(second.id)
    assert SkillBank.load(tmp_path / "skills").names == ("two",)


def test_an_edited_version_is_refused(versions: SkillVersions) -> None:
    version = evolve(versions, "Another text.")
    (file,) = versions._folder.glob(f"versions/{version}.json")
    document = json.loads(file.read_text(encoding="utf-8"))
    document["files"]["alpha/SKILL.md"] += "more"
    file.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(SkillError, match="does not hold what was recorded"):
        versions.files(version)


def test_a_newer_format_is_refused(versions: SkillVersions) -> None:
    versions.load()
    (versions._folder / "switches.json").write_text('{"format_version": 2}', encoding="utf-8")
    with pytest.raises(SkillError, match="format version 2; this package reads 1"):
        versions.load()


def test_a_version_can_have_no_parent(versions: SkillVersions, make_skill: MakeSkill) -> None:
    versions.load()
    assert versions.record(SkillBank([make_skill("other")]), DESIGNED, parent=ROOT).parent is None
