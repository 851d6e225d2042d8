"""Memories by time: of the dates that a question names first, then the newest."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

from dateparser.date import DateDataParser
from dateparser.search import search_dates

from langgraph_memskill.records import Memory

_SETTINGS = {"RETURN_AS_TIMEZONE_AWARE": False, "PREFER_DATES_FROM": "past"}
_LENGTHS = {"year": 4, "month": 7}
"""How much of an ISO date a period fixes; anything shorter is a day."""
_READ_CHARACTERS = 2000


def by_time(query: str, memories: Sequence[Memory]) -> list[str]:
    """Rank memories by time.

    Args:
        query: A question; dates in it such as "in May 2023" or "on 7 June 2023" count.
        memories: In any order.

    Returns:
        Their ids: first those that come from a day, month or year that the question names, then the
        rest; each newest first by the date of the source, or the writing where there is none.
    """
    periods = named_periods(query)
    times = {memory.id: _time(memory) for memory in memories}

    def is_named(memory_id: str) -> bool:
        return any(times[memory_id].isoformat().startswith(period) for period in periods)

    newest = sorted(times, key=lambda memory_id: times[memory_id], reverse=True)
    return sorted(newest, key=lambda memory_id: not is_named(memory_id))


@lru_cache(maxsize=1024)
def named_periods(query: str) -> tuple[str, ...]:
    """The absolute dates in a text, as the beginnings of ISO dates ("2023-05")."""
    found = search_dates(query[:_READ_CHARACTERS], languages=["en"], settings=_SETTINGS) or []
    parser = DateDataParser(languages=["en"], settings=_SETTINGS)
    periods = []
    for words, _ in found:
        if not any(character.isdigit() for character in words):
            continue  # "today", "then" and the like name no date
        data = parser.get_date_data(words)
        if data.date_obj is not None:
            periods.append(data.date_obj.date().isoformat()[: _LENGTHS.get(data.period, 10)])
    return tuple(dict.fromkeys(periods))


def _time(memory: Memory) -> datetime:
    texts = [source.time for source in memory.sources if source.time]
    parsed = _parsed(texts[-1]) if texts else None
    return parsed or memory.updated_at.astimezone(UTC).replace(tzinfo=None)


@lru_cache(maxsize=4096)
def _parsed(text: str) -> datetime | None:
    found = DateDataParser(languages=["en"], settings=_SETTINGS).get_date_data(text).date_obj
    return None if found is None else found.replace(tzinfo=None)
