"""A skill to start from, and a folder holding a small bank."""

from collections.abc import Callable
from pathlib import Path

import pytest

from langgraph_memskill.records import ActionType, Skill
from langgraph_memskill.skills.bank import SkillBank

MakeSkill = Callable[..., Skill]


@pytest.fixture
def make_skill() -> MakeSkill:
    def make(name: str = "track_dates", **changes: object) -> Skill:
        fields: dict[str, object] = {
            "description": f"Record what belongs to {name}.",
            "instructions": f"Write down {name}.",
            "action_type": ActionType.INSERT,
            "origin": "person",
        }
        return Skill(name=name, **(fields | changes))  # type: ignore[arg-type]

    return make


@pytest.fixture
def bank_folder(tmp_path: Path, make_skill: MakeSkill) -> Path:
    folder = tmp_path / "skills"
    SkillBank([make_skill("zeta"), make_skill("alpha")], capacity=9).save(folder)
    return folder
