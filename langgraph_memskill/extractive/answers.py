"""Answers without an LLM: the memory sentence that fits a question best, and a phrase of it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from heapq import nlargest
from typing import TYPE_CHECKING, NamedTuple

from langgraph_memskill.extractive.named_answers import asks_for_name, name_in, offered_answer
from langgraph_memskill.extractive.notes import EARLIER, read_note
from langgraph_memskill.extractive.relative_dates import format_day, parse_date
from langgraph_memskill.extractive.sentences import content_words, split_sentences, words_of
from langgraph_memskill.prompts import MemoryText

if TYPE_CHECKING:
    from langgraph_memskill.embedding import TextEncoder

_WORD_WEIGHT = 0.5
"""Weight of the share of the question's words that a memory has, beside a cosine."""
_RANK_WEIGHT = 0.005
"""What each place further down the list of memories costs."""
_MEMORY_WEIGHT = 0.5
"""Weight of a whole memory's score beside that of one of its sentences."""
_SPEAKER_WEIGHT = 0.15
"""What it counts that the person asked about is the one who speaks."""
_NUMBER_WEIGHT = 0.1
"""What a number counts when the question asks for one."""
_READ_CLOSELY = 5
"""Memories whose sentences are compared one by one."""
_SENTENCES = 48
"""Sentences that are compared by their meaning at most; passages may have hundreds."""
_LEAST_SCORE = 0.3
_LONGEST_PHRASE = 12
"""Words of a short answer at most."""

_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_DATE = re.compile(rf"(?:\d{{1,2}} )?(?:{_MONTHS})(?: \d{{1,2}})?,? \d{{4}}|\b(?:19|20)\d\d\b")
_YEAR = re.compile(r"\b(?:1\d|20)\d\d\b")
_ASKS_FOR_YEAR = re.compile(r"\b(?:what|which) year\b", re.IGNORECASE)
_MEANING = re.compile(r"\[(?!shares )([^\]]{3,60})\]")
_BRACKETS = re.compile(r"\s*\[[^\]]*\]")
_ASIDE = re.compile(r"^\([^()]{1,300}\?\)\s*")
_NUMBER_WORDS = "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|once|twice|several"
_NUMBER = re.compile(rf"\$?\b(?:\d[\d,.]*|{_NUMBER_WORDS})\b(?: [a-z]+)?", re.IGNORECASE)
_PLACE = re.compile(
    r"\b(?:in|at|to|from|near|around|on)\s+((?:the |a |an |my |our )?"
    r"(?:[A-Z][\w'’-]*(?:\s+(?:of\s+)?[A-Z][\w'’-]*)*|[a-z][\w'’-]+(?:\s+[a-z][\w'’-]+)?))"
)
_PROPER = re.compile(r"\b[A-Z][\w'’-]*(?:\s+[A-Z][\w'’-]*)*")
_CLAUSE_END = re.compile(r"[,;:!?.]+(?:\s|$)|\s+[-–—]+\s+|\s+(?=because\b|so that\b|but\b)")
_NEGATION = re.compile(r"\b(?:not|never|no|nobody|nothing)\b|n['’]t\b", re.IGNORECASE)
_YES_NO = re.compile(
    r"(?:did|does|do|is|are|was|were|has|have|had|can|could|would|will|should)\b", re.IGNORECASE
)


class _Kind(StrEnum):
    WHEN = "when"
    COUNT = "count"
    WHO = "who"
    WHERE = "where"
    YES_NO = "yes-no"
    OTHER = "other"


class Finding(NamedTuple):
    """What the memories say about a question."""

    phrase: str
    """The shortest answer: a date, a name, a clause."""
    statement: str
    """Who said what and when, in a sentence."""


def find_answer(
    question: str, memories: Sequence[MemoryText], encoder: "TextEncoder"
) -> Finding | None:
    """Answer a question with the words of a memory.

    Args:
        question: The question.
        memories: What retrieval found, best first.
        encoder: Embeds the question, the memories and the sentences of the best ones.

    Returns:
        The finding; None if no memory fits.
    """
    if not memories or not question.strip():
        return None
    notes = [read_note(memory.content) for memory in memories]
    # Everybody's name is in many memories: it decides by the speaker, not as a word.
    names = frozenset(word for note in notes for word in words_of(note.speaker))
    asked = _Asked(question, content_words(question, names), frozenset(words_of(question)) & names)
    scores = asked.scores([memory.content for memory in memories], encoder)
    best = sorted(range(len(memories)), key=lambda i: (-scores[i] + _RANK_WEIGHT * i, i))
    sentences = [s for i in best[:_READ_CLOSELY] for s in _sentences(memories[i], scores[i])]
    if not sentences:
        return None
    sentences = asked.likeliest(sentences)
    scores = asked.scores([sentence.said for sentence in sentences], encoder)
    totals = [
        score + _MEMORY_WEIGHT * sentence.memory_score + asked.preference(sentence)
        for score, sentence in zip(scores, sentences, strict=True)
    ]
    top = max(range(len(sentences)), key=lambda i: totals[i])
    if scores[top] < _LEAST_SCORE:
        return None
    found = sentences[top]
    return Finding(phrase=_phrase(asked, found), statement=_statement(found))


@dataclass(frozen=True, slots=True)
class _Sentence:
    text: str
    speaker: str
    date: str
    memory_score: float

    @property
    def said(self) -> str:
        return f"{self.speaker} said: {self.text}" if self.speaker else self.text


@dataclass(frozen=True, slots=True)
class _Asked:
    question: str
    wanted: frozenset[str]
    """The question's content words without names of speakers."""
    people: frozenset[str]
    """The names of speakers in the question."""

    @property
    def kind(self) -> _Kind:
        return _kind_of(self.question)

    def scores(self, texts: Sequence[str], encoder: "TextEncoder") -> list[float]:
        """How well texts fit: cosine, and the share of the question's words that they have."""
        vectors = encoder.encode([self.question, *texts])
        cosines = (vectors[1:] @ vectors[0]).tolist()
        return [
            cosine + _WORD_WEIGHT * _share(self.wanted, text)
            for cosine, text in zip(cosines, texts, strict=True)
        ]

    def likeliest(self, sentences: list[_Sentence]) -> list[_Sentence]:
        """Those that are worth being embedded, by their words, in their order."""
        if len(sentences) <= _SENTENCES:
            return sentences

        def promise(place: int) -> float:
            sentence = sentences[place]
            words = _WORD_WEIGHT * _share(self.wanted, sentence.text)
            return words + _MEMORY_WEIGHT * sentence.memory_score + self.preference(sentence)

        return [sentences[i] for i in sorted(nlargest(_SENTENCES, range(len(sentences)), promise))]

    def preference(self, sentence: _Sentence) -> float:
        """What speaks for a sentence beside its words; sentences that say nothing are out."""
        is_asked = bool(self.people & set(words_of(sentence.speaker)))
        says_something = bool(content_words(sentence.text, self.people))
        has_number = self.kind is _Kind.COUNT and bool(_NUMBER.search(sentence.text))
        return _SPEAKER_WEIGHT * is_asked + _NUMBER_WEIGHT * has_number - (not says_something)


def _share(wanted: frozenset[str], text: str) -> float:
    stems = _stems(text)
    return sum(_stem(word) in stems for word in wanted) / len(wanted) if wanted else 0.0


@lru_cache(maxsize=2048)
def _stems(text: str) -> frozenset[str]:
    """Many questions are asked of the same memories."""
    return frozenset(_stem(word) for word in words_of(text))


def _stem(word: str) -> str:
    # Enough to see that "painted" and "paints" belong together; a real stemmer is slower here.
    word = word.removesuffix("'s")
    for ending in ("ing", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


def _sentences(memory: MemoryText, score: float) -> list[_Sentence]:
    found = []
    # An updated memory holds its earlier states behind the present one.
    for state in memory.content.split(EARLIER):
        note = read_note(state)
        text = _ASIDE.sub("", note.text)
        date = note.date or memory.date or ""
        found += [_Sentence(s, note.speaker, date, score) for s in _with_captions(text)]
    return found


def _with_captions(text: str) -> list[str]:
    """The sentences of a note; what a picture shows goes with the sentence before it."""
    sentences: list[str] = []
    for sentence in map(_on_one_line, split_sentences(text)):
        if sentence.startswith("[") and sentences:
            sentences[-1] += f" {sentence}"
        else:
            sentences.append(sentence)
    return sentences


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


def _statement(sentence: _Sentence) -> str:
    text = sentence.text if sentence.text[-1] in ".!?\"']" else f"{sentence.text}."
    when = f" on {sentence.date}" if sentence.date else ""
    return f'{sentence.speaker} said{when}: "{text}"' if sentence.speaker else text


@lru_cache(maxsize=256)
def _kind_of(question: str) -> _Kind:
    text = question.lower()
    if re.search(
        r"\bwhen\b|\bwhat (?:date|day|month|year|time)\b|\bwhich (?:day|month|year)\b", text
    ):
        return _Kind.WHEN
    if re.search(r"\bhow (?:many|much|long|old|often|far)\b", text):
        return _Kind.COUNT
    if re.search(r"\bwhere\b|\bwhat (?:city|country|place|state|town)\b", text):
        return _Kind.WHERE
    if re.search(r"\bwho(?:m|se)?\b", text):
        return _Kind.WHO
    return _Kind.YES_NO if _YES_NO.match(text) else _Kind.OTHER


def _phrase(asked: _Asked, sentence: _Sentence) -> str:
    kind = asked.kind
    plain = _BRACKETS.sub("", sentence.text)
    if kind is _Kind.WHEN:
        date = _date_in(sentence)
        year = _YEAR.search(date) if _ASKS_FOR_YEAR.search(asked.question) else None
        return year[0] if year else date
    if kind is _Kind.YES_NO:
        return "no" if _NEGATION.search(sentence.text) else "yes"
    if kind is _Kind.COUNT and (number := _NUMBER.search(plain)):
        return number[0]
    if kind is not _Kind.COUNT and (offered := offered_answer(asked.question, plain)):
        return offered
    known = set(words_of(asked.question))
    if kind is _Kind.WHERE:
        places = [match[1] for match in _PLACE.finditer(plain)]
        places = [place for place in places if not known & set(words_of(place)) - {"the", "a"}]
        if places:
            return max(places, key=lambda place: any(c.isupper() for c in place))
    if kind is _Kind.WHO and (name := _name_in(plain, known)):
        return name
    if asks_for_name(asked.question) and (name := name_in(plain, known)):
        return name
    return _clause(plain, asked.wanted) or sentence.text


def _date_in(sentence: _Sentence) -> str:
    meaning = _MEANING.search(sentence.text)
    if meaning:
        return meaning[1]
    date = _DATE.search(_BRACKETS.sub("", sentence.text))
    if date:
        return date[0]
    day = parse_date(sentence.date)
    return format_day(day) if day else sentence.date or sentence.text


def _name_in(text: str, known: set[str]) -> str:
    for match in _PROPER.finditer(text):
        words = set(words_of(match[0]))
        if content_words(match[0]) and not words & known and (match.start() or " " in match[0]):
            return match[0]
    return ""


def _clause(text: str, wanted: frozenset[str]) -> str:
    """The clause that says most that the question does not say itself, without its edges."""
    known = {_stem(word) for word in wanted}
    clauses = [clause.strip() for clause in _CLAUSE_END.split(text) if clause.strip()]

    def worth(clause: str) -> float:
        stems = {_stem(word) for word in content_words(clause)}
        return min(len(stems - known), 4) + min(len(stems & known), 2)

    words = max(clauses, key=worth, default="").split()
    keys = [bool(content_words(word)) for word in words]
    if not any(keys):
        return ""
    first, last = keys.index(True), len(keys) - 1 - keys[::-1].index(True)
    return " ".join(words[first : last + 1][:_LONGEST_PHRASE])
