"""A bank on disk: byte stability, order, edits by others, and what is never deleted."""

import json
from pathlib import Path

import pytest

from langgraph_memskill.errors import SkillError
from langgraph_memskill.records import SkillStatistics
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.skills.files import SKILL_FILE


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_a_saved_bank_is_loaded_in_its_order(bank_folder):
    assert sorted(contents(bank_folder)) == ["alpha/SKILL.md", "bank.json", "zeta/SKILL.md"]
    bank = SkillBank.load(bank_folder)
    assert bank.names == ("zeta", "alpha")
    assert bank.capacity == 9
    assert bank.new_names == frozenset()


def test_everything_but_the_new_names_survives(tmp_path, make_skill):
    bank = SkillBank([make_skill("b"), make_skill("a")], capacity=5, protected=["a"])
    bank.record_reward("b", 1 / 3)
    bank.refine("a", description="New words.")
    bank.save(tmp_path)
    again = SkillBank.load(tmp_path)
    assert again.to_json() == bank.to_json()
    assert again.new_names == frozenset()


def test_the_same_bank_gives_the_same_bytes(tmp_path, bank_folder):
    first = contents(bank_folder)
    bank = SkillBank.load(bank_folder)
    bank.save(bank_folder)
    bank.save(tmp_path / "copy")
    SkillBank.from_json(bank.to_json()).save(tmp_path / "other")
    assert contents(bank_folder) == first
    assert contents(tmp_path / "copy") == first
    assert contents(tmp_path / "other") == first


def test_unchanged_files_are_not_written_again(bank_folder):
    before = (bank_folder / "alpha" / SKILL_FILE).stat().st_ino
    bank = SkillBank.load(bank_folder)
    bank.record_reward("zeta", 1.0)
    bank.save(bank_folder)
    assert (bank_folder / "alpha" / SKILL_FILE).stat().st_ino == before


def test_a_folder_made_by_hand_is_read_in_name_order(bank_folder):
    (bank_folder / "bank.json").unlink()
    (bank_folder / ".git").mkdir()
    (bank_folder / "notes").mkdir()
    (bank_folder / "README.md").write_text("Our skills.")
    bank = SkillBank.load(bank_folder)
    assert bank.names == ("alpha", "zeta")
    assert bank.capacity == 30


def test_a_skill_added_by_hand_comes_last_and_survives_a_save(bank_folder, make_skill, tmp_path):
    bank = SkillBank.load(bank_folder)
    SkillBank([make_skill("hand_made")]).save(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "hand_made").rename(bank_folder / "hand_made")
    bank.record_reward("zeta", 1.0)
    bank.save(bank_folder)
    assert SkillBank.load(bank_folder).names == ("zeta", "alpha", "hand_made")


def test_a_skill_saved_by_another_process_survives(bank_folder, make_skill):
    ours, theirs = SkillBank.load(bank_folder), SkillBank.load(bank_folder)
    theirs.add(make_skill("theirs"))
    theirs.save(bank_folder)
    ours.add(make_skill("ours"))
    ours.save(bank_folder)
    assert SkillBank.load(bank_folder).names == ("zeta", "alpha", "ours", "theirs")


def test_a_skill_deleted_by_hand_is_gone_after_loading(bank_folder):
    (bank_folder / "zeta" / SKILL_FILE).unlink()
    assert SkillBank.load(bank_folder).names == ("alpha",)


def test_skills_that_left_the_bank_leave_the_folder(bank_folder):
    bank = SkillBank.load(bank_folder)
    bank.remove("zeta")
    bank.save(bank_folder)
    assert sorted(contents(bank_folder)) == ["alpha/SKILL.md", "bank.json"]
    assert not (bank_folder / "zeta").exists()


def test_they_leave_a_folder_made_by_hand_too(bank_folder):
    (bank_folder / "bank.json").unlink()
    bank = SkillBank.load(bank_folder)
    bank.remove("zeta")
    bank.save(bank_folder)
    assert SkillBank.load(bank_folder).names == ("alpha",)


def test_other_files_beside_a_removed_skill_stay(bank_folder):
    (bank_folder / "zeta" / "examples.txt").write_text("mine")
    bank = SkillBank.load(bank_folder)
    bank.remove("zeta")
    bank.save(bank_folder)
    assert contents(bank_folder / "zeta") == {"examples.txt": b"mine"}
    assert SkillBank.load(bank_folder).names == ("alpha",)


def test_a_rolled_back_bank_replaces_the_saved_one(bank_folder, make_skill):
    bank = SkillBank.load(bank_folder)
    snapshot = bank.to_json()
    before = contents(bank_folder)
    bank.add(make_skill("failed_idea"))
    bank.refine("alpha", description="Worse words.")
    bank.save(bank_folder)
    SkillBank.from_json(snapshot).save(bank_folder)
    assert contents(bank_folder) == before


def test_an_edit_by_hand_is_not_overwritten(bank_folder):
    bank = SkillBank.load(bank_folder)
    edit(bank_folder / "alpha" / SKILL_FILE, "Write down alpha.", "Edited by hand.")
    before = contents(bank_folder)
    bank.record_reward("zeta", 1.0)
    with pytest.raises(SkillError, match=r"alpha/SKILL.md was edited since"):
        bank.save(bank_folder)
    assert contents(bank_folder) == before, "nothing may be written when a save is refused"
    bank.save(bank_folder, overwrite=True)
    assert SkillBank.load(bank_folder)["alpha"].instructions == "Write down alpha."


def test_an_edit_by_hand_is_taken_by_loading(bank_folder):
    edit(bank_folder / "alpha" / SKILL_FILE, "Write down alpha.", "Edited by hand.")
    bank = SkillBank.load(bank_folder)
    bank.record_reward("alpha", 1.0)
    bank.save(bank_folder)
    assert SkillBank.load(bank_folder)["alpha"].instructions == "Edited by hand."


def test_statistics_of_another_process_are_no_conflict(bank_folder):
    ours, theirs = SkillBank.load(bank_folder), SkillBank.load(bank_folder)
    theirs.record_reward("alpha", 0.5)
    theirs.save(bank_folder)
    ours.save(bank_folder)
    assert SkillBank.load(bank_folder)["alpha"].statistics == SkillStatistics()


def test_a_copy_notices_edits_too(bank_folder):
    copy = SkillBank.load(bank_folder).copy()
    edit(bank_folder / "alpha" / SKILL_FILE, "Write down alpha.", "Edited by hand.")
    with pytest.raises(SkillError, match="was edited since"):
        copy.save(bank_folder)


def test_a_broken_file_is_not_overwritten(bank_folder):
    bank = SkillBank.load(bank_folder)
    bank.refine("zeta", description="New words.")
    (bank_folder / "alpha" / SKILL_FILE).write_text("half an edit")
    before = contents(bank_folder)
    with pytest.raises(SkillError, match=r"alpha/SKILL.md is broken.*front matter: is missing"):
        bank.save(bank_folder)
    assert contents(bank_folder) == before
    bank.save(bank_folder, overwrite=True)
    assert SkillBank.load(bank_folder).version == bank.version


def test_all_broken_files_are_in_one_message(bank_folder):
    edit(bank_folder / "alpha" / SKILL_FILE, "action_type: insert", "action_type: merge")
    edit(bank_folder / "zeta" / SKILL_FILE, "usage_count: 0", "usage_count: few")
    with pytest.raises(SkillError) as caught:
        SkillBank.load(bank_folder)
    message = str(caught.value)
    assert message.startswith("2 problems in ")
    assert f"- {bank_folder}/alpha/SKILL.md: metadata.action_type: " in message
    assert f"- {bank_folder}/zeta/SKILL.md: metadata.statistics.usage_count: " in message


def test_one_broken_file_is_a_one_line_message(bank_folder):
    edit(bank_folder / "alpha" / SKILL_FILE, "name: alpha", "name: zeta")
    with pytest.raises(SkillError) as caught:
        SkillBank.load(bank_folder)
    assert str(caught.value).startswith(f"{bank_folder}/alpha/SKILL.md: name: is 'zeta'")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"format_version": 2}, "format_version"),
        ({"capacity": 0}, "capacity"),
        ({"capacity": 1_000_000_000}, "capacity"),
        ({"capacity": True}, "capacity"),
        ({"order": "zeta"}, "order"),
        ({"order": ["../../etc"]}, "order"),
        ({"protected": [5]}, "protected"),
    ],
)
def test_a_broken_bank_file_names_the_field(bank_folder, changes, field):
    file = bank_folder / "bank.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(SkillError, match=rf"bank\.json: {field}: "):
        SkillBank.load(bank_folder)


@pytest.mark.parametrize("text", ["{", "[1]", "\xff"])
def test_a_bank_file_that_is_no_json_object(bank_folder, text):
    (bank_folder / "bank.json").write_text(text, encoding="latin-1")
    with pytest.raises(SkillError, match=r"bank\.json"):
        SkillBank.load(bank_folder)


def test_an_empty_bank_is_a_bank(tmp_path):
    SkillBank(capacity=4).save(tmp_path / "empty")
    assert SkillBank.load(tmp_path / "empty").capacity == 4


def test_folders_that_are_no_bank(tmp_path, bank_folder):
    with pytest.raises(SkillError, match="cannot be read as a folder of skills: No such file"):
        SkillBank.load(tmp_path / "absent")
    with pytest.raises(SkillError, match="holds no skills"):
        SkillBank.load(tmp_path)
    with pytest.raises(SkillError, match="is the folder of one skill; give the folder above"):
        SkillBank.load(bank_folder / "alpha")
    with pytest.raises(SkillError, match="Not a directory"):
        SkillBank.load(bank_folder / "bank.json")


def test_a_bank_cannot_be_saved_into_a_file(bank_folder):
    bank = SkillBank.load(bank_folder)
    with pytest.raises(SkillError, match="is not a folder"):
        bank.save(bank_folder / "bank.json")


def test_names_that_are_one_folder_on_some_systems(tmp_path, make_skill):
    bank = SkillBank([make_skill("Beta"), make_skill("beta")])
    with pytest.raises(SkillError, match="differ only in case"):
        bank.save(tmp_path)
    assert list(tmp_path.iterdir()) == []
