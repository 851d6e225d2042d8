"""Action blocks, read through `parse_actions`."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langgraph_memskill.errors import ParseError
from langgraph_memskill.parsing import parse_actions
from langgraph_memskill.records import ActionType, ParsedAction

INSERT, UPDATE, DELETE, NOOP = ActionType


def insert(content: str, reasoning: str = "") -> ParsedAction:
    return ParsedAction(type=INSERT, content=content, reasoning=reasoning)


def update(index: int, content: str, reasoning: str = "") -> ParsedAction:
    return ParsedAction(type=UPDATE, memory_index=index, content=content, reasoning=reasoning)


def delete(index: int, reasoning: str = "") -> ParsedAction:
    return ParsedAction(type=DELETE, memory_index=index, reasoning=reasoning)


def read(text: str, num_memories: int = 5) -> tuple[ParsedAction, ...]:
    return parse_actions(text, num_memories)


def problems(text: str, num_memories: int = 5) -> list[str | None]:
    return [action.problem for action in read(text, num_memories)]


BLOCKS = """ACTION: INSERT
REASONING: new
MEMORY_ITEM: Ann moved to Oslo.

ACTION: UPDATE
MEMORY_INDEX: 1
UPDATED_MEMORY: Ann works at the port.

ACTION: DELETE
MEMORY_INDEX: 0
"""


@pytest.mark.parametrize(
    "wrapped",
    [
        f"```\n{BLOCKS}```",
        f"Here you are:\n```text\n{BLOCKS}```\nThat is all.",
        BLOCKS.replace("\n", "\r\n"),
        BLOCKS.replace("\n", "\r"),
        f"<think>ACTION: DELETE\nMEMORY_INDEX: 4\n</think>\n{BLOCKS}",
        f"<Thinking>a</Thinking> <think>b</think>{BLOCKS}",
        f"First I look at the skills.\n</think>\n{BLOCKS}",
        f"I will act now.\n\n{BLOCKS}\nLet me know if you need anything else.",
        BLOCKS.replace("ACTION", "**ACTION**").replace("MEMORY_ITEM:", "**MEMORY_ITEM:**"),
        BLOCKS.replace("ACTION: ", "### Action: "),
        BLOCKS.replace("ACTION:", "- ACTION:\n"),
        BLOCKS.replace("\n\n", "\n---\n"),
        BLOCKS.replace("\nREASONING: new", " REASONING: new").replace(
            "\n\n", "\n\nNext block:\n\n"
        ),
        BLOCKS.replace("MEMORY_INDEX: 1\n", "MEMORY_INDEX: 1, "),
        BLOCKS.replace("_", " "),
        BLOCKS.lower().replace("ann", "Ann").replace("oslo", "Oslo"),
    ],
)
def test_what_stands_around_blocks_does_not_matter(wrapped):
    assert read(wrapped) == read(BLOCKS)


@pytest.mark.parametrize(
    "content",
    [
        "Ann had a bad reaction to penicillin.",
        "The required action: delete old photos every May.",
        "Ann likes legal reasoning and memory games.",
        "He bought a memory item stick.",
        'The label says "ACTION: DELETE MEMORY_INDEX: 0".',
        "Ann's plan:\n- Content: interviews\n- Memory: a red boat\nReaction: none yet",
        "Steps:\nAction: delete the old photos first.\nMemory lane is the last stop.",
        "To run it:\n```\nmake all\n```\nThen wait.",
        "One paragraph.\n\nAnother paragraph about Ann.",
        "Ann's ages: 3, 5, 7.",
        "5",
        "🐝",
        "line separator\u2028inside\x85text",
    ],
)
@pytest.mark.parametrize("behind", ["", "\nREASONING: why", "\n\nACTION: NOOP"])
def test_words_inside_a_content_are_only_words(content, behind):
    found = read(f"ACTION: INSERT\nMEMORY_ITEM: {content}{behind}")
    assert [action.content for action in found if action.type is INSERT] == [content]
    assert all(action.problem is None for action in found)
    assert {action.type for action in found} <= {INSERT, NOOP}


@pytest.mark.parametrize(
    "tail",
    [
        "\n\nUPDATE block:",
        "\n---",
        "\n```",
        "\n2.",
        "\n-",
        ", ;",
        "\n\nI hope this helps!",
        "\n\nThat is all.\n\nLet me know.",
        "\n\n(No other actions are needed.)",
        "\n\nThe rest of the span holds nothing for a memory.",
    ],
)
def test_text_behind_a_content_does_not_stick_to_it(tail):
    assert read(f"ACTION: INSERT\nMEMORY_ITEM: Fact.{tail}") == (insert("Fact."),)


@pytest.mark.parametrize(
    "text",
    [
        "```ACTION: INSERT\nMEMORY_ITEM: a```",
        "```ACTION: INSERT MEMORY_ITEM: a```",
        "```INSERT\nMEMORY_ITEM: a\n```",
        "- **ACTION:** INSERT\n- **MEMORY_ITEM**: a",
        "**ACTION: INSERT**\n**MEMORY_ITEM: a**",
        "**Memory**\nACTION: `INSERT`\n`MEMORY_ITEM`: a",
        "ACTION: INSERT\nMEMORY ITEM a",
        "ACTION: INSERT\nContent: a",
        "ACTION: INSERT\nMEMORY = a",
        "(ACTION: INSERT)\nMEMORY_ITEM - a",
        "ACTİON: İNSERT\nNew memory: a",
    ],
)
def test_an_insert_may_be_written_in_many_ways(text):
    assert read(text) == (insert("a"),)


def test_code_inside_a_content_keeps_its_marks():
    content = "Ann types ```ls``` and **then** `cd`."
    assert read(f"```\nACTION: INSERT\nMEMORY_ITEM: {content}\n```") == (insert(content),)


def test_text_between_two_fences_belongs_to_neither_block():
    first, second = "ACTION: INSERT\nMEMORY_ITEM: a", "ACTION: DELETE\nMEMORY_INDEX: 1"
    text = f"```\n{first}\n```\nAnn is next.\n```\n{second}\n```"
    assert read(text) == (insert("a"), delete(1))


def test_a_list_behind_a_blank_line_belongs_to_the_content():
    text = "Rules:\n\n- Please knock.\n- Done means done."
    assert read(f"ACTION: INSERT\nMEMORY_ITEM: {text}") == (insert(text),)


def test_several_values_in_a_block_are_several_actions():
    assert read(
        "ACTION: INSERT\nMEMORY_ITEM: One, two;\nMEMORY_ITEM:\nNEW_MEMORY: Three.\n"
        "ACTION: UPDATE\nMEMORY_INDEX: 0\nUPDATED_MEMORY: a\nMEMORY_INDEX: 2\nUPDATED_MEMORY: b"
    ) == (insert("One, two"), insert("Three."), update(0, "a"), update(2, "b"))


def test_an_insert_without_a_field_name_takes_its_lines():
    text = (
        "ACTION: INSERT\nINSERT block:\n• Ann sings.\n2. Bo paints.\n-\nREASONING: a\n- Cy cooks."
    )
    assert [action.content for action in read(text)] == ["Ann sings.", "Bo paints.", "Cy cooks."]


def test_bare_verbs_on_lines_of_their_own_are_marks():
    assert read("- INSERT\nMEMORY_ITEM: a\n**DELETE**\nMEMORY_INDEX: 1\n\nNOOP:") == (
        insert("a"),
        delete(1),
        ParsedAction(type=NOOP),
    )


def test_all_blocks_may_share_one_line():
    assert read(
        "ACTION: INSERT MEMORY_ITEM: a REASONING: why ACTION: DELETE MEMORY_INDEX: 1 ACTION: NOOP"
    ) == (insert("a", "why"), delete(1), ParsedAction(type=NOOP))


def test_a_mark_in_the_middle_of_a_line_counts_only_outside_values():
    assert read("Sure. ACTION: INSERT\nMEMORY_ITEM: a ACTION: DELETE MEMORY_INDEX: 1") == (
        insert("a ACTION: DELETE MEMORY_INDEX: 1"),
    )


def test_prose_that_speaks_of_actions_is_no_mark():
    with pytest.raises(ParseError):
        read("The best action: delete nothing here.")


@pytest.mark.parametrize(
    ("value", "indices"),
    [
        ("3", [3]),
        (" [1]", [1]),
        ("#3", [3]),
        ("`2`", [2]),
        ("0, 2, 4", [0, 2, 4]),
        ("[0, 2 and 4]", [0, 2, 4]),
        ("1 2 3", [1, 2, 3]),
        ("0 / 1", [0, 1]),
        ("2 (the 3 cats)", [2]),
        ("2.", [2]),
        ("003", [3]),
        ("\n4", [4]),
        ("٣", [3]),
    ],
)
def test_indices_are_read(value, indices):
    assert read(f"ACTION: DELETE\nMEMORY_INDEX:{value}") == tuple(delete(n) for n in indices)


@pytest.mark.parametrize("value", ["-1", "2.7", "1-3", "2nd", "none", "0x1", "²", "+", "two"])
def test_what_is_no_whole_number_is_no_index(value):
    (action,) = read(f"ACTION: DELETE\nMEMORY_INDEX: {value}")
    assert action.problem == f"memory index {value!r} is not a whole number"
    assert action.memory_index is None


def test_a_minus_is_a_sign_and_a_dash_a_separator():
    assert problems("ACTION: DELETE\nMEMORY_INDEX -1") == [
        "memory index '-1' is not a whole number"
    ]
    assert read("ACTION - DELETE\nMEMORY_INDEX - 1") == (delete(1),)


def test_an_index_out_of_range_is_reported_with_its_content():
    (action,) = read("ACTION: UPDATE\nMEMORY_INDEX: 5\nUPDATED_MEMORY: x")
    assert (action.memory_index, action.content) == (5, "x")
    assert action.problem == "memory index 5 is out of range: 5 memories were shown"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ACTION: INSERT\nMEMORY_ITEM:", ["INSERT without content (MEMORY_ITEM)"]),
        ("ACTION: INSERT\nUPDATED_MEMORY: x", ["INSERT without content (MEMORY_ITEM)"]),
        ("ACTION: UPDATE", ["UPDATE without MEMORY_INDEX and UPDATED_MEMORY"]),
        ("ACTION: UPDATE\nUPDATED_MEMORY: x", ["UPDATE names no memory (MEMORY_INDEX)"]),
        ("ACTION: UPDATE\nMEMORY_INDEX: 1", ["UPDATE without content (UPDATED_MEMORY)"]),
        ("ACTION: DELETE", ["DELETE names no memory (MEMORY_INDEX)"]),
        (
            f"ACTION: DELETE\nMEMORY_INDEX: {'9' * 5000}",
            [f"memory index {'9' * 20} is out of range"],
        ),
        (
            "ACTION: UPDATE\nMEMORY_INDEX: 0\nMEMORY_INDEX: 1\nUPDATED_MEMORY: x",
            [None, "UPDATE without content (UPDATED_MEMORY)"],
        ),
        (
            "ACTION: INSERT\nMEMORY_ITEM: a\nACTION: MERGE\nMEMORY_INDEX: 1",
            [None, "unknown action 'MERGE': use INSERT, UPDATE, DELETE or NOOP"],
        ),
    ],
)
def test_unusable_blocks_are_reported(text, expected):
    assert problems(text) == expected


@settings(deadline=None)
@given(
    st.lists(st.from_regex(r"[A-Z][a-z]{1,8}( [a-zA-Z']{1,9}){1,6}\.", fullmatch=True), min_size=1)
)
def test_contents_survive_the_block_form_unchanged(contents):
    text = "\n\n".join(f"ACTION: INSERT\nMEMORY_ITEM: {content}" for content in contents)
    assert read(text) == tuple(insert(content) for content in contents)
