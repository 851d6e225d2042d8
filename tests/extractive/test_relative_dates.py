from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_memskill.extractive.relative_dates import annotate, format_day, parse_date, resolve

THURSDAY = date(2023, 5, 25)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1:56 pm on 8 May, 2023", date(2023, 5, 8)),
        ("2023/05/20 (Sat) 02:21", date(2023, 5, 20)),
        ("2023-05-08", date(2023, 5, 8)),
        ("2023-05-08T10:00:00+00:00", date(2023, 5, 8)),
        ("May 8th, 2023", date(2023, 5, 8)),
        ("8 May 2023", date(2023, 5, 8)),
        ("", None),
        ("   ", None),
        (None, None),
        ("yesterday", None),
        ("May 2023", None),
        ("2023-99-99", None),
        ("session 4", None),
    ],
)
def test_the_day_of_a_source_date(text, expected):
    assert parse_date(text) == expected


@pytest.mark.parametrize(
    ("phrase", "meaning"),
    [
        ("yesterday", "24 May 2023"),
        ("the day before yesterday", "23 May 2023"),
        ("today", "25 May 2023"),
        ("this morning", "25 May 2023"),
        ("tonight", "25 May 2023"),
        ("last night", "24 May 2023"),
        ("tomorrow", "26 May 2023"),
        ("the day after tomorrow", "27 May 2023"),
        ("two days ago", "23 May 2023"),
        ("3 days ago", "22 May 2023"),
        ("a couple of days ago", "23 May 2023"),
        ("a week ago", "around 18 May 2023"),
        ("two weeks ago", "around 11 May 2023"),
        ("six months ago", "November 2022"),
        ("4 years ago", "2019"),
        ("ten years back", "2013"),
        ("a few days ago", "a few days before 25 May 2023"),
        ("two weekends ago", "two weekends before 25 May 2023"),
        ("the other day", "a few days before 25 May 2023"),
        ("last Saturday", "20 May 2023"),
        ("last Thursday", "18 May 2023"),
        ("last Wednesday", "24 May 2023"),
        ("last Fri", "19 May 2023"),
        ("this Friday", "26 May 2023"),
        ("this Monday", "22 May 2023"),
        ("next Friday", "2 June 2023"),
        ("next Sunday", "4 June 2023"),
        ("last week", "the week before 25 May 2023"),
        ("this week", "the week of 25 May 2023"),
        ("next week", "the week after 25 May 2023"),
        ("this past weekend", "the weekend before 25 May 2023"),
        ("next month", "June 2023"),
        ("last month", "April 2023"),
        ("this month", "May 2023"),
        ("last year", "2022"),
        ("next year", "2024"),
        ("last December", "December 2022"),
        ("last May", "May 2022"),
        ("last January", "January 2023"),
        ("next May", "May 2024"),
        ("next September", "September 2023"),
        ("this summer", "summer 2023"),
    ],
)
def test_what_a_relative_date_means(phrase, meaning):
    (found,) = resolve(f"It was {phrase}, I think.", THURSDAY)
    assert found.meaning == meaning


@pytest.mark.parametrize(
    "text",
    [
        "over the past year",
        "in two weeks",
        "Monday is fine",
        "way back in Rome",
        "two years back in Rome",
        "this week-long course",
        "the last two months",
        "999 years ago",
        "yesterdays are gone",
        "I may go, march on",
        "the last person",
        "this sun is hot",
    ],
)
def test_what_is_no_relative_date_stays_alone(text):
    assert resolve(text, THURSDAY) == ()
    assert annotate(text, THURSDAY) == text


def test_meanings_stand_behind_their_words():
    text = "Yesterday I ran; last week's race was better, and next month I rest."
    assert annotate(text, THURSDAY) == (
        "Yesterday [24 May 2023] I ran; last week's [the week before 25 May 2023] race was "
        "better, and next month [June 2023] I rest."
    )


def test_without_a_day_nothing_is_resolved():
    assert annotate("I ran yesterday", None) == "I ran yesterday"


def test_month_and_year_ends_are_crossed():
    assert annotate("yesterday", date(2024, 3, 1)) == "yesterday [29 February 2024]"
    assert annotate("last month", date(2024, 1, 31)) == "last month [December 2023]"
    assert annotate("next month", date(2023, 12, 31)) == "next month [January 2024]"


def test_the_ends_of_the_calendar_do_not_fail():
    assert annotate("yesterday", date.min) == "yesterday"
    assert annotate("next Friday", date.max) == "next Friday"


def test_positions_point_at_the_words():
    (found,) = resolve("We met last Saturday.", THURSDAY)
    assert (found.start, found.end) == (7, 20)


def test_days_are_written_without_leading_zero():
    assert format_day(date(2023, 6, 1)) == "1 June 2023"


@given(st.text(), st.dates())
def test_any_text_keeps_its_words(text, said_on):
    found = resolve(text, said_on)
    assert all(a.end <= b.start for a, b in zip(found, found[1:], strict=False))
    restored = annotate(text, said_on)
    for item in found:
        restored = restored.replace(f" [{item.meaning}]", "", 1)
    assert restored == text
