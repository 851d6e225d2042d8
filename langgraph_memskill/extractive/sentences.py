"""A span's text taken apart again: who said what, and which sentences say anything."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from sentencex import segment

from langgraph_memskill.stop_words import STOP_WORDS

_HEADER = re.compile(
    r"\s*(?:DATE|Session Date):[ \t]*(?P<date>[^\n]*)\n+(?:CONVERSATION:[ \t]*\n)?"
)
# The three ways in which spans are laid out: quoted turns, labelled turns, plain paragraphs.
_QUOTED_START = re.compile(r'^(?P<speaker>[^\n":]{1,80}?) said, "', re.MULTILINE)
_QUOTED_END = re.compile(r'"(?: and shared (?P<caption>[^"]*?)\.?)?\s*\Z')
_LABEL = re.compile(r"^(?P<speaker>\S[^:\n]{0,79}):[ \t]+(?=\S)", re.MULTILINE)
_ROLES = frozenset({"user", "assistant", "human", "ai", "system", "tool"})
_NAME = re.compile(r"[A-Z][\w.'’-]*(?: [A-Z][\w.'’-]*){0,3}")
_DOCUMENT = re.compile(r"\ADocument \d+:[ \t]*\n?(?P<title>[^\n]{1,120})\n(?=\S)")
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")
_WORD = re.compile(r"[^\W_]+(?:['’.-][^\W_]+)*")
_SECOND_PERSON = re.compile(
    r"\A(?!.*\b(?:I|we|my|our|me|us|mine|ours)\b).*\byou(?:r|rs|rself)?\b",
    re.IGNORECASE | re.DOTALL,
)
_SECRET = re.compile(
    r"(?:password|passcode|passphrase|api[ _-]?key|secret key|access token|pin(?: code)?|cvv)\b"
    r"['\"’]?\s*(?:is|was|:|=)\s*\S"
    r"|\b(?:sk|pk|ghp|xox[bp])[-_][\w-]{12,}|\b(?:\d[ -]?){13,19}\b",
    re.IGNORECASE,
)


def _word_set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FILLER = _word_set(
    """absolutely agree agreed amazing appreciate awesome aw aww awww beautiful best bet bye care
    cheers chat congrats congratulations cool course cute cya dear definitely enjoy excited exciting
    fab fantastic feel feeling fine forward fun glad good goodbye gosh great haha happy hear hello
    help hey hi hope hopefully hug huge impressive incredible inspiring interesting kind later lol
    look looking looks love lovely luck lucky mean much nah nice night ok okay omg perfect please
    pleasure pretty proud right rock safe seems sorry soon sound sounds special super support
    sweet take talk tell thank thankful thanks totally touch true truly understand wait welcome
    whoa wonderful wow yay yea yeah yep yes yup you"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """What one speaker said in one go, or one paragraph of a text."""

    text: str
    speaker: str | None = None
    """None for a paragraph."""
    caption: str | None = None
    """What a picture that was shared along shows."""
    heading: str | None = None
    """Title of the document that a paragraph is part of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanText:
    """A span taken apart."""

    utterances: tuple[Utterance, ...]
    date: str | None = None
    """The date in the span's own header, as the source wrote it."""


def read_span(text: str) -> SpanText:
    """Take a span's text apart; the inverse of the layouts in `spans`.

    Args:
        text: A span's text: turns as `Ann said, "..." and shared ....` or `Ann: ...`, or plain
            paragraphs; with or without a date header.

    Returns:
        The utterances in order. Text that fits no layout is a paragraph; nothing is lost.
    """
    header = _HEADER.match(text)
    body = text[header.end() :] if header else text
    utterances = _quoted(body) or _labelled(body) or _paragraphs(body)
    date = header["date"].strip() if header else ""
    return SpanText(utterances=tuple(u for u in utterances if _says(u)), date=date or None)


def _says(utterance: Utterance) -> bool:
    return bool(utterance.text.strip() or utterance.caption)


def _quoted(body: str) -> list[Utterance]:
    starts = list(_QUOTED_START.finditer(body))
    if not starts:
        return []
    utterances = _paragraphs(body[: starts[0].start()])
    ends = [*(match.start() for match in starts[1:]), len(body)]
    for match, end in zip(starts, ends, strict=True):
        text = body[match.end() : end]
        closing = _QUOTED_END.search(text)
        utterances.append(
            Utterance(
                speaker=match["speaker"].strip(),
                text=(text[: closing.start()] if closing else text).strip(),
                caption=closing["caption"] if closing else None,
            )
        )
    return utterances


def _labelled(body: str) -> list[Utterance]:
    labels = list(_LABEL.finditer(body))
    if not labels or body[: labels[0].start()].strip():
        return []
    names = {match["speaker"] for match in labels}
    speakers = {name for name in names if name.lower() in _ROLES}
    # "Note: ..." or "Step 1: ..." inside an answer is no speaker, so in a chat that begins with a
    # role only roles speak; in one that begins with a name, every name does.
    if labels[0]["speaker"] not in speakers:
        speakers |= {name for name in names if _NAME.fullmatch(name)}
    if labels[0]["speaker"] not in speakers:
        return []
    starts = [match for match in labels if match["speaker"] in speakers]
    ends = [*(match.start() for match in starts[1:]), len(body)]
    return [
        Utterance(speaker=match["speaker"], text=body[match.end() : end].strip())
        for match, end in zip(starts, ends, strict=True)
    ]


def _paragraphs(body: str) -> list[Utterance]:
    utterances, heading = [], None
    for paragraph in _BLANK_LINE.split(body):
        text = paragraph.strip()
        document = _DOCUMENT.match(text)
        if document:
            heading, text = document["title"].strip(), text[document.end() :]
        utterances.append(Utterance(text=text, heading=heading))
    return utterances


def split_sentences(text: str) -> list[str]:
    """Split a text into sentences; line breaks end a sentence too.

    Args:
        text: Any text.

    Returns:
        The sentences without blanks around them, none empty.
    """
    lines = (line.strip(" \t-*•") for line in text.splitlines())
    return [
        sentence.strip()
        for line in lines
        if line
        for sentence in _segment(line)
        if sentence.strip()
    ]


@lru_cache(maxsize=4096)
def _segment(line: str) -> tuple[str, ...]:
    return tuple(segment("en", line))


def words_of(text: str) -> list[str]:
    """All words of a text in lower case, in order."""
    return [word.lower().replace("’", "'") for word in _WORD.findall(text)]


def content_words(text: str, without: frozenset[str] = frozenset()) -> frozenset[str]:
    """The words of a text that carry its content.

    Args:
        text: Any English text.
        without: Further words that do not count, in lower case (the speakers' names).

    Returns:
        Distinct words in lower case without stop words, filler and single letters.
    """
    ignored = STOP_WORDS | _FILLER | without
    words = (word.removesuffix("'s") for word in words_of(text))
    return frozenset(word for word in words if word not in ignored and len(word) > 1)


def information(sentence: str, without: frozenset[str] = frozenset()) -> float:
    """Estimate how much a sentence says.

    Args:
        sentence: One sentence.
        without: Further words that do not count (the speakers' names).

    Returns:
        About the number of things it names, >= 0: content words, a bonus for numbers and names;
        a third of that for a question, half for a remark about the listener.
    """
    words = content_words(sentence, without)
    numbers = sum(any(character.isdigit() for character in word) for word in words)
    names = sum(word[0].isupper() for word in sentence.split()[1:] if word.lower() in words)
    value = len(words) + 0.5 * numbers + 0.5 * names
    if is_question(sentence):
        return value / 3
    # "Your paintings are full of life" is kind, but tells little about its speaker.
    return value / 2 if _SECOND_PERSON.search(sentence) else value


def is_question(sentence: str) -> bool:
    """Whether a sentence asks something."""
    return sentence.rstrip("\"'”’ )").endswith("?")


def holds_secret(sentence: str) -> bool:
    """Whether a sentence seems to hold a password, key or card number, which nobody should keep."""
    return _SECRET.search(sentence) is not None


def speaker_words(utterances: Sequence[Utterance]) -> frozenset[str]:
    """The names of a span's speakers, as words in lower case."""
    return frozenset(word for u in utterances if u.speaker for word in words_of(u.speaker))


def without_secrets(utterance: Utterance) -> Utterance:
    """Leave out the sentences that hold a secret."""
    kept = [sentence for sentence in split_sentences(utterance.text) if not holds_secret(sentence)]
    return replace(utterance, text=" ".join(kept))
