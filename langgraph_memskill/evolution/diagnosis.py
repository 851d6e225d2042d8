"""What became of the fact that a case needed: a look at memories, their sources and their past."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any, Protocol

from langgraph_memskill.evolution.records import (
    CaseDiagnosis,
    CaseMemory,
    CaseOrigin,
    FailureCause,
    HardCase,
)
from langgraph_memskill.records import Memory
from langgraph_memskill.stop_words import STOP_WORDS

_ANSWER_SHARE = 0.75
"""Share of the answer's words that a memory must have to hold the answer."""
_MATTER_SHARE = 0.5
"""Share of the question's words of which a memory must have more to be about its matter."""
_RELATED_SHARE = 0.3
"""Share of the question's words that a memory with the answer's words must have, unless it comes
from a needed source: the answer "2022" stands in many memories of the same person."""
_NO_ANSWER = "yes no true false none unknown"
"""Words that any memory may have, whatever was asked."""
_MAX_NAMED = 3


class Evidence(Protocol):
    """Where the memories of a case can be looked at."""

    def present(self, case: HardCase) -> Sequence[Memory]:
        """The memories there are: all of the namespace, or those nearest to question and answer."""

    def past(self, case: HardCase) -> Sequence[Memory]:
        """States of memories that a later change has overwritten or deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenMemories:
    """Evidence that is at hand: the memories of one namespace, such as a training episode's."""

    memories: Sequence[Memory] = ()
    overwritten: Sequence[Memory] = ()

    def present(self, case: HardCase) -> Sequence[Memory]:
        """All of them."""
        return self.memories

    def past(self, case: HardCase) -> Sequence[Memory]:
        """All that are gone."""
        return self.overwritten


class _MemoryWords:
    """Word stems of the memories of one namespace at a time: nothing of them outlives a walk."""

    def __init__(self) -> None:
        self._namespace: tuple[str, ...] | None = None
        self._words: dict[str, frozenset[str]] = {}

    def enter(self, namespace: tuple[str, ...]) -> None:
        if namespace != self._namespace:
            self._namespace = namespace
            self._words.clear()

    def of(self, memory: Memory) -> frozenset[str]:
        dates = " ".join(source.time for source in memory.sources if source.time)
        text = f"{memory.content} {dates}"
        if text not in self._words:
            self._words[text] = stems(text)
        return self._words[text]


def diagnose_all(cases: Sequence[HardCase], evidence: Evidence) -> list[HardCase]:
    """Diagnose the cases that have no diagnosis; see `diagnose`.

    They are walked by namespace, so that only one namespace's memories are at hand at a time.

    Returns:
        The cases in the order given.
    """
    found = list(cases)
    words = _MemoryWords()
    for index in sorted(range(len(found)), key=lambda index: found[index].namespace):
        case = found[index]
        if case.diagnosis is None:
            words.enter(case.namespace)
            found[index] = replace(case, diagnosis=_diagnose(case, evidence, words))
    return found


def diagnose(case: HardCase, evidence: Evidence) -> CaseDiagnosis:
    """Find out whether the needed fact was stored, and well, and found.

    No model is asked. A memory holds the fact if it has nearly all content words of the expected
    answer and is about the question's matter, or comes from one of the needed sources.

    Args:
        case: A case with the answer that was expected, or the sources that it stands in.
        evidence: Its memories.

    Returns:
        The cause, with what was looked at.
    """
    return _diagnose(case, evidence, _MemoryWords())


def _diagnose(case: HardCase, evidence: Evidence, words: _MemoryWords) -> CaseDiagnosis:
    look = _Look(case, words)
    if look.reason is not None:
        return CaseDiagnosis(cause=FailureCause.UNKNOWN, evidence=look.reason)
    present = evidence.present(case)
    from_source = [memory for memory in present if look.is_from_source(memory)]
    if not look.answer_words:
        return _by_sources(look, from_source)
    holding = [memory for memory in present if look.holds(memory)]
    if holding:
        return _stored(look, holding)
    gone = [memory for memory in evidence.past(case) if look.holds(memory)]
    if gone:
        return _diagnosis(
            FailureCause.LOST,
            f"{_many(gone)} held it once and was overwritten or deleted later",
            gone,
        )
    near = from_source or [memory for memory in present if look.is_about(memory)]
    if near:
        where = "from the needed source" if from_source else "on the matter"
        return _diagnosis(
            FailureCause.BADLY_WORDED, f"{_many(near)} {where} does not hold the answer", near
        )
    where = f" from {', '.join(case.needed_sources)}" if case.needed_sources else ""
    return CaseDiagnosis(
        cause=FailureCause.NEVER_STORED,
        evidence=f"None of {len(present)} memories{where} holds the answer or its matter.",
    )


class _Look:
    """What a case asks for, as word stems."""

    def __init__(self, case: HardCase, words: _MemoryWords) -> None:
        self.case = case
        self._words = words
        self.question_words = stems(case.question)
        answer = stems(case.expected or "")
        # Words that the question has, too, tell no answer from another, unless there are no others.
        self.answer_words = (answer - self.question_words or answer) - stems(_NO_ANSWER)
        self._shown = {memory.id for memory in case.memories}
        self._shown_texts = {memory.content for memory in case.memories}

    @property
    def reason(self) -> str | None:
        """Why nothing can be found out; None if something can."""
        if self.case.origin is CaseOrigin.GAME:
            return "A task has no expected answer: see its trajectory."
        if not self.answer_words and not self.case.needed_sources:
            return "Neither a telling answer nor its source is known."
        return None

    def is_from_source(self, memory: Memory) -> bool:
        needed = self.case.needed_sources
        return any(
            source.span_id in needed or any(turn in needed for turn in source.turn_ids)
            for source in memory.sources
        )

    def holds(self, memory: Memory) -> bool:
        words = self._words.of(memory)
        if _share(self.answer_words, words) < _ANSWER_SHARE:
            return False
        is_related = _share(self.question_words, words) >= _RELATED_SHARE
        return is_related or self.is_from_source(memory)

    def is_about(self, memory: Memory) -> bool:
        return _share(self.question_words, self._words.of(memory)) > _MATTER_SHARE

    def was_shown(self, memory: Memory) -> bool:
        return memory.id in self._shown or memory.content in self._shown_texts


def stems(text: str) -> frozenset[str]:
    """The content words of a text as stems, so that "moved" is "move"."""
    words = re.findall(r"[^\W_]+", text.casefold())
    return frozenset(_stem(word) for word in words if word not in STOP_WORDS)


@cache
def _stemmer() -> Any:
    from nltk.stem.porter import PorterStemmer

    return PorterStemmer()


# Single words only: whole texts would outlive the purge of their user.
@lru_cache(maxsize=50_000)
def _stem(word: str) -> str:
    return str(_stemmer().stem(word))


def _share(wanted: frozenset[str], words: frozenset[str]) -> float:
    return len(wanted & words) / len(wanted) if wanted else 0.0


def _stored(look: _Look, holding: Sequence[Memory]) -> CaseDiagnosis:
    shown = [memory for memory in holding if look.was_shown(memory)]
    if shown:
        return _diagnosis(FailureCause.NOT_USED, f"{_many(shown)} that holds it was found", shown)
    return _diagnosis(
        FailureCause.NOT_RETRIEVED,
        f"{_many(holding)} holds it and was not among the {len(look.case.memories)} found",
        holding,
    )


def _by_sources(look: _Look, from_source: Sequence[Memory]) -> CaseDiagnosis:
    """Without a telling answer only the sources tell."""
    needed = ", ".join(look.case.needed_sources)
    if not from_source:
        return CaseDiagnosis(
            cause=FailureCause.NEVER_STORED, evidence=f"No memory was written from {needed}."
        )
    if any(look.was_shown(memory) for memory in from_source):
        return _diagnosis(
            FailureCause.NOT_USED, f"{_many(from_source)} from {needed} was found", from_source
        )
    return _diagnosis(
        FailureCause.NOT_RETRIEVED, f"{_many(from_source)} from {needed} was not found", from_source
    )


def _diagnosis(cause: FailureCause, told: str, memories: Sequence[Memory]) -> CaseDiagnosis:
    named = [case_memory(memory) for memory in memories[:_MAX_NAMED]]
    quoted = "; ".join(f'"{memory.content[:200]}"' for memory in named)
    return CaseDiagnosis(cause=cause, evidence=f"{told}: {quoted}", memories=tuple(named))


def _many(memories: Sequence[Memory]) -> str:
    return "A memory" if len(memories) == 1 else f"One of {len(memories)} memories"


def case_memory(memory: Memory) -> CaseMemory:
    """A memory as a case keeps it: its text, never its embedding or history."""
    dates = [source.time for source in memory.sources if source.time]
    return CaseMemory(
        id=memory.id,
        content=memory.content,
        skills=memory.skills,
        date=dates[-1] if dates else None,
    )


def case_memories(memories: Iterable[Memory]) -> tuple[CaseMemory, ...]:
    """Memories as a case keeps them, in the same order."""
    return tuple(map(case_memory, memories))
