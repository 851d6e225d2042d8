"""A process killed between any two writes leaves the old bank or the new one, never a mixture."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.skills.version_files import read_bank_files
from langgraph_memskill.skills.version_records import VersionAuthor, VersionNote
from langgraph_memskill.skills.versions import VERSIONS_FOLDER, SkillVersions
from tests.forks import Forks, forks_of
from tests.skills.conftest import MakeSkill
from tests.skills.version_process import KILLED

NOTE = VersionNote(author=VersionAuthor.DESIGNER, reason="better")


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forks_of("tests.skills.version_process") as forks:
        yield forks


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
def test_kills_between_any_two_writes(forks: Forks, tmp_path: Path, make_skill: MakeSkill) -> None:
    deaths, outcomes = 0, []
    while True:
        versions, new = prepared(tmp_path / str(deaths), make_skill)
        old = versions.log()[0].id
        whole = [versions.files(old), versions.files(new)]
        code = forks.run(tmp_path / str(deaths), new, deaths).returncode
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
    forks: Forks, tmp_path: Path, make_skill: MakeSkill
) -> None:
    deaths, ends = 0, []
    while True:
        root = tmp_path / str(deaths)
        versions, new = prepared(root, make_skill)
        versions.activate(new)
        (root / "skills" / "alpha" / "SKILL.md").write_bytes(b"broken")
        code = forks.run(root, "rollback", deaths).returncode
        if not versions._switches().settled:
            versions.load()
            assert read_bank_files(root / "skills") == versions.files("1")
        ends.append(code)
        if code == 0:
            break
        deaths += 1
    assert set(ends[:-1]) == {KILLED}
    assert len(ends) > 10
