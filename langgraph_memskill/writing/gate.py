"""The gate: whether a span can hold anything worth storing, known without any model.

It errs on one side only. A span is passed over if all of its words, in all of its turns, are made
up of phrases that say nothing; one number, one name, one word more, and the model reads it.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache

from langgraph_memskill.records import Span
from langgraph_memskill.writing.phrases import PHRASES

_URL = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
_ROLE = re.compile(r"^[ \t]*(?:user|assistant|human|ai|system):", re.IGNORECASE | re.MULTILINE)
_LAUGH = re.compile(r"[ah]*(?:ha|he|hi|ho|ja|je){2,}h?|[lo]*lol[lo]*|[xd]*xd[xd]*|k{2,}")
_RUN = re.compile(r"(.)\1{2,}")
# Scripts that are written without blanks: every character is a token of its own.
_UNSPACED = re.compile(r"([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])")
_LAYOUT_WORDS = frozenset({"said", "date", "conversation", "session"})
_MOST_CHARACTERS = 2000
"""A longer span is read without looking: nobody greets at such length."""


def is_small_talk(span: Span) -> bool:
    """Whether a span holds nothing worth storing.

    Args:
        span: Any span. Of one with turns, what the turns say counts; the names of the speakers
            and the date of the session do not.

    Returns:
        True if it has no numbers and no pictures and all it says are greetings, thanks,
        acknowledgements and fillers of the languages in `phrases`, emoji, punctuation or links. So
        a "yes" counts as nothing only where nothing but such words comes before it in its span.
    """
    if len(span.text) > _MOST_CHARACTERS or any(turn.caption for turn in span.turns):
        return False
    said = [turn.text for turn in span.turns] or [_ROLE.sub(" ", span.text)]
    if any(character.isnumeric() for text in said for character in text):
        return False
    if span.turns and _untold(span):
        return False
    return all(_is_empty(_words(_URL.sub(" ", text))) for text in said)


def _untold(span: Span) -> set[str]:
    """Words of the span's text that are neither in its turns nor in its layout."""
    known = [span.time or "", span.session or ""]
    known += [text for turn in span.turns for text in (turn.text, turn.speaker)]
    return set(_words(span.text)) - _LAYOUT_WORDS - {w for text in known for w in _words(text)}


def _words(text: str) -> list[str]:
    folded = unicodedata.normalize("NFKC", text).replace("’", "'").casefold()
    spaced = _UNSPACED.sub(r" \1 ", folded)
    # Not \w: the vowel signs of many scripts are marks, and no letters to Python.
    letters = "".join(c if unicodedata.category(c)[0] in "LMN" or c == "'" else " " for c in spaced)
    words = (word.strip("'") for word in letters.split())
    return [word for word in words if any(unicodedata.category(c)[0] in "LN" for c in word)]


def _is_empty(words: Sequence[str]) -> bool:
    """Whether the words can be cut into known phrases without a rest."""
    phrases, longest = _phrases()
    spellings = [_spellings(word) for word in words]
    reached = {0}
    for start in range(len(words)):
        if start not in reached:
            continue
        if _LAUGH.fullmatch(words[start]):
            reached.add(start + 1)
        starts: list[tuple[str, ...]] = [()]
        for end in range(start, min(start + longest, len(words))):
            starts = [(*start_, word) for start_ in starts for word in spellings[end]]
            starts = [part for part in starts if part in phrases]
            if any(phrases[part] for part in starts):
                reached.add(end + 1)
            if not starts:
                break
    return len(words) in reached


def _spellings(word: str) -> Iterable[str]:
    """The word, and what it may be without the emphasis of repeated letters ("thaaanks")."""
    return dict.fromkeys((word, _RUN.sub(r"\1\1", word), _RUN.sub(r"\1", word)))


@cache
def _phrases() -> tuple[dict[tuple[str, ...], bool], int]:
    """All beginnings of phrases, each with whether it is a phrase itself; and the most words."""
    found: dict[tuple[str, ...], bool] = {}
    for phrase in PHRASES:
        words = tuple(_words(phrase))
        for end in range(1, len(words)):
            found.setdefault(words[:end], False)
        found[words] = True
    return found, max(map(len, found))
