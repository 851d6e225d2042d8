"""Tiny games for the real engine, and the real games where the machine has them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from langgraph_memskill.alfworld.engine import Engine
from langgraph_memskill.alfworld.games import list_games
from langgraph_memskill.alfworld.pool import EnginePool
from langgraph_memskill.alfworld.records import GameFile
from tests.alfworld.tiny_games import write_games

pytest.importorskip("alfworld", reason="the extra alfworld is not installed")


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_games(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def games(tiny_data: Path) -> list[GameFile]:
    return list_games(tiny_data, "train")


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine() as engine:
        yield engine


@pytest.fixture
def pool() -> Iterator[EnginePool]:
    with EnginePool() as pool:
        yield pool


@pytest.fixture(scope="session")
def real_data() -> Path:
    folder = os.environ.get("MEMSKILL_DATA_DIR")
    if not folder or not (Path(folder) / "alfworld").is_dir():
        pytest.skip("MEMSKILL_DATA_DIR names no folder with alfworld/: the real games are missing")
    return Path(folder) / "alfworld"
