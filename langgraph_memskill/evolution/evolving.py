"""One evolution of a bank from given cases: the function that training and memories call."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from langchain_core.language_models import BaseChatModel

from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.evolution.designer import Designer
from langgraph_memskill.evolution.diagnosis import Evidence
from langgraph_memskill.evolution.places import HeldBank
from langgraph_memskill.evolution.records import (
    CachedAnalysis,
    EvolutionResult,
    EvolutionStatus,
    FailedAttempt,
    HardCase,
    RejectedChange,
    SkillChange,
    StageFeedback,
)
from langgraph_memskill.evolution.settings import EvolutionSettings
from langgraph_memskill.evolution.state import EvolutionState, bank_of, cached_analysis
from langgraph_memskill.graphs.evolution import EvolutionParts, build_evolution_graph
from langgraph_memskill.records import Usage
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.state import dump, dump_all, load, load_all

_DEFAULTS = EvolutionSettings()


def evolve_bank(
    bank: SkillBank,
    cases: Sequence[HardCase],
    *,
    model: BaseChatModel,
    encoder: TextEncoder,
    settings: EvolutionSettings = _DEFAULTS,
    failed_attempts: Sequence[FailedAttempt] = (),
    feedback: StageFeedback | None = None,
    analysis: CachedAnalysis | None = None,
    evidence: Evidence | None = None,
) -> EvolutionResult:
    """Let the designer improve a bank (MemSkill, METHOD "Evolution"), without asking a person.

    Args:
        bank: Stays as it is; the result holds the changed copy.
        cases: Hard cases to choose from, such as `HardCasePool.cases()`.
        model: The designer: a chat model that can write; the extractive model cannot.
        encoder: Embeds questions for the clustering and descriptions to find copies.
        settings: Numbers of the evolution.
        failed_attempts: Changes that were tried since the best stage and made nothing better.
        feedback: What the last evolution was worth.
        analysis: Chosen cases and analysis to use again instead of choosing and analysing `cases`
            (of the best stage, after a rollback).
        evidence: Where the memories of the cases are; None leaves cases without a diagnosis as
            they are.

    Returns:
        What was changed, rejected and spent. A designer that cannot be called or understood gives
        the status "failed" and the bank as it was.

    Raises:
        ConfigError: If the model is no designer.
    """
    parts = _parts(bank, model, encoder, evidence)
    start = start_of(
        cases,
        designer=parts.designer.name,
        settings=settings,
        failed_attempts=failed_attempts,
        feedback=feedback,
        analysis=analysis,
    )
    final = build_evolution_graph(parts, checkpointer=False).invoke(start)
    return result_of(final)


async def aevolve_bank(
    bank: SkillBank,
    cases: Sequence[HardCase],
    *,
    model: BaseChatModel,
    encoder: TextEncoder,
    settings: EvolutionSettings = _DEFAULTS,
    failed_attempts: Sequence[FailedAttempt] = (),
    feedback: StageFeedback | None = None,
    analysis: CachedAnalysis | None = None,
    evidence: Evidence | None = None,
) -> EvolutionResult:
    """Like `evolve_bank`, without blocking the event loop."""
    parts = _parts(bank, model, encoder, evidence)
    start = start_of(
        cases,
        designer=parts.designer.name,
        settings=settings,
        failed_attempts=failed_attempts,
        feedback=feedback,
        analysis=analysis,
    )
    final = await build_evolution_graph(parts, checkpointer=False).ainvoke(start)
    return result_of(final)


def start_of(
    cases: Sequence[HardCase] | None = None,
    *,
    designer: str,
    settings: EvolutionSettings = _DEFAULTS,
    failed_attempts: Sequence[FailedAttempt] = (),
    feedback: StageFeedback | None = None,
    analysis: CachedAnalysis | None = None,
    approve: bool = False,
    evolution_id: str | None = None,
) -> EvolutionState:
    """Make the input of the evolution graph; arguments as for `evolve_bank`.

    Args:
        cases: None asks the graph's source.
        designer: Name of the designer's model.
        settings: Numbers of the evolution.
        failed_attempts: Changes that made nothing better.
        feedback: What the last evolution was worth.
        analysis: To use again.
        approve: Whether to interrupt the graph for a person's decision.
        evolution_id: Identifies the evolution; None makes a new id.
    """
    start: EvolutionState = {
        "id": evolution_id or uuid.uuid4().hex,
        "designer": designer,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": dump(settings),
        "approve": approve,
        "failed_attempts": dump_all(failed_attempts),
        "feedback": None if feedback is None else dump(feedback),
        "analysis": None,
        "chosen": [],
    }
    if analysis is not None:
        start["analysis"] = dump(analysis.analysis)
        start["chosen"] = dump_all(analysis.cases)
    if cases is not None:
        start["cases"] = dump_all(cases)
    return start


def result_of(final: EvolutionState | dict[str, Any]) -> EvolutionResult:
    """Read the result from the graph's final, or present, state, whose bank is collected."""
    before = bank_of(final["bank"])
    status = EvolutionStatus(final.get("status") or EvolutionStatus.WAITING)
    is_made = status is EvolutionStatus.APPLIED
    changes = load_all(SkillChange, final.get("changes") or [])
    return EvolutionResult(
        id=final["id"],
        status=status,
        before=before,
        after=bank_of(final["after"]) if is_made else before.copy(),
        changes=tuple(changes) if is_made or status is EvolutionStatus.WAITING else (),
        rejected=tuple(load_all(RejectedChange, final.get("rejected") or [])),
        analysis=cached_analysis(final),  # type: ignore[arg-type]  # what LangGraph returns is a dict
        reason=final.get("reason") or "",
        model=final["designer"],
        usage=load(Usage, final.get("usage") or {}),
        version=final.get("version"),
    )


def _parts(
    bank: SkillBank, model: BaseChatModel, encoder: TextEncoder, evidence: Evidence | None
) -> EvolutionParts:
    return EvolutionParts(
        designer=Designer(model), encoder=encoder, place=HeldBank(bank), evidence=evidence
    )
