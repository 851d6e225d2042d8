"""What the rules call a problem and what they call advice."""

import pytest

from langgraph_memskill.records import ActionType
from langgraph_memskill.skills.lint import lint
from langgraph_memskill.skills.rules import (
    LintLevel,
    advice,
    context_placeholders,
    name_problem,
    record_problems,
    similar_descriptions,
    text_problems,
)

GOOD = {
    "name": "track_dates",
    "description": "Record dates.",
    "instructions": "Write the date.",
    "action_type": "insert",
}


def test_good_texts_have_no_problem():
    assert text_problems(**GOOD) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "two words"),
        ("name", "../up"),
        ("name", "_hidden"),
        ("name", "dotted.name"),
        ("name", "naïve"),
        ("name", "a" * 65),
        ("name", 7),
        ("name", None),
        ("description", " \n "),
        ("description", "d" * 1025),
        ("description", None),
        ("description", ["a"]),
        ("description", "bell \x07"),
        ("instructions", ""),
        ("instructions", None),
        ("instructions", {"a": 1}),
        ("instructions", "half a character \ud800"),
        ("instructions", "i" * 100_001),
        ("instructions", "Read {session_text} first."),
        ("action_type", "merge"),
        ("action_type", "INSERT"),
        ("action_type", None),
        ("action_type", 5),
    ],
)
def test_one_bad_text_is_one_problem_in_its_field(field, value):
    problems = text_problems(**(GOOD | {field: value}))
    assert [problem.field for problem in problems] == [field]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "a" * 64),
        ("name", "pdf-forms"),
        ("name", "Beta2"),
        ("description", "d" * 1024),
        ("instructions", 'Answer as JSON: {"a": 1}\tand\nso on'),
        ("instructions", "Write {name} likes {thing}."),
        ("action_type", "noop"),
    ],
)
def test_values_at_the_limits_are_fine(field, value):
    assert text_problems(**(GOOD | {field: value})) == []


def test_all_problems_are_found_at_once():
    problems = text_problems(name="", description=None, instructions=3, action_type="x")
    fields = [problem.field for problem in problems]
    assert fields == ["name", "description", "instructions", "action_type"]


@pytest.mark.parametrize("kind", ["insert", "update"])
def test_the_designer_may_write_insert_and_update(kind):
    assert text_problems(**(GOOD | {"action_type": kind}), evolved=True) == []


@pytest.mark.parametrize("kind", ["delete", "noop"])
def test_the_designer_may_write_nothing_else(kind):
    (problem,) = text_problems(**(GOOD | {"action_type": kind}), evolved=True)
    assert problem.field == "action_type"
    assert "insert, update" in problem.message


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("plain", ()),
        ("{session_text} and {retrieved_memories}", ("session_text", "retrieved_memories")),
        ("{{session_text}}", ("session_text",)),
        ("{ Memories } twice {Memories}", ("Memories",)),
        ("{span!r} {context:>9}", ("span", "context")),
        ("session_text without braces", ()),
        ("{thing} {0} {} {a b}", ()),
    ],
)
def test_context_placeholders(text, found):
    assert context_placeholders(text) == found


def test_hostile_braces_take_no_time():
    assert context_placeholders("{ " * 20_000 + "{a:" * 20_000) == ()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("origin", ""),
        ("origin", "two words"),
        ("origin", 3),
        ("created_at", "yesterday"),
        ("modified_at", "2024-02-31T00:00:00"),
        ("modified_at", 2024),
        ("statistics", [1]),
        ("statistics", None),
    ],
)
def test_bad_record_fields(field, value):
    assert [problem.field for problem in record_problems({field: value})] == [field]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("usage_count", -1),
        ("usage_count", 1.0),
        ("usage_count", True),
        ("usage_count", "3"),
        ("mean_reward", float("nan")),
        ("mean_reward", float("inf")),
        ("mean_reward", 10**400),
        ("mean_reward", "0.5"),
        ("recent_rewards", 0.5),
        ("recent_rewards", [0.5, float("nan")]),
        ("recent_rewards", [0.0] * 21),
        ("usage_ema", -0.1),
        ("usage_ema", 1.1),
        ("usage_ema", float("nan")),
    ],
)
def test_bad_statistics(field, value):
    (problem,) = record_problems({"statistics": {field: value}})
    assert problem.field == f"statistics.{field}"


def test_good_record_fields():
    times = {"created_at": "initial", "modified_at": "2024-02-29T10:00:00Z"}
    statistics = {"usage_count": 0, "mean_reward": -1, "recent_rewards": [0.1] * 20, "usage_ema": 1}
    assert record_problems({"origin": "designer", **times, "statistics": statistics}) == []


def test_a_message_stays_short_whatever_the_value():
    assert len(name_problem(["x" * 10_000] * 10_000) or "") < 600


COMPLETE = """## Purpose
Keep the dates of everything that people tell.
## When to use
- A date is told.
## How to apply
- Write it in full.
## Constraints
- No guesses.
## Action
INSERT only."""
DESCRIPTION = "Record dates and times of what people did, such as last Friday."


def test_a_complete_skill_gets_no_advice(make_skill):
    assert advice(make_skill(description=DESCRIPTION, instructions=COMPLETE)) == []


@pytest.mark.parametrize(
    ("changes", "field", "part"),
    [
        ({"name": "pdf-forms"}, "name", "snake_case"),
        ({"description": "Dates."}, "description", "only 6 characters"),
        ({"description": "d" * 700}, "description", "700 characters"),
        ({"instructions": COMPLETE * 40}, "instructions", "characters; above"),
        (
            {"instructions": COMPLETE.replace("Constraints", "Limits")},
            "instructions",
            "Constraints",
        ),
        ({"instructions": COMPLETE + " Fill in {person}."}, "instructions", "{person}"),
        ({"action_type": ActionType.UPDATE}, "instructions", "action type is update"),
    ],
)
def test_advice(make_skill, changes, field, part):
    fields = {"description": DESCRIPTION, "instructions": COMPLETE} | changes
    (found,) = advice(make_skill(**fields))
    assert found.field == field
    assert part in found.message


def test_short_instructions_lack_length_and_sections(make_skill):
    messages = [p.message for p in advice(make_skill(description=DESCRIPTION))]
    assert messages == [
        "has only 23 characters; say more precisely what to do and when",
        "no section Purpose, When to use, How to apply, Constraints, Action",
    ]


def test_descriptions_are_compared_by_their_words(make_skill):
    first = make_skill("first", description="Record dates, times & places.")
    same = make_skill("same", description="record DATES times places")
    other = make_skill("other", description="Record preferences and opinions.")
    assert similar_descriptions([first, other, same]) == [(first, same)]


def test_lint_of_one_broken_record(make_skill):
    issues = lint(make_skill(description="", instructions=COMPLETE))
    assert [str(issue) for issue in issues] == ["error: skill 'track_dates': description: is empty"]


def test_lint_of_several_records_compares_them(make_skill):
    fields = {"description": DESCRIPTION, "instructions": COMPLETE}
    (issue,) = lint([make_skill("first", **fields), make_skill("second", **fields)])
    assert (issue.level, issue.skill, issue.field) == (LintLevel.ADVICE, "second", "description")
    assert "'first'" in issue.message
