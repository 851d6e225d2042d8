"""One evolution of a bank from given cases: the function that training and memories call."""

from collections.abc import Sequence

from langchain_core.language_models import BaseChatModel

from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.evolution.records import (
    CachedAnalysis,
    EvolutionResult,
    FailedAttempt,
    HardCase,
    StageFeedback,
)
from langgraph_memskill.evolution.settings import EvolutionSettings
from langgraph_memskill.skills.bank import SkillBank

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

    Returns:
        What was changed, rejected and spent. A designer that cannot be called or understood gives
        the status "failed" and the bank as it was.

    Raises:
        ConfigError: If the model is no designer.
    """
    raise NotImplementedError


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
) -> EvolutionResult:
    """Like `evolve_bank`, without blocking the event loop."""
    raise NotImplementedError
