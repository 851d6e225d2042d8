"""Whether two memories say the same. Pure, and on the safe side: a doubt means that they differ."""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

_CACHED = 4096
"""Texts whose words are kept: each is compared with many others."""
# Not the question mark, which makes a statement a question, nor what can be part of a number.
_MARKS = r"\s,;:!…。！、，\"'`‘“”«»()\[\]{}*_"
_AROUND = re.compile(rf"^(?:[{_MARKS}]|[.](?!\d))+|[{_MARKS}.]+$")
_LIGHT = frozenset({"a", "an", "the", "that", "also"})
"""Words that come and go without a change of meaning, in small letters ("vitamin A")..."""
_WEIGHTY_BEFORE = frozenset({"few", "little", "bit", "lot"})
"""... and not before these ("few friends", "a few friends")."""
_NUMBERS = {
    word: str(number)
    for number, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six")
        + ("seven", "eight", "nine", "ten", "eleven", "twelve")
    )
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
_RELATIVE_DATE = re.compile(
    r"\b(?:yesterday|today|tonight|tomorrow|ago|(?:last|past|this|next|coming|other)\s+\w+"
    r"|gestern|heute|morgen|vorgestern|hier|aujourd'hui|demain|ayer|hoy|mañana|anoche|ieri|oggi"
    r"|domani|ontem|hoje|amanhã|вчера|сегодня|завтра)\b"
    r"|昨[天日晚]|今[天日晚]|明[天日]|어제|오늘|내일",
    re.IGNORECASE,
)
_FIRST_PERSON = re.compile(
    r"\b(?:i|i'm|me|my|mine|myself|we|us|our|ours|ich|mich|mir|mein\w*|wir|uns\w*|je|j'\w+|moi|mon"
    r"|ma|mes|nous|notre|yo|mí|mis?|nosotr\w+|nuestr\w+|io|mio|mia|noi|eu|meu|minha|nós|я|мне|меня"
    r"|мой|моя|мы|нас|наш\w*)\b|我|私|僕|俺|나는|내가|저는",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a memory says, and what is known of who said it when."""

    text: str
    speakers: frozenset[str] = frozenset()
    """Empty if unknown."""
    times: frozenset[str] = frozenset()
    """Dates of the interactions, as the sources wrote them; empty if unknown."""


def says_the_same(one: Statement, other: Statement) -> bool:
    """Whether two statements are one fact, said twice.

    The texts must have the same words (`may_say_the_same`) or differ in mere typing. "I have a dog"
    of two people is two facts, and so is "we went camping last weekend" of two dates.
    """
    if not (is_same_text(one.text, other.text) or may_say_the_same(one.text, other.text)):
        return False
    if one.speakers and other.speakers:
        is_own = bool(_FIRST_PERSON.search(one.text))
        if is_own and one.speakers != other.speakers or not one.speakers & other.speakers:
            return False
    return not _RELATIVE_DATE.search(one.text) or bool(one.times & other.times)


def is_same_text(one: str, other: str) -> bool:
    """Whether two texts are the same but for blanks, the first capital, and marks at their ends.

    Other capitals count: they tell Polish from polish.
    """
    return _bare(one) == _bare(other)


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


def plain_words(text: str) -> tuple[str, ...]:
    """The words that count, in order: small letters, no contractions, numbers as digits."""
    return tuple(word.text for word in _words(text))


def words_key(text: str) -> tuple[str, ...]:
    """What all texts have in common that may say the same; for finding them among many."""
    return tuple(sorted(plain_words(text)))


class _Word(NamedTuple):
    text: str
    """As it is compared."""
    is_capital: bool | None
    """Whether it begins with a capital; None at the beginning of a sentence, where all words do."""
    ends_clause: bool


@lru_cache(_CACHED)
def _bare(text: str) -> str:
    typed = " ".join(_plain(text).split())
    bare = _AROUND.sub("", typed) or typed
    return bare[:1].lower() + bare[1:]


def _plain(text: str) -> str:
    """One form for every letter; but 5² stays apart from 52."""
    forms = (c if _is_raised(c) else unicodedata.normalize("NFKC", c) for c in text)
    return unicodedata.normalize("NFC", "".join(forms)).replace("’", "'")


def _is_raised(character: str) -> bool:
    return unicodedata.decomposition(character).startswith(("<super>", "<sub>", "<fraction>"))


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


@lru_cache(_CACHED)
def _words(text: str) -> list[_Word]:
    typed = _THOUSANDS.sub("", _plain(text)).split()
    bare = [_AROUND.sub("", word) for word in typed]
    words: list[_Word] = []
    is_start = True
    for word, core, following in zip(typed, bare, [*bare, ""][1:], strict=True):
        is_light = core.lower() in _LIGHT and following.lower() not in _WEIGHTY_BEFORE
        if not is_light or not (is_start or core.islower()):
            is_capital = None if is_start else core[:1].isupper()
            parts = _expanded(core.casefold()).split()
            words += [_Word(_spelled(part), is_capital, False) for part in parts]
        is_start = word.rstrip("\"')”").endswith((".", "!", "?", ":")) or (is_start and not core)
        if word.endswith(",") and words:
            words[-1] = words[-1]._replace(ends_clause=True)
    return words


def _expanded(word: str) -> str:
    for pattern, full in _CONTRACTED:
        word = pattern.sub(full, word)
    return word


def _spelled(word: str) -> str:
    ordinal = _ORDINAL.fullmatch(word)
    return ordinal[1] if ordinal else _NUMBERS.get(word, word)
