"""What the extractive model writes down: one self-contained note a turn or passage."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from langgraph_memskill.extractive.relative_dates import annotate, format_day, parse_date
from langgraph_memskill.extractive.sentences import (
    Utterance,
    content_words,
    information,
    is_question,
    read_span,
    speaker_words,
    split_sentences,
    without_secrets,
)

EARLIER = " Earlier: "
"""What stands before each earlier state of a note that was updated."""

_LEAST_INFORMATION = 1.0
"""Sentences below it say nothing ("Wow, that's great!")."""
_PASSAGE_WORDS = 60
"""A note holds about this many words at most; a longer turn gives several."""
_BRIEF_SENTENCES = 2
_SHORT_STATEMENT = 8.0
"""Statements with less information are hard to understand without the question before them."""
_CAPTION_WEIGHT = 0.75
"""What a word of a caption counts; a machine wrote it."""
_WRITTEN = re.compile(
    r"(?:On (?P<date>[^,]{1,60}), )?(?P<speaker>[^:]{1,80}?) said: (?P<text>.*)", re.DOTALL
)


class WrittenNote(NamedTuple):
    """A memory in this module's own form, taken apart."""

    date: str
    """"" if the note has none."""
    speaker: str
    """"" if nobody is named."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Something in a span that could become a memory."""

    speaker: str
    """"" for a passage of a text."""
    full: str
    """The note with everything that the turn says."""
    brief: str
    """The note with the most informative sentences only."""
    information: float
    """About the number of things that it names, >= 0."""
    words: frozenset[str]
    """Its content words."""
    is_reply: bool
    """True if an assistant said it."""


def drafts_of(span_text: str, span_date: str | None) -> list[Draft]:
    """Turn a span into drafts of notes, in the order of the span.

    Args:
        span_text: The span, in any of our layouts.
        span_date: When it took place, as the source wrote it; None looks into the span's header.

    Returns:
        One draft for each turn, more for long ones. Sentences that say nothing, questions and
        secrets are left out, relative dates have their meaning behind them.
    """
    return list(_drafts(span_text, span_date))


@lru_cache(maxsize=1024)
def _drafts(span_text: str, span_date: str | None) -> tuple[Draft, ...]:
    """Training reads the same spans with ever new skills, and taking them apart costs the most."""
    span = read_span(span_text)
    names = speaker_words(span.utterances)
    when = span_date or span.date
    writer = _Writer(when=when, said_on=parse_date(when), names=names)
    drafts: list[Draft] = []
    question = ""
    for utterance in map(without_secrets, span.utterances):
        drafts += writer.drafts(utterance, question)
        question = _last_question(utterance.text, names)
    return tuple(drafts)


def read_note(content: str) -> WrittenNote:
    """Take a memory apart that may be in our form.

    Args:
        content: Any memory.

    Returns:
        Date, speaker and text; a memory in another form is all text.
    """
    match = _WRITTEN.match(content)
    if match is None:
        return WrittenNote("", "", content)
    return WrittenNote(match["date"] or "", match["speaker"], match["text"])


def _last_question(text: str, names: frozenset[str]) -> str:
    sentences = split_sentences(text)
    last = sentences[-1] if sentences else ""
    return last if is_question(last) and content_words(last, names) else ""


@dataclass(frozen=True, slots=True)
class _Writer:
    when: str | None
    said_on: date | None
    names: frozenset[str]

    def drafts(self, utterance: Utterance, question: str) -> Iterator[Draft]:
        sentences = split_sentences(utterance.text)
        kept = [s for s in sentences if self._says(s) and not is_question(s)]
        if not kept and (utterance.caption or any(self._says(s) for s in sentences)):
            kept = [s for s in sentences if content_words(s, self.names)]
        passages = list(_passages(kept)) or ([[]] if utterance.caption else [])
        for number, passage in enumerate(passages):
            caption = utterance.caption if number == len(passages) - 1 else None
            yield self._draft(utterance, passage, caption, "" if number else question)

    def _says(self, sentence: str) -> bool:
        return information(sentence, self.names) >= _LEAST_INFORMATION

    def _draft(
        self, utterance: Utterance, sentences: Sequence[str], caption: str | None, question: str
    ) -> Draft:
        value = sum(information(sentence, self.names) for sentence in sentences)
        picture = f"[shares {caption}]" if caption else ""
        text = " ".join([*sentences, picture]).strip()
        # Talk has a gist; a written text seldom holds a sentence that says nothing.
        most = _BRIEF_SENTENCES if utterance.speaker else len(sentences)
        best = sorted(sentences, key=lambda s: -information(s, self.names))[:most]
        brief = " ".join([*(s for s in sentences if s in best), picture]).strip()
        topic = f"({question}) " if question and value < _SHORT_STATEMENT else ""
        return Draft(
            speaker=_named(utterance.speaker),
            full=self._note(utterance, topic + annotate(text, self.said_on)),
            brief=self._note(utterance, topic + annotate(brief, self.said_on)),
            information=value + _CAPTION_WEIGHT * len(content_words(caption or "")),
            words=content_words(text, self.names),
            is_reply=(utterance.speaker or "").lower() in ("assistant", "ai"),
        )

    def _note(self, utterance: Utterance, text: str) -> str:
        when = format_day(self.said_on) if self.said_on else " ".join((self.when or "").split())
        if utterance.speaker:
            speaker = _named(utterance.speaker)
            note = f"On {when}, {speaker} said: {text}" if when else f"{speaker} said: {text}"
        else:
            note = f"{utterance.heading}: {text}" if utterance.heading else text
        return " ".join((note[0].upper() + note[1:]).split()) if note else ""


def _named(speaker: str | None) -> str:
    if speaker is None:
        return ""
    return f"the {speaker.lower()}" if speaker.lower() in ("user", "assistant") else speaker


def _passages(sentences: Sequence[str]) -> Iterator[list[str]]:
    """Group sentences into passages of about `_PASSAGE_WORDS` words."""
    passage: list[str] = []
    length = 0
    for sentence in sentences:
        size = len(sentence.split())
        if passage and length + size > _PASSAGE_WORDS:
            yield passage
            passage, length = [], 0
        passage.append(sentence)
        length += size
    if passage:
        yield passage
