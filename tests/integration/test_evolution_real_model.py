"""The evolution graph survives a bad designer: SmolLM2 in the process and behind an endpoint."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from langgraph_memskill.errors import ModelCallError
from langgraph_memskill.evolution.evolving import evolve_bank
from langgraph_memskill.evolution.records import CaseMemory, EvolutionStatus, HardCase
from langgraph_memskill.evolution.settings import EvolutionSettings
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.models import load_model
from langgraph_memskill.models.local_model import LocalChatModel, bundled_gguf
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.skills.lint import lint
from langgraph_memskill.skills.rules import LintLevel
from tests.integration.small_server import small_server

pytestmark = pytest.mark.slow
SETTINGS = EvolutionSettings(num_clusters=2, cases_per_cluster=1, reflection_rounds=1, attempts=2)


@pytest.fixture(scope="module")
def gguf() -> Path:
    pytest.importorskip("xllamacpp", reason="the extra [local] brings llama.cpp")
    try:
        return Path(bundled_gguf())
    except ModelCallError as error:
        pytest.skip(f"no small model at hand: {error}")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with small_server(context=8192, reply=200) as address:
        yield address


def small_bank() -> SkillBank:
    bank = SkillBank.seed()
    for name in ("delete", "noop"):
        bank.remove(name)
    return bank


def cases() -> list[HardCase]:
    shown = (CaseMemory(id="m", content="Ann likes tea."),)
    return [
        HardCase(id="a", question="When did Ann move?", expected="in May 2023", memories=shown),
        HardCase(id="b", question="Where does Ben live?", expected="in Porto", memories=shown),
    ]


def test_whatever_the_model_says_the_bank_is_valid(
    endpoint: str, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("langgraph_memskill.models.loading._TIMEOUT_S", 900.0)
    bank = small_bank()
    before = bank.to_json()
    model = load_model(endpoint)
    result = evolve_bank(bank, cases(), model=model, encoder=encoder, settings=SETTINGS)
    assert bank.to_json() == before
    assert result.usage.calls >= 2
    assert result.status is not EvolutionStatus.WAITING
    assert result.reason
    assert result.no_change == (result.after.to_json() == before)
    assert not [issue for issue in lint(result.after) if issue.level is LintLevel.ERROR]


def test_a_model_whose_context_is_too_small_changes_nothing(
    make_memory: Callable[..., MemSkillMemory], gguf: Path
) -> None:
    local = LocalChatModel(model_path=gguf, max_tokens=64, n_ctx=512, n_threads=1)
    memory = make_memory(model=local, skills=small_bank())
    memory.add_hard_cases(cases())
    before = memory.skills.version
    result = memory.evolve(settings=SETTINGS)
    assert result.status is EvolutionStatus.FAILED
    assert memory.skills.version == before
    assert memory.pending_evolutions() == []
