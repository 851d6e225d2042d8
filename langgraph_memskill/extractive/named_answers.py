"""Answers to questions that ask for a name: one of two that are offered, a title, a named thing."""

import re

from langgraph_memskill.extractive.sentences import content_words, words_of

_WORD = r"[A-Z](?:[\w'’&.:-]*\w)?"
_NAME = rf"{_WORD}(?:\s+(?:(?:of|the|and|de|van|von)\s+){{0,2}}{_WORD})*"
_PROPER = re.compile(rf"(?:\b[Tt]he )?\b{_NAME}")
_OFFERED = re.compile(
    r"(?:[,:;]\s+|\b)(?P<one>[^,:;?]{2,80}?),? or (?P<other>[^,:;?]{2,80}?)\s*\?\s*\Z"
)
_OF_TWO = re.compile(
    r"\b[Ww]hich (?:one )?of (?:the two,? )?(?P<one>[^,:;?]{2,80}?) and "
    r"(?P<other>[A-Z][\w'’.-]*(?: [A-Z][\w'’.-]*)*)"
)
_QUOTED = re.compile(r"[\"“]([A-Z\d][^\"“”]{1,60}[^\"“”.,!?])[\"”]")
_BEGINNING = re.compile(r"(?:\A|[.!?:\"“”…])[\s\"“'‘(]*\Z")
_GREETING = re.compile(r"\A(?:Hey|Hi|Hello|Oh|Wow|Yeah|Yes|No|Thanks)\b")
# What has a name of its own, as a rule; "what kind of" and "what did" ask for something else.
_NAMED_THINGS = """
    actor actress airline airport album animal artist author award band bank battle book
    brand building car castle character city club college comedian company composer continent
    country county director district drink event festival film football game group hotel island
    journal king lake language league magazine man model mountain movie museum musician name
    newspaper
    nickname novel organization park person place planet platform player podcast poem politician
    position president producer province queen religion restaurant river school series ship show
    singer song stadium star state station store street studio team tournament town tribe
    university village war website woman writer
"""
_ASKS_FOR_NAME = re.compile(
    rf"\b(?:what|which)\s+(?:[\w'’-]+\s+){{0,3}}?(?:{'|'.join(_NAMED_THINGS.split())})\b"
    r"|\bwhat (?:is|was|are|were) [^?]{0,40}?\b(?:name|title|nickname)\b|\b(?:called|named)\s*\?",
    re.IGNORECASE,
)
_NO_NAME = re.compile(r"\b(?:what|which)\s+(?:kind|kinds|type|types|sort|sorts)\b", re.IGNORECASE)


def offered_answer(question: str, sentence: str) -> str:
    """One of two things that a question offers ("..., the Rhine or the Elbe?").

    Args:
        question: The question.
        sentence: What the memories say about it.

    Returns:
        That of the two that the sentence names, the first if it names both; "" if the question
        offers nothing or the sentence names neither.
    """
    match = _OFFERED.search(question) or _OF_TWO.search(question)
    if match is None:
        return ""
    said = set(words_of(sentence))
    one, other = _name_at_end(match["one"]), _name_at_end(match["other"])
    if not one or other != match["other"].strip():
        return ""
    shares = [_share(name, said) for name in (one, other)]
    if max(shares) == 0:
        return ""
    return one if shares[0] >= shares[1] else other


def asks_for_name(question: str) -> bool:
    """Whether a question asks for something that has a name of its own."""
    return bool(_ASKS_FOR_NAME.search(question)) and not _NO_NAME.search(question)


def name_in(sentence: str, known: set[str]) -> str:
    """The title or name in a sentence that the question does not say itself.

    Args:
        sentence: Without remarks in brackets.
        known: The question's words, in lower case.

    Returns:
        A quoted title before a name, a longer name before a shorter one; "" if there is none.
    """
    for title in _QUOTED.findall(sentence):
        if not set(words_of(title)) <= known:
            return str(title)
    names = [
        match[0]
        for match in _PROPER.finditer(sentence)
        if content_words(match[0])
        and not _content(match[0]) & known
        # The first word of a sentence is written large whatever it is.
        and not _GREETING.match(match[0])
        and not (_BEGINNING.search(sentence[: match.start()]) and len(match[0].split()) == 1)
    ]
    return max(names, key=lambda name: len(name.split()), default="")


def _name_at_end(text: str) -> str:
    match = re.search(rf"(?:[Tt]he )?{_NAME}\Z", text.strip())
    return match[0] if match else ""


def _content(text: str) -> set[str]:
    return set(content_words(text)) or set(words_of(text))


def _share(name: str, said: set[str]) -> float:
    words = _content(name)
    return len(words & said) / len(words) if words else 0.0
