"""The questions of a run that the memories did not help with, as cases that skills evolve from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from langgraph_memskill.benchmarks.run_log import BuildLog, ItemLog, RunLog
from langgraph_memskill.benchmarks.running.builds import BuildCache
from langgraph_memskill.errors import ConfigError
from langgraph_memskill.evolution.diagnosis import GivenMemories, case_memories, diagnose_all
from langgraph_memskill.evolution.records import (
    CaseDiagnosis,
    CaseMemory,
    FailureCause,
    HardCase,
    Metric,
)
from langgraph_memskill.records import Memory

_ROWS = ("controller", "similarity", "all", "random")
"""Rows whose memories are written with skills, the likest to a memory in use first."""
_NOT_KEPT = CaseDiagnosis(
    cause=FailureCause.UNKNOWN,
    evidence="The memories that were asked are not kept any more.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCases:
    """What a run says of the skills."""

    row: str
    failed: tuple[HardCase, ...]
    """With their diagnoses."""
    answered: frozenset[str]
    """Ids of the questions that were answered well: they are no hard cases any more."""


def row_of_cases(rows: Sequence[str]) -> str:
    """The row whose failures the skills answer for.

    Args:
        rows: Names of the rows of a run.

    Raises:
        ConfigError: If no row writes memories with skills.
    """
    for name in _ROWS:
        if name in rows:
            return name
    raise ConfigError(
        f"no row of {', '.join(rows)} writes memories with skills, so there is nothing that skills "
        f"could learn: add one of {', '.join(_ROWS)} to --rows"
    )


def run_cases(log: RunLog, row: str, cache: BuildCache) -> RunCases:
    """Tell the questions of a row that were answered badly from those answered well.

    With a judge less than 1 is a failure, and else a token F1 below 0.5 (METHOD, "Evolution").
    Questions without a score, and those whose model call failed, are neither.

    Args:
        log: The run.
        row: Name of its row.
        cache: All memories of the row, for the diagnosis.

    Raises:
        ConfigError: If the run has no such row.
    """
    found = next((entry for entry in log.rows if entry.name == row), None)
    if found is None:
        raise ConfigError(f"the run has no row {row!r}: it has {[r.name for r in log.rows]}")
    items: dict[str, list[ItemLog]] = {}
    for item in found.items:
        items.setdefault(item.sample, []).append(item)
    failed: list[HardCase] = []
    answered: set[str] = set()
    for build in found.builds:
        kept = cache.load(build.key)
        memories = None if kept is None else kept.memories
        cases = [_case(log, build, item, memories) for item in items.get(build.sample, ())]
        known = [case for case in cases if case is not None]
        bad = [case for case in known if case.metric.is_failure(case.score)]
        answered |= {case.id for case in known} - {case.id for case in bad}
        failed += _diagnosed(bad, memories)
    return RunCases(row=row, failed=tuple(failed), answered=frozenset(answered))


def _diagnosed(cases: list[HardCase], memories: Sequence[Memory] | None) -> list[HardCase]:
    """With their diagnoses, which only the memories of this run can give."""
    if memories is None:
        return [replace(case, diagnosis=_NOT_KEPT) for case in cases]
    return diagnose_all(cases, GivenMemories(memories=memories))


def _case(
    log: RunLog, build: BuildLog, item: ItemLog, memories: Sequence[Memory] | None
) -> HardCase | None:
    scored = _score(item)
    if scored is None:
        return None
    metric, score = scored
    return HardCase(
        id=f"{log.data.task}:{Path(log.data.file).stem}:{item.id}",
        question=item.text,
        expected=item.gold[0] if item.gold else None,
        prediction=item.answer or "",
        score=score,
        metric=metric,
        memories=_recalled(build, item, memories),
        episode_id=log.id,
        conversation=item.sample,
        needed_sources=_needed(item, memories or ()),
    )


def _score(item: ItemLog) -> tuple[Metric, float] | None:
    for name, metric in (("judge", Metric.JUDGE), ("f1", Metric.F1)):
        score = item.scores.get(name)
        if item.error is None and score is not None and score.value is not None:
            return metric, min(max(score.value, 0.0), 1.0)
    return None


def _recalled(
    build: BuildLog, item: ItemLog, memories: Sequence[Memory] | None
) -> tuple[CaseMemory, ...]:
    ids = [entry.memory_id for entry in item.recalled]
    if memories is not None:
        whole = {memory.id: memory for memory in memories}
        return case_memories(whole[name] for name in ids if name in whole)
    logged = {memory.id: memory for memory in build.memories}
    return tuple(
        CaseMemory(id=name, content=logged[name].content or "", skills=logged[name].skills)
        for name in ids
        if name in logged
    )


def _needed(item: ItemLog, memories: Sequence[Memory]) -> tuple[str, ...]:
    """The evidence; of a session, which no source has for an id, its spans."""
    evidence = frozenset(item.evidence)
    spans = (s.span_id for m in memories for s in m.sources if s.session in evidence)
    return tuple(dict.fromkeys((*item.evidence, *spans)))
