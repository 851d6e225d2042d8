"""How far an answer has the words of the right one: the token F1 of published numbers."""

import re
import string
from collections import Counter
from functools import lru_cache

from nltk.stem.porter import PorterStemmer

from langgraph_memskill.errors import DataError

_STEMMER = PorterStemmer()
_DROPPED_WORDS = re.compile(r"\b(?:a|an|the|and)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize(text: str) -> str:
    """Return a text in lower case without ASCII punctuation and the words a, an, the, and.

    Hyphens, colons and points join what stands around them ("7:40" becomes "740": QUIRK 68, kept
    because published scores do it).

    Raises:
        DataError: The value is no text.
    """
    if not isinstance(text, str):
        raise DataError(f"{text!r} is no text; only texts can be compared")
    bare = text.lower().translate(_PUNCTUATION)
    return " ".join(_DROPPED_WORDS.sub(" ", bare).split())


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """Return the Porter stem of a word (NLTK's default mode)."""
    return str(_STEMMER.stem(word))


def stems(text: str) -> list[str]:
    """Return the stems of a text's words after `normalize`."""
    return [stem(word) for word in normalize(text).split()]


def token_f1(prediction: str, answer: str) -> float:
    """Return the harmonic mean of precision and recall over stemmed words.

    A word counts as often as it occurs. Two empty texts score 0 (QUIRK 68). Any text is scored as
    it stands, "API Request Error" too: a failed call never gets here as an answer (QUIRK 63).

    Args:
        prediction: The answer to score.
        answer: The gold answer.

    Returns:
        A score in [0, 1].

    Raises:
        DataError: A value is no text.
    """
    predicted, gold = Counter(stems(prediction)), Counter(stems(answer))
    shared = (predicted & gold).total()
    if shared == 0:
        return 0.0
    precision, recall = shared / predicted.total(), shared / gold.total()
    return 2 * precision * recall / (precision + recall)
