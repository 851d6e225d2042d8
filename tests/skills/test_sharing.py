import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from langgraph_memskill.errors import ConflictError, SkillError
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.skills.sharing import export_skills, import_skills, read_shared
from langgraph_memskill.skills.version_files import read_bank_files
from langgraph_memskill.skills.version_records import VersionAuthor, VersionNote
from langgraph_memskill.skills.versions import VERSIONS_FOLDER, SkillVersions
from tests.skills.conftest import MakeSkill


def versions_of(root: Path, bank: SkillBank) -> SkillVersions:
    bank.save(root / "skills")
    versions = SkillVersions(root / VERSIONS_FOLDER, root / "skills")
    versions.load()
    return versions


@pytest.fixture
def theirs(tmp_path: Path, make_skill: MakeSkill) -> SkillVersions:
    bank = SkillBank([make_skill("alpha"), make_skill("beta")], capacity=7, protected=["alpha"])
    bank.record_reward("beta", 0.25)
    versions = versions_of(tmp_path / "theirs", bank)
    bank.refine("alpha", description="Designed.")
    note = VersionNote(author=VersionAuthor.DESIGNER, reason="better", model="m", reward=0.5)
    versions.activate(versions.record(bank, note).id)
    return versions


@pytest.fixture
def ours(tmp_path: Path, make_skill: MakeSkill) -> SkillVersions:
    return versions_of(tmp_path / "ours", SkillBank([make_skill("mine"), make_skill("alpha")]))


@pytest.fixture
def exported(tmp_path: Path, theirs: SkillVersions) -> Path:
    export_skills(theirs, tmp_path / "export")
    return tmp_path / "export"


def spoil(exported: Path, **fields: Any) -> None:
    file = exported / "manifest.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(document | fields), encoding="utf-8")


def test_an_export_is_a_bank_folder_with_a_manifest(exported: Path, theirs: SkillVersions) -> None:
    assert read_bank_files(exported) == read_bank_files(exported.parent / "theirs" / "skills")
    bank, manifest = read_shared(exported)
    assert manifest is not None
    assert (bank.names, bank.capacity, bank.protected) == (("alpha", "beta"), 7, {"alpha"})
    assert manifest.bank_version == bank.version
    assert manifest.statistics["beta"].recent_rewards == (0.25,)
    assert [(a.note.author, a.note.reward) for a in manifest.lineage] == [
        ("designer", 0.5),
        ("person", None),
    ]
    assert SkillBank.load(exported).names == ("alpha", "beta")


def test_an_earlier_version_can_be_exported(tmp_path: Path, theirs: SkillVersions) -> None:
    export_skills(theirs, tmp_path / "old", version="1")
    assert (
        read_shared(tmp_path / "old").bank["alpha"].description == "Record what belongs to alpha."
    )


def test_an_export_never_replaces_anything(exported: Path, theirs: SkillVersions) -> None:
    with pytest.raises(SkillError, match="holds something already"):
        export_skills(theirs, exported)
    (exported.parent / "empty").mkdir()
    export_skills(theirs, exported.parent / "empty")


def test_imported_skills_stand_beside_the_own(exported: Path, ours: SkillVersions) -> None:
    switch = import_skills(ours, exported)
    bank = ours.load()
    assert bank.names == ("alpha", "beta", "mine")
    assert bank["alpha"].description == "Designed."
    assert bank["beta"].statistics.recent_rewards == (0.25,)
    assert (bank.capacity, bank.protected) == (30, frozenset())
    assert switch.action == "import"
    assert str(exported) in ours.log()[-1].note.source


def test_a_strangers_settings_are_not_taken_over(
    tmp_path: Path, exported: Path, make_skill: MakeSkill
) -> None:
    own = SkillBank([make_skill("mine"), make_skill("alpha")], capacity=2, protected=["mine"])
    ours = versions_of(tmp_path / "ours", own)
    import_skills(ours, exported)
    bank = ours.load()
    # One more than the capacity of 2 came; theirs is 7, and protects alpha.
    assert (bank.capacity, bank.protected) == (3, {"mine"})


def test_without_a_manifest_only_texts_are_taken(exported: Path, ours: SkillVersions) -> None:
    (exported / "manifest.json").unlink()
    replace_text(exported / "beta" / "SKILL.md", "origin: person", "origin: seed")
    import_skills(ours, exported, unverified=True)
    bank = ours.load()
    assert bank["beta"].statistics.usage_count == 0
    assert bank["beta"].origin == "person"
    assert bank["alpha"].description == "Designed."


def test_an_import_can_replace_everything(exported: Path, ours: SkillVersions) -> None:
    import_skills(ours, exported, replace_all=True, keep_statistics=False)
    bank = ours.load()
    assert (bank.names, bank.capacity) == (("alpha", "beta"), 7)
    assert bank["beta"].statistics.usage_count == 0
    ours.rollback()
    assert ours.load().names == ("mine", "alpha")


def test_a_skill_that_others_add_during_an_import_stays(
    exported: Path, ours: SkillVersions, make_skill: MakeSkill, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = SkillVersions.record

    def late(versions: SkillVersions, *args: Any, **options: Any) -> Any:
        monkeypatch.undo()
        bank = versions.load()
        bank.add(make_skill("theirs"))
        note = VersionNote(author=VersionAuthor.PERSON, reason="another")
        versions.activate(record(versions, bank, note).id)
        return record(versions, *args, **options)

    monkeypatch.setattr(SkillVersions, "record", late)
    with pytest.raises(ConflictError, match="make the change again"):
        import_skills(ours, exported)
    assert ours.load().names == ("mine", "alpha", "theirs")


def test_a_folder_without_manifest_needs_to_be_asked_for(exported: Path) -> None:
    (exported / "manifest.json").unlink()
    with pytest.raises(SkillError, match="no manifest.json, so nothing says"):
        read_shared(exported)
    assert read_shared(exported, unverified=True).bank.names == ("alpha", "beta")


def replace_text(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: alpha", "name: ../alpha", "letters a-z"),
        ("name: alpha", "name: other", "the folder is called 'alpha'"),
        ("Write down alpha.", "Read {session_text} first.", "context placeholder"),
        ("action_type: insert", "action_type: drop", "action_type"),
        ("---\nname", "name", "front matter"),
    ],
)
@pytest.mark.parametrize("vouched", [True, False])
def test_a_skill_that_breaks_a_rule(
    exported: Path, ours: SkillVersions, old: str, new: str, message: str, vouched: bool
) -> None:
    before = read_bank_files(exported.parent / "ours" / "skills")
    replace_text(exported / "alpha" / "SKILL.md", old, new)
    if vouched:  # a manifest that fits is no proof of a good skill
        from langgraph_memskill.skills.sharing import _hash

        files = {name: _hash(text) for name, text in read_bank_files(exported).items()}
        spoil(exported, files=files)
    else:
        (exported / "manifest.json").unlink()
    with pytest.raises(SkillError, match=message):
        import_skills(ours, exported, unverified=not vouched)
    assert read_bank_files(exported.parent / "ours" / "skills") == before
    assert len(ours.log()) == 1


def test_a_designed_skill_that_deletes(exported: Path) -> None:
    (exported / "manifest.json").unlink()
    file = exported / "alpha" / "SKILL.md"
    replace_text(file, "origin: person", "origin: designer")
    replace_text(file, "action_type: insert", "action_type: delete")
    with pytest.raises(SkillError, match="action_type"):
        read_shared(exported, unverified=True)


def test_a_changed_file(exported: Path) -> None:
    replace_text(exported / "alpha" / "SKILL.md", "Write down alpha.", "Write down everything.")
    with pytest.raises(SkillError, match="alpha/SKILL.md was changed since it was exported"):
        read_shared(exported)


def test_a_missing_and_an_extra_file(exported: Path) -> None:
    shutil.copytree(exported / "alpha", exported / "gamma")
    shutil.rmtree(exported / "beta")
    with pytest.raises(SkillError, match=r"'beta/SKILL.md' is missing; 'gamma/SKILL.md' is not"):
        read_shared(exported)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": "other"}, "format 'other' version 1"),
        ({"format_version": 2}, "version 2; this package reads"),
        ({"files": {"../evil/SKILL.md": "0" * 64}}, r"'../evil/SKILL.md' is no file of a skill"),
        ({"files": {"a/../../SKILL.md": "0" * 64}}, "is no file of a skill bank"),
        ({"files": {"/etc/passwd": "0" * 64}}, "is no file of a skill bank"),
        ({"files": ["alpha/SKILL.md"]}, "files: Input should be a valid dictionary"),
        ({"bank_version": "0" * 16}, "bank_version: is '0000000000000000', but the skills are"),
        ({"exported_at": "yesterday"}, "exported_at: "),
    ],
)
def test_a_manifest_that_is_wrong(exported: Path, fields: dict[str, Any], message: str) -> None:
    spoil(exported, **fields)
    with pytest.raises(SkillError, match=message):
        read_shared(exported)


def test_a_manifest_that_is_no_json(exported: Path) -> None:
    (exported / "manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(SkillError, match="cannot be read as JSON"):
        read_shared(exported)


@pytest.mark.parametrize("link", ["alpha", "alpha/SKILL.md", "manifest.json"])
def test_a_link_is_refused(exported: Path, tmp_path: Path, link: str) -> None:
    (exported / link).rename(tmp_path / "outside")
    (exported / link).symlink_to(tmp_path / "outside")
    with pytest.raises(SkillError, match="is a link"):
        read_shared(exported)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
@pytest.mark.parametrize("unverified", [True, False])
def test_a_manifest_that_is_a_pipe(exported: Path, unverified: bool) -> None:
    (exported / "manifest.json").unlink()
    os.mkfifo(exported / "manifest.json")
    with pytest.raises(SkillError, match=r"manifest\.json is no regular file"):
        read_shared(exported, unverified=unverified)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SkillError, match="cannot be read"):
        read_shared(tmp_path / "nowhere")
