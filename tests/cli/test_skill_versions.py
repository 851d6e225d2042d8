import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.skills.version_files import read_bank_files
from langgraph_memskill.skills.version_records import VersionAuthor, VersionNote
from langgraph_memskill.skills.versions import SkillVersions

Run = Callable[..., Result]


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    """What the commands look at of a memory folder, with two versions."""
    folder = tmp_path / "memdir"
    SkillBank.seed().save(folder / "skills")
    (folder / "memory.json").write_text("{}", encoding="utf-8")
    versions = SkillVersions(folder / "skill_versions", folder / "skills")
    bank = versions.load()
    bank.refine("insert", description="Store new facts with their dates, always.")
    note = VersionNote(
        author=VersionAuthor.DESIGNER, reason="dates \x1b[31mwere lost", model="big", reward=0.25
    )
    versions.activate(versions.record(bank, note).id)
    return folder


def test_the_log(run: Run, memory: Path) -> None:
    lines = run("skills", "log", "--folder", memory).stdout.splitlines()
    assert lines[0].split()[:2] == ["v1", lines[0].split()[1]]
    assert "seed" in lines[0]
    assert lines[1].startswith("●")
    assert "from v1" in lines[1]
    assert "designer (big)" in lines[1]
    assert "reward 0.250" in lines[1]
    assert "dates \\x1b[31mwere lost" in lines[1]
    assert lines[-1] == "2 versions; ● is in use"


def test_the_log_as_json(run: Run, memory: Path) -> None:
    document = json.loads(run("skills", "log", "--folder", memory, "--json").stdout)
    assert [version["number"] for version in document["versions"]] == [1, 2]
    assert document["current"] == document["versions"][1]["id"]
    assert [switch["action"] for switch in document["switches"]] == ["start", "evolve"]


def test_the_log_notices_an_edit(run: Run, memory: Path) -> None:
    file = memory / "skills" / "noop" / "SKILL.md"
    file.write_text(file.read_text(encoding="utf-8") + "\nReally nothing.\n", encoding="utf-8")
    lines = run("skills", "log", "--folder", memory).stdout.splitlines()
    assert "edited by hand: changed noop" in lines[2]


def test_the_difference(run: Run, memory: Path) -> None:
    shown = run("skills", "diff", "--folder", memory).stdout.splitlines()
    assert shown[0].startswith("v1 ")
    assert "insert: changed" in shown
    assert "  +description: Store new facts with their dates, always." in shown
    document = json.loads(run("skills", "diff", "v2", "v1", "--folder", memory, "--json").stdout)
    assert document["skills"][0]["name"] == "insert"
    assert any(line.startswith("-description: Store new") for line in document["skills"][0]["diff"])
    assert run("skills", "diff", "2", "--folder", memory).stdout.endswith("no difference\n")


def test_rolling_back(run: Run, memory: Path) -> None:
    versions = SkillVersions(memory / "skill_versions", memory / "skills")
    shown = run("skills", "rollback", "--folder", memory).stdout
    assert shown == f"v2 {versions.log()[1].id} → v1 {versions.log()[0].id}\n"
    assert read_bank_files(memory / "skills") == versions.files("1")
    failed = run("skills", "rollback", "v1", "--folder", memory)
    assert failed.exit_code == 1
    assert "in use already" in failed.stderr


def test_a_broken_file_does_not_hide_the_versions(run: Run, memory: Path) -> None:
    file = memory / "skills" / "noop" / "SKILL.md"
    text = file.read_text(encoding="utf-8")
    file.write_text("no front matter", encoding="utf-8")
    shown = run("skills", "log", "--folder", memory)
    assert shown.stdout.splitlines()[-1] == "2 versions; ● is in use"
    assert "noop/SKILL.md: front matter: is missing" in shown.stderr
    assert "memskill skills rollback" in shown.stderr
    different = run("skills", "diff", "--folder", memory)
    assert "insert: changed" in different.stdout.splitlines()
    assert "memskill skills rollback" in different.stderr
    listed = run("skills", "list", "--folder", memory)
    assert listed.exit_code == 1
    assert "memskill skills rollback" in listed.stderr
    assert run("skills", "rollback", "--folder", memory).exit_code == 0
    assert file.read_text(encoding="utf-8") == text


def test_protecting(run: Run, memory: Path) -> None:
    assert run("skills", "protect", "--seeds", "--folder", memory).stdout == (
        "protected: delete, insert, noop, update\n"
    )
    assert SkillBank.load(memory / "skills").protected == set(SkillBank.seed().names)
    unprotected = run("skills", "unprotect", "noop", "--folder", memory, "--json")
    assert json.loads(unprotected.stdout) == {"protected": ["delete", "insert", "update"]}
    failed = run("skills", "protect", "nonsense", "--folder", memory)
    assert failed.exit_code == 1
    assert "no skill 'nonsense'" in failed.stderr
    assert len(SkillVersions(memory / "skill_versions", memory / "skills").log()) == 4


def test_what_others_change_while_a_skill_is_protected(
    run: Run, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = SkillVersions.record

    def late(versions: SkillVersions, *args: Any, **options: Any) -> Any:
        monkeypatch.undo()
        versions.rollback()
        return record(versions, *args, **options)

    monkeypatch.setattr(SkillVersions, "record", late)
    failed = run("skills", "protect", "noop", "--folder", memory)
    assert failed.exit_code == 1
    assert "make the change again" in failed.stderr
    versions = SkillVersions(memory / "skill_versions", memory / "skills")
    assert versions.load().protected == set()
    assert versions.switches()[-1].action == "rollback"


def test_export_and_import(run: Run, memory: Path, tmp_path: Path) -> None:
    shown = run("skills", "export", tmp_path / "mine", "--folder", memory).stdout
    assert shown.startswith("wrote 4 skills (version ")
    run("skills", "rollback", "--folder", memory)
    imported = run("skills", "import", tmp_path / "mine", "--folder", memory)
    assert "insert: changed" in imported.stdout
    assert SkillBank.load(memory / "skills")["insert"].description.endswith("always.")


def test_a_bad_import_changes_nothing(run: Run, memory: Path, tmp_path: Path) -> None:
    before = read_bank_files(memory / "skills")
    SkillBank.seed().save(tmp_path / "strange")
    failed = run("skills", "import", tmp_path / "strange", "--folder", memory)
    assert failed.exit_code == 1
    assert "no manifest.json" in failed.stderr
    assert read_bank_files(memory / "skills") == before


def test_versions_of_a_training_run(run: Run, tmp_path: Path) -> None:
    versions = SkillVersions(tmp_path / "run" / "skill_versions", tmp_path / "run" / "skills")
    versions.record(SkillBank.seed(), VersionNote(author=VersionAuthor.SEED, reason="x", stage=0))
    assert "v1" in run("skills", "log", "--folder", tmp_path / "run").stdout


def test_a_folder_without_versions(run: Run, tmp_path: Path) -> None:
    failed = run("skills", "log", "--folder", tmp_path)
    assert failed.exit_code == 1
    assert "there is no memory in the folder" in failed.stderr
