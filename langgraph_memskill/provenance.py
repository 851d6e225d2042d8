"""Which turns of a span a memory's words come from."""

import re
from collections import Counter
from functools import lru_cache

from langgraph_memskill.records import Source, Span, Turn

_MAX_TURNS = 3
_NEAR_BEST = 0.6
"""Share of the best turn's weight that another turn needs to be named beside it."""


def attribute(content: str, span: Span) -> Source:
    """Name the turns of a span that a memory was written from.

    No model is asked, so it works for every executor: a turn's weight is the weight of the words
    that it shares with the memory, a word counting the less the more turns of the span use it.

    Args:
        content: The memory's text.
        span: The span that it was written from.

    Returns:
        The source; at most three turns, in the span's order, none if no word is shared.
    """
    words, frequency = _vocabulary(tuple(span.turns))
    wanted = _words(content)
    weights = [sum(1 / frequency[word] for word in turn_words & wanted) for turn_words in words]
    best = max(weights, default=0.0)
    near = [i for i, weight in enumerate(weights) if weight > 0 and weight >= _NEAR_BEST * best]
    kept = sorted(sorted(near, key=lambda i: (-weights[i], i))[:_MAX_TURNS])
    return Source(
        span_id=span.id,
        turn_ids=tuple(span.turns[i].id for i in kept),
        session=span.session,
        time=span.time,
        speakers=tuple(dict.fromkeys(span.turns[i].speaker for i in kept)),
    )


@lru_cache(maxsize=64)
def _vocabulary(turns: tuple[Turn, ...]) -> tuple[list[set[str]], Counter[str]]:
    """The words of each turn, and how many turns use each: the same for all memories of a span."""
    words = [_words(f"{turn.speaker} {turn.text}") for turn in turns]
    return words, Counter(word for turn_words in words for word in turn_words)


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))
