from pathlib import Path

import pytest

from langgraph_memskill import MemSkillMemory
from langgraph_memskill.errors import ConfigError
from langgraph_memskill.settings import Settings
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.skills.packaged import SEED_NAMES


def edit(folder: Path) -> None:
    file = folder / "skills" / "insert" / "SKILL.md"
    text = file.read_text(encoding="utf-8")
    file.write_text(text + "\nAnd never forget a name.\n", encoding="utf-8")


def test_an_edit_is_taken_and_rolled_back_while_the_memory_is_open(
    tmp_path, model, encoder
) -> None:
    with MemSkillMemory.open(tmp_path / "m", model, encoder=encoder) as memory:
        bank, before = memory.skills, memory.skills.version
        edit(tmp_path / "m")
        memory.reload_skills()
        assert bank["insert"].instructions.endswith("never forget a name.")
        assert [version.note.author for version in memory.skill_versions()] == ["seed", "person"]
        memory.rollback_skills()
        assert bank.version == before


async def test_the_async_twins(tmp_path, model, encoder) -> None:
    memory = await MemSkillMemory.aopen(tmp_path / "m", model, encoder=encoder)
    with memory:
        edit(tmp_path / "m")
        await memory.areload_skills()
        await memory.aexport_skills(tmp_path / "export")
        await memory.arollback_skills("1")
        switch = await memory.aimport_skills(tmp_path / "export", replace_all=True)
        assert switch.action == "import"
        assert memory.skills["insert"].instructions.endswith("never forget a name.")
        assert len(await memory.askill_versions()) == 3


def test_the_next_run_uses_the_skills(tmp_path, model, encoder) -> None:
    with MemSkillMemory.open(tmp_path / "m", model, encoder=encoder) as memory:
        SkillBank([memory.skills["insert"]]).save(tmp_path / "one")
        memory.import_skills(tmp_path / "one", replace_all=True, unverified=True)
        memory.remember("remember the cat is grey", user_id="u")
        [found] = memory.memories(user_id="u")
        assert found.skills == ("insert",)


def test_a_memory_without_a_folder_has_no_versions(model, encoder) -> None:
    with (
        MemSkillMemory(model, encoder=encoder) as memory,
        pytest.raises(ConfigError, match="no folder, so its skills have no versions"),
    ):
        memory.skill_versions()


def test_seeds_can_be_protected(tmp_path, model, encoder) -> None:
    settings = Settings(protect_seeds=True)
    with MemSkillMemory.open(tmp_path / "m", model, encoder=encoder, settings=settings) as memory:
        assert memory.skills.protected == set(SEED_NAMES)
        memory.reload_skills()
        assert memory.skills.protected == set(SEED_NAMES)
