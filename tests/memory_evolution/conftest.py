"""A memory in a folder, opened as often as a test likes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from langgraph_memskill.memory import MemSkillMemory
from tests.memory_evolution.feedback import Open


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "m"


@pytest.fixture
def open_memory(folder: Path, model: Any, encoder: Any) -> Iterator[Open]:
    opened: list[MemSkillMemory] = []

    def make() -> MemSkillMemory:
        opened.append(MemSkillMemory.open(folder, model, encoder=encoder))
        return opened[-1]

    yield make
    for memory in opened:
        memory.close()
