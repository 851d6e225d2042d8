"""Relative dates in English text ("yesterday", "two weeks ago") and the days that they mean.

Only expressions that mean one day, week, month or year are resolved, and no more precisely than
they were said: "last month" becomes a month, never a day. Everything else is left alone.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from functools import lru_cache
from typing import NamedTuple

from dateparser import parse

_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_NUMBERS = {
    word: number
    for number, words in enumerate(
        ("a an one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
        + ("eleven", "twelve"),
        start=1,
    )
    for word in words.split()
} | {"a couple of": 2, "a couple": 2}
_VAGUE = ("a few", "several", "some", "many")
_FURTHEST_YEARS = 150


class RelativeDate(NamedTuple):
    """A relative expression in a text and what it means."""

    start: int
    """Position of its first character."""
    end: int
    """Position after its last character."""
    meaning: str
    """What it means: "7 May 2023", "May 2023", "2022", "the week before 9 June 2023"."""


def parse_date(text: str | None) -> date | None:
    """Read the day out of a date as a source wrote it.

    Args:
        text: "1:56 pm on 8 May, 2023", "2023/05/20 (Sat) 02:21", "2023-05-08" ...

    Returns:
        The day; None if the text is no absolute date with day, month and year.
    """
    return _parse_date(text.strip()[:80]) if text and text.strip() else None


@lru_cache(maxsize=1024)
def _parse_date(text: str) -> date | None:
    try:
        # Most sources write ISO dates, and dateparser takes milliseconds for each.
        return (
            date.fromisoformat(text[:10]) if re.match(r"\d{4}-\d\d-\d\d", text) else _search(text)
        )
    except ValueError:
        return None


def _search(text: str) -> date | None:
    settings = {"REQUIRE_PARTS": ["day", "month", "year"], "PARSERS": ["absolute-time"]}
    found = parse(text, languages=["en"], settings=settings)
    return None if found is None else found.date()


def format_day(day: date) -> str:
    """Write a day like "7 May 2023"."""
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def resolve(text: str, said_on: date) -> tuple[RelativeDate, ...]:
    """Find the relative dates in a text.

    Args:
        text: English text.
        said_on: The day on which it was said.

    Returns:
        What was found, in order, without overlaps.
    """
    found = []
    for match in _EXPRESSION.finditer(text):
        rule = _RULES[str(match.lastgroup)]
        try:
            meaning = rule(match[str(match.lastgroup)].lower(), said_on)
        except (OverflowError, ValueError):
            continue
        if meaning:
            found.append(RelativeDate(match.start(), match.end(), meaning))
    return tuple(found)


def annotate(text: str, said_on: date | None) -> str:
    """Write the meaning of each relative date behind it: "yesterday [7 May 2023]".

    Args:
        text: English text.
        said_on: The day on which it was said; None leaves the text alone.

    Returns:
        The text with the meanings in square brackets.
    """
    if said_on is None:
        return text
    pieces, position = [], 0
    for found in resolve(text, said_on):
        pieces += [text[position : found.end], f" [{found.meaning}]"]
        position = found.end
    return "".join([*pieces, text[position:]])


def _shift_months(day: date, months: int) -> str:
    index = day.year * 12 + day.month - 1 + months
    return f"{_MONTHS[index % 12]} {_year(index // 12, day)}"


def _year(year: int, said_on: date) -> int:
    if abs(year - said_on.year) > _FURTHEST_YEARS:
        raise ValueError(year)
    return year


def _near_day(phrase: str, said_on: date) -> str:
    offsets = {"day before yesterday": -2, "day after tomorrow": 2, "yesterday": -1, "tomorrow": 1}
    for words, offset in offsets.items():
        if words in phrase:
            return format_day(said_on + timedelta(days=offset))
    return format_day(said_on - timedelta(days=1) if phrase == "last night" else said_on)


def _weekday(phrase: str, said_on: date) -> str:
    which, name = phrase.split()
    number = [weekday[:3].lower() for weekday in _WEEKDAYS].index(name[:3])
    if which in ("last", "past"):
        return format_day(said_on - timedelta(days=(said_on.weekday() - number - 1) % 7 + 1))
    monday = said_on - timedelta(days=said_on.weekday())
    # "Next Friday" is the Friday of next week, also when this week's is still to come.
    return format_day(monday + timedelta(days=number + (7 if which == "next" else 0)))


def _month(phrase: str, said_on: date) -> str:
    which, name = phrase.split()
    number = [month.lower() for month in _MONTHS].index(name) + 1
    year = said_on.year
    if which in ("last", "past") and number >= said_on.month:
        year -= 1
    if which == "next" and number <= said_on.month:
        year += 1
    return f"{_MONTHS[number - 1]} {year}"


def _period(phrase: str, said_on: date) -> str:
    which, unit = phrase.split()
    step = {"last": -1, "past": -1, "this": 0, "next": 1}[which]
    if unit == "month":
        return _shift_months(said_on, step)
    if unit == "year":
        return str(said_on.year + step)
    word = {-1: "before", 0: "of", 1: "after"}[step]
    return f"the {unit} {word} {format_day(said_on)}"


def _season(phrase: str, said_on: date) -> str:
    return f"{phrase.split()[1]} {said_on.year}"


def _ago(phrase: str, said_on: date) -> str:
    match = re.fullmatch(r"(.+?)\s+(day|week|weekend|month|year)s?\s+(?:ago|back)", phrase)
    if match is None:
        return ""
    amount, unit = " ".join(match[1].split()), match[2]
    if amount in _VAGUE:
        return f"{amount} {unit}s before {format_day(said_on)}"
    count = int(amount) if amount.isdecimal() else _NUMBERS[amount]
    if unit == "weekend":
        return f"{amount} {'weekend' if count == 1 else 'weekends'} before {format_day(said_on)}"
    return _before(count, unit, said_on)


def _before(count: int, unit: str, said_on: date) -> str:
    if unit == "month":
        return _shift_months(said_on, -count)
    if unit == "year":
        return str(_year(said_on.year - count, said_on))
    if unit == "day":
        return format_day(said_on - timedelta(days=count))
    return f"around {format_day(said_on - timedelta(weeks=count))}"


def _other_day(phrase: str, said_on: date) -> str:
    return f"a few {phrase.split()[-1]}s before {format_day(said_on)}"


_WHICH = r"(?:last|past|this|next)"
_AMOUNT = "|".join(
    [r"\d{1,3}", *(re.escape(word).replace(r"\ ", r"\s+") for word in (*_NUMBERS, *_VAGUE))]
)
_PATTERNS: Mapping[str, str] = {
    "near_day": (
        r"(?:the\s+)?day\s+before\s+yesterday|(?:the\s+)?day\s+after\s+tomorrow|yesterday|tomorrow"
        r"|today|tonight|last\s+night|this\s+(?:morning|afternoon|evening)"
    ),
    "ago": rf"(?:{_AMOUNT})\s+(?:day|week|weekend|month|year)s?\s+(?:ago|back\b(?!\s+(?:in|to)))",
    "weekday": (
        _WHICH + r"\s+(?:mon|tues|wednes|thurs|fri|satur|sun)day"
        r"|(?:last|next)\s+(?:mon|tues?|wed|thu(?:rs?)?|fri|sat|sun)"
    ),
    "month": _WHICH + rf"\s+(?:{'|'.join(_MONTHS)})",
    # "The past year" is a stretch of time; "this past weekend" is not.
    "period": r"(?:last|this|next)\s+(?:week|weekend|month|year)|past\s+weekend",
    "season": r"this\s+(?:spring|summer|fall|autumn|winter)",
    "other_day": r"the\s+other\s+(?:day|week)",
}
_RULES: Mapping[str, Callable[[str, date], str]] = {
    "near_day": lambda phrase, day: _near_day(" ".join(phrase.split()), day),
    "ago": _ago,
    "weekday": _weekday,
    "month": _month,
    "period": _period,
    "season": _season,
    "other_day": _other_day,
}
_EXPRESSION = re.compile(
    r"(?<![\w'-])(?:"
    + "|".join(f"(?P<{name}>{pattern})" for name, pattern in _PATTERNS.items())
    + r")(?:['’]s)?(?![\w-])",
    re.IGNORECASE,
)
