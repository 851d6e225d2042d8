"""Several processes that write the same memories of one folder."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.records import OUTDATED, UNPAID
from tests.forks import Forks, forks_of

NAMES = ("x", "y", "z")
START = "The tally is:"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forks_of("tests.writing.tally_process") as forks:
        yield forks


def run_all(forks: Forks, folder: Path, rounds: int, calls: int) -> list[dict[str, Any]]:
    """Run one process a name, all at once."""
    ended = forks.run_all([(folder, name, rounds, calls) for name in NAMES])
    assert [one.returncode for one in ended] == [0] * len(NAMES), ended
    return [json.loads(one.stdout) for one in ended]


@pytest.fixture
def folder(tmp_path: Path, encoder: Any, tally: Any) -> Path:
    with MemSkillMemory.open(tmp_path / "m", tally, encoder=encoder) as memory:
        memory.save(START, user_id="u")
    return tmp_path / "m"


def test_no_update_is_lost_and_a_fact_is_one_memory(
    forks: Forks, folder: Path, encoder: Any, tally: Any
) -> None:
    rounds = 3
    reports = run_all(forks, folder, rounds, calls=1000)
    reasons = [reason for report in reports for reason in report["failed"]]
    assert all(reason.startswith(OUTDATED) for reason in reasons)
    with MemSkillMemory.open(folder, tally, encoder=encoder) as memory:
        assert len(memory.failed()) == len(reasons)
        memory.retry_failed()
        shared, cats = sorted(memory.memories(user_id="u"), key=lambda m: m.content, reverse=True)
        marks = shared.content.removeprefix(START).split()
        assert sorted(marks) == [f"{name}{n}" for name in NAMES for n in range(rounds)]
        assert cats.content == "Ann has 2 grey cats"
        assert len(cats.sources) == len(NAMES) * rounds
        kinds = [str(change.kind) for change in memory.changes(user_id="u")]
        assert kinds.count("touch") == len(NAMES) * rounds - 1
        spent = memory.usage(user_id="u").total.calls
    assert spent == sum(report["calls"] for report in reports)


def test_a_users_budget_holds_for_all_processes_together(
    forks: Forks, folder: Path, encoder: Any, tally: Any
) -> None:
    reports = run_all(forks, folder, 3, calls=7)
    assert sum(report["calls"] for report in reports) == 7
    reasons = [reason for report in reports for reason in report["failed"]]
    assert any(reason.startswith(UNPAID) for reason in reasons)
    with MemSkillMemory.open(folder, tally, encoder=encoder) as memory:
        assert memory.usage(user_id="u").total.calls == 7
        assert len(memory.failed()) == len(reasons)
        memory.retry_failed()
        assert memory.failed() == []
        shared = next(m for m in memory.memories(user_id="u") if m.content.startswith(START))
        assert len(shared.content.removeprefix(START).split()) == 9
