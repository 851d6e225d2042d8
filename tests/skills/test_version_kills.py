"""A process killed between any two writes leaves the old bank or the new one, never a mixture."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.skills.version_files import read_bank_files
from langgraph_memskill.skills.version_records import VersionAuthor, VersionNote
from langgraph_memskill.skills.versions import VERSIONS_FOLDER, SkillVersions
from tests.skills.conftest import MakeSkill

KILLED = 77
_PROGRAM = """
import os, sys
from pathlib import Path
from langgraph_memskill.skills.versions import SkillVersions

root, version, deaths = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
left = deaths

def dying(call):
    def before(*args, **options):
        global left
        if left == 0:
            os._exit(77)
        left -= 1
        return call(*args, **options)
    return before

os.replace, Path.unlink, os.fsync = dying(os.replace), dying(Path.unlink), dying(os.fsync)
versions = SkillVersions(root / "skill_versions", root / "skills")
if version == "rollback":
    versions.rollback("1")
else:
    versions.activate(version)
"""
NOTE = VersionNote(author=VersionAuthor.DESIGNER, reason="better")


def run(root: Path, version: str, deaths: int) -> int:
    command = [sys.executable, "-c", _PROGRAM, str(root), version, str(deaths)]
    return subprocess.run(command, check=False, env=dict(os.environ)).returncode


def prepared(root: Path, make_skill: MakeSkill) -> tuple[SkillVersions, str]:
    SkillBank([make_skill("alpha"), make_skill("beta"), make_skill("gone")]).save(root / "skills")
    versions = SkillVersions(root / VERSIONS_FOLDER, root / "skills")
    bank = versions.load()
    bank.remove("gone")
    bank.refine("alpha", description="Another text.")
    bank.refine("beta", description="Yet another text.")
    bank.add(make_skill("fresh"))
    return versions, versions.record(bank, NOTE).id


@pytest.mark.slow
def test_kills_between_any_two_writes(tmp_path: Path, make_skill: MakeSkill) -> None:
    deaths, outcomes = 0, []
    while True:
        versions, new = prepared(tmp_path / str(deaths), make_skill)
        old = versions.log()[0].id
        whole = [versions.files(old), versions.files(new)]
        code = run(tmp_path / str(deaths), new, deaths)
        bank = versions.load()
        files = read_bank_files(tmp_path / str(deaths) / "skills")
        assert files in whole
        current = versions.current()
        assert current is not None
        assert files == versions.files(current.id)
        assert bank.version == current.bank_version
        assert len(versions.log()) == 2  # nothing half done was taken for an edit
        assert not list((tmp_path / str(deaths) / "skills").rglob("*.tmp"))
        outcomes.append(current.id == new)
        if code == 0:
            break
        assert code == KILLED
        deaths += 1
    assert outcomes == sorted(outcomes)  # from some write on it is always the new bank
    assert outcomes[0] is False
    assert len(outcomes) > 12


@pytest.mark.slow
def test_a_killed_rollback_of_broken_files_is_brought_to_its_end(
    tmp_path: Path, make_skill: MakeSkill
) -> None:
    deaths, ends = 0, []
    while True:
        root = tmp_path / str(deaths)
        versions, new = prepared(root, make_skill)
        versions.activate(new)
        (root / "skills" / "alpha" / "SKILL.md").write_bytes(b"broken")
        code = run(root, "rollback", deaths)
        if not versions._switches().settled:
            versions.load()
            assert read_bank_files(root / "skills") == versions.files("1")
        ends.append(code)
        if code == 0:
            break
        deaths += 1
    assert set(ends[:-1]) == {KILLED}
    assert len(ends) > 10
