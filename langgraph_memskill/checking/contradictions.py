"""Pairs of memories that may contradict each other.

These are candidates, found by words: same subject, nearly the same words, and one is negated, has
another number, or names another value of something that has one value at a time (where somebody
lives, a favourite). What their meanings have to do with each other, the encoder says. Dates do not
count: two days are two events.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from langgraph_memskill.checking.contradiction_words import (
    NEGATIONS,
    OF_ONE_VALUE,
    OPPOSITES,
    UNTELLING,
)
from langgraph_memskill.checking.findings import Finding, FindingKind
from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.records import Memory
from langgraph_memskill.writing.sameness import plain_words

_LEAST_COSINE = 0.6
_LEAST_SHARE = 0.5
"""Share of the words of both that the two must have in common, in (0, 1]."""
_NEARLY_ALL = 0.74
_MOST_OTHER_WORDS = 2
_OPPOSITE = "one says the opposite of the other"
_MOST_MEMORIES_A_WORD = 1000
"""A word that more memories of one subject have does not make two of them a pair."""
_MOST_RIVALS = 3
"""What seems to contradict more memories than so many is one of a series ("lap 7 took 80 s")."""
_MOST_PAIRS_AT_ONCE = 512

_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*%?")
_DATE = re.compile(
    r"\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b|\b(?:19|20)\d\d\b"
    r"|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}|\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Claim:
    """The words of a memory, sorted by what they do."""

    memory: Memory
    subject: str
    words: frozenset[str]
    """Stems of what is neither number, negation nor auxiliary."""
    numbers: frozenset[str]
    is_negated: bool
    is_dated: bool


def find_contradictions(memories: Sequence[Memory], encoder: TextEncoder) -> list[Finding]:
    """Find pairs that may contradict each other.

    Args:
        memories: Those of one namespace, without duplicates.
        encoder: Says whether two of them are about one thing.
    """
    claims = [claim for memory in memories if (claim := _claim(memory)) is not None]
    alike = [(one, other, why) for one, other in _alike(claims) if (why := _reason(one, other))]
    rivals = Counter(claim.memory.id for one, other, _ in alike for claim in (one, other))
    pairs = [
        (one, other, why)
        for one, other, why in alike
        if max(rivals[one.memory.id], rivals[other.memory.id]) <= _MOST_RIVALS
    ]
    found: list[Finding] = []
    for start in range(0, len(pairs), _MOST_PAIRS_AT_ONCE):
        some = pairs[start : start + _MOST_PAIRS_AT_ONCE]
        ones = encoder.encode([one.memory.content for one, _, _ in some])
        others = encoder.encode([other.memory.content for _, other, _ in some])
        cosines = (ones * others).sum(axis=1)
        found += [
            _finding(one.memory, other.memory, why)
            for (one, other, why), cosine in zip(some, cosines, strict=True)
            if cosine >= _LEAST_COSINE
        ]
    return found


def _finding(one: Memory, other: Memory, why: str) -> Finding:
    first, second = sorted((one, other), key=lambda memory: (memory.created_at, memory.id))
    return Finding(
        kind=FindingKind.CONTRADICTION,
        what=why,
        namespace=first.namespace,
        memory_ids=(first.id, second.id),
        contents=(first.content, second.content),
    )


def _claim(memory: Memory) -> _Claim | None:
    words = [word.removesuffix("'s").rstrip("'") for word in plain_words(memory.content)]
    telling = [word for word in words if word not in UNTELLING and word not in NEGATIONS]
    if not telling:
        return None
    return _Claim(
        memory=memory,
        subject=_stem(telling[0]),
        words=frozenset(_stem(word) for word in telling if not _NUMBER.fullmatch(word)),
        numbers=frozenset(word for word in telling if _NUMBER.fullmatch(word)),
        is_negated=sum(word in NEGATIONS for word in words) % 2 == 1,
        is_dated=_DATE.search(memory.content) is not None,
    )


def _alike(claims: Sequence[_Claim]) -> Iterator[tuple[_Claim, _Claim]]:
    """Pairs of one subject that share enough words, found by their rarest words."""
    frequency = Counter(word for claim in claims for word in claim.words)
    known: dict[tuple[str, str], list[int]] = {}
    for place, claim in enumerate(claims):
        rarest = sorted(claim.words, key=lambda word: (frequency[word], word))
        # Two sets that share half of all their words share one of each one's rarest half.
        num = len(rarest) - -(-len(rarest) * 50 // 100) + 1
        seen: set[int] = set()
        for word in rarest[:num]:
            others = known.setdefault((claim.subject, word), [])
            if len(others) <= _MOST_MEMORIES_A_WORD:
                seen.update(others)
                others.append(place)
        for other in sorted(seen):
            if _share(claim.words, claims[other].words) >= _LEAST_SHARE:
                yield claims[other], claim


def _reason(one: _Claim, other: _Claim) -> str | None:
    has_most_words = _share(one.words, other.words) >= _NEARLY_ALL
    has_one_value = bool(one.words & other.words & _one_valued())
    if one.numbers != other.numbers:
        is_event = one.is_dated and other.is_dated and not has_one_value
        if is_event or not (one.numbers and other.numbers and has_most_words):
            return None
        return _apart(one.numbers, other.numbers)
    if one.is_negated != other.is_negated:
        return _OPPOSITE if has_most_words else None
    mine, yours = one.words - other.words, other.words - one.words
    if not mine or not yours or max(len(mine), len(yours)) > _MOST_OTHER_WORDS:
        return None
    if any((a, b) in _opposites() for a in mine for b in yours):
        return _OPPOSITE
    return _apart(mine, yours) if has_one_value else None


def _apart(mine: frozenset[str], yours: frozenset[str]) -> str:
    return f"{' '.join(sorted(mine))!r} in one, {' '.join(sorted(yours))!r} in the other"


def _share(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / max(1, len(one | other))


@cache
def _one_valued() -> frozenset[str]:
    return frozenset(_stem(word) for word in OF_ONE_VALUE)


@cache
def _opposites() -> frozenset[tuple[str, str]]:
    pairs = [(_stem(one), _stem(other)) for one, other in OPPOSITES]
    return frozenset([*pairs, *((other, one) for one, other in pairs)])


@cache
def _stem(word: str) -> str:
    # Here, because it takes a moment to import.
    from nltk.stem.snowball import SnowballStemmer

    stemmed: str = SnowballStemmer("english").stem(word)
    return stemmed
