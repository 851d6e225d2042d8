"""Whether two memories say the same. Pure, and on the safe side: a doubt means that they differ."""

import re
import unicodedata
from typing import NamedTuple

_SENTENCE_MARKS = ".,;:!?…。！？、，\"'`’‘“”«»()[]{}<>*_"
_LIGHT = frozenset({"a", "an", "the", "that", "also"})
"""Words that come and go without a change of meaning."""
_NUMBERS = {
    "zero": "0",
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
    "ten": "10",
    "eleven": "11",
    "twelve": "12",
}
_CONTRACTED = (
    (re.compile(r"\bcan't\b|\bcannot\b"), "can not"),
    (re.compile(r"\bwon't\b"), "will not"),
    (re.compile(r"\bshan't\b"), "shall not"),
    (re.compile(r"n't\b"), " not"),
    (re.compile(r"'re\b"), " are"),
    (re.compile(r"'ve\b"), " have"),
    (re.compile(r"'ll\b"), " will"),
    (re.compile(r"\bi'm\b"), "i am"),
)
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
_ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)")


class _Word(NamedTuple):
    text: str
    """As it is compared."""
    is_capital: bool | None
    """Whether it begins with a capital; None at the beginning of a sentence, where all words do."""
    ends_clause: bool


def normalised(text: str) -> str:
    """A text without what is mere typing: blanks, forms of letters, marks at its ends.

    The first letter is a small one. Other capitals stay: they tell Polish from polish.
    """
    typed = " ".join(unicodedata.normalize("NFKC", text).replace("’", "'").split())
    bare = typed.strip(_SENTENCE_MARKS + " ") or typed
    return bare[:1].lower() + bare[1:]


def is_same_text(one: str, other: str) -> bool:
    """Whether two texts are the same but for blanks, the first capital, and marks at their ends."""
    return normalised(one) == normalised(other)


def may_say_the_same(one: str, other: str) -> bool:
    """Whether two texts have the same words in the same order.

    Articles and the like, contractions, the spelling of numbers and the place of a clause before or
    behind a comma ("On 7 May, Ann left" and "Ann left on 7 May") make no difference. Every other
    word does, so the texts have the same numbers, names and negations.
    """
    first, second = _words(one), _words(other)
    if not first or len(first) != len(second):
        return False
    return any(
        _matches(turned, fixed)
        for turned, fixed in [
            *((turned, second) for turned in _turned(first)),
            *((turned, first) for turned in _turned(second)),
        ]
    )


def _matches(one: list[_Word], other: list[_Word]) -> bool:
    return all(
        a.text == b.text
        and (a.is_capital == b.is_capital or a.is_capital is None or b.is_capital is None)
        for a, b in zip(one, other, strict=True)
    )


def _turned(words: list[_Word]) -> list[list[_Word]]:
    """The words as they are, and with what stands before each comma put at the end."""
    cuts = [i + 1 for i, word in enumerate(words[:-1]) if word.ends_clause]
    return [words, *(words[cut:] + words[:cut] for cut in cuts)]


def _words(text: str) -> list[_Word]:
    plain = _THOUSANDS.sub("", unicodedata.normalize("NFKC", text).replace("’", "'"))
    words: list[_Word] = []
    is_start = True
    for typed in plain.split():
        bare = typed.strip(_SENTENCE_MARKS)
        is_capital = None if is_start else bare[:1].isupper()
        folded = _expanded(bare.casefold())
        parts = [word for part in folded.split() if (word := _spelled(part)) not in _LIGHT]
        words += [_Word(part, is_capital, False) for part in parts]
        is_start = typed.rstrip("\"'’”)").endswith((".", "!", "?", ":")) or (is_start and not bare)
        if typed.endswith(",") and words:
            words[-1] = words[-1]._replace(ends_clause=True)
    return words


def _expanded(word: str) -> str:
    for pattern, full in _CONTRACTED:
        word = pattern.sub(full, word)
    return word


def _spelled(word: str) -> str:
    ordinal = _ORDINAL.fullmatch(word)
    return ordinal[1] if ordinal else _NUMBERS.get(word, word)
