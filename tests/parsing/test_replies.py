import contextlib
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from langgraph_memskill.errors import ParseError
from langgraph_memskill.parsing import (
    ActionItem,
    ActionReply,
    actions_from_data,
    actions_from_reply,
    parse_actions,
)
from langgraph_memskill.records import ActionType, ParsedAction

INSERT, UPDATE, DELETE, NOOP = ActionType
NOTHING = (ParsedAction(type=NOOP),)


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


def test_blocks_are_read_in_their_order():
    assert read(BLOCKS) == (
        insert("Ann moved to Oslo.", "new"),
        update(1, "Ann works at the port."),
        delete(0),
    )


JSON_REPLY = json.dumps(
    {
        "actions": [
            {"action": "INSERT", "memory_item": "Ann moved to Oslo.", "reasoning": "new"},
            {"action": "update", "memory_index": 1, "updated_memory": "Ann works at the port."},
            {"action": "DELETE", "memory_index": "0"},
        ]
    },
    indent=1,
)


@pytest.mark.parametrize(
    "wrapped",
    [
        JSON_REPLY,
        f"```json\n{JSON_REPLY}\n```",
        f'Sure, "here" it is: {JSON_REPLY} Bye {{}}',
        json.dumps(json.loads(JSON_REPLY)["actions"]),
        "\n".join(json.dumps(item) for item in json.loads(JSON_REPLY)["actions"]),
        JSON_REPLY.replace("}\n ]", "},\n ]"),
        JSON_REPLY.rstrip("]}\n ") + "}",
        f'<tool_call>\n{{"name": "ActionReply", "arguments": {JSON_REPLY}}}\n</tool_call>',
        json.dumps({"name": "ActionReply", "arguments": JSON_REPLY}),
        f"<think>{{}}</think>{JSON_REPLY}",
        json.dumps([[json.loads(JSON_REPLY)]]),
        JSON_REPLY.replace('"', "'"),
        JSON_REPLY.replace('"new"', '"new" // why'),
    ],
)
def test_json_is_read_in_every_wrapping(wrapped):
    assert read(wrapped) == read(BLOCKS)


def test_marks_inside_json_strings_are_only_words():
    text = 'ACTION: DELETE\nMEMORY_INDEX: 0 {"x"} [1] <think>'
    assert read(json.dumps({"action": "INSERT", "memory_item": text})) == (insert(text),)


def test_a_memory_id_is_read():
    by_id = ParsedAction(type=DELETE, memory_id="a1-b2")
    assert read("ACTION: DELETE\nMEMORY_ID: `a1-b2`") == (by_id,)
    assert read('{"action": "DELETE", "memory_id": " a1-b2 "}') == (by_id,)


@pytest.mark.parametrize(
    "text",
    ["ACTION: NOOP", "NOOP", "noop.", "NO-OP", "**NOOP**", "NOOP: nothing new here.", "NOOP – none"]
    + ['{"action": "NOOP"}', '{"actions": []}', "[]", "```json\n[]\n```"],
)
def test_nothing_to_do_is_one_noop(text):
    assert read(text) == NOTHING


@pytest.mark.parametrize(
    "text",
    ["", " \n\t", "Nothing here needs to be stored.", "None", "null", "}{", "``````", "ACTION:"]
    + ["ACTION: ADD\nMEMORY_ITEM: x", "ACTION: INSERTED", "MEMORY_ITEM: x", "REACTION: INSERT"]
    + ["{}", "[1, 2]", '"text"', "I chose {name}.", '{"memory_item": "no action"}', "{" * 500]
    + ['{"action": "NOOP", "b" "' + ": [" * 3000 + "]}"],
)
def test_a_reply_without_actions_raises(text):
    with pytest.raises(ParseError):
        read(text)


def test_the_error_shows_the_start_of_the_reply_only():
    with pytest.raises(ParseError) as caught:
        read("prose " * 1000)
    assert "'prose prose" in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_reply_that_ends_while_thinking_says_so():
    with pytest.raises(ParseError, match="ends inside its <think> part"):
        read(f"<think>{BLOCKS}")


CUT = JSON_REPLY[: JSON_REPLY.index("works")]


def test_of_a_cut_json_reply_the_complete_items_count_and_the_cut_one_is_reported():
    first, second = read(CUT)
    assert first == insert("Ann moved to Oslo.", "new")
    assert second.type is UPDATE
    assert second.content == "Ann"
    assert second.problem == "the reply ends inside this action"


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ('{"action": "INSERT", "memory_item": "Cut off in the mid', "Cut off in the mid"),
        ('{"action": "INSERT", "memory_item": "whole"', "whole"),
        ('[{"action": "INSERT", "memory_item": "a', "a"),
        ('[{"action": "INSERT", "memory_item": "He said [so]', "He said [so]"),
    ],
)
def test_a_json_reply_with_only_a_cut_action_has_only_a_problem(text, content):
    (action,) = read(text)
    assert (action.type, action.content) == (INSERT, content)
    assert action.problem == "the reply ends inside this action"


def test_a_cut_before_the_first_key_is_reported_too():
    assert problems('[{"action": "NOOP"}, {') == [None, "the reply ends inside this action"]


def test_a_cut_between_items_loses_nothing():
    assert read('{"actions": [{"action": "INSERT", "memory_item": "a"},') == (insert("a"),)


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        ({"action": "MERGE"}, "unknown action 'MERGE': use INSERT, UPDATE, DELETE or NOOP"),
        ({"action": 3}, "unknown action 3: use INSERT, UPDATE, DELETE or NOOP"),
        ({"action": "INSERT", "memory_item": " "}, "INSERT without content (memory_item)"),
        ({"action": "INSERT", "memory_item": None}, "INSERT without content (memory_item)"),
        (
            {"action": "UPDATE", "memory_index": 1, "updated_memory": ""},
            "UPDATE without content (updated_memory)",
        ),
        (
            {"action": "UPDATE", "updated_memory": "x"},
            "UPDATE names no memory (memory_index)",
        ),
        (
            {"action": "UPDATE", "memory_index": [0, 1], "updated_memory": "x"},
            "UPDATE names several memories",
        ),
        ({"action": "DELETE"}, "DELETE names no memory (memory_index)"),
        ({"action": "DELETE", "memory_index": ""}, "DELETE names no memory (memory_index)"),
        ({"action": "DELETE", "memory_index": True}, "memory index True is not a whole number"),
        ({"action": "DELETE", "memory_index": 1.9}, "memory index 1.9 is not a whole number"),
        (
            {"action": "DELETE", "memory_index": "9" * 5000},
            "memory index 99999999999999999999 is out of range",
        ),
        ({"action": "DELETE", "memory_index": {}}, "memory index {} is not a whole number"),
        ({"action": "DELETE", "memory_index": "two"}, "memory index 'two' is not a whole number"),
        (
            {"action": "DELETE", "memory_index": -1},
            "memory index -1 is out of range: 5 memories were shown",
        ),
        ("noise", "'noise' is no action: expected an object"),
        (None, "None is no action: expected an object"),
    ],
)
def test_unusable_json_items_are_reported_beside_the_usable_ones(item, problem):
    reply = json.dumps([{"action": "INSERT", "memory_item": "kept"}, item])
    assert problems(reply) == [None, problem]


def test_a_raw_line_break_in_a_json_string_starts_no_block():
    text = "a\nACTION: DELETE\nMEMORY_INDEX: 0"
    assert read(f'{{"action": "INSERT", "memory_item": "{text}"}}') == (insert(text),)


def test_json_values_are_taken_as_text_and_whole_numbers():
    assert read(
        '[{"action": "INSERT", "memory_item": 42}, {"action": "DELETE", "memory_index": 2.0}]'
    ) == (
        insert("42"),
        delete(2),
    )


def test_json_deletes_may_list_indices():
    assert read('{"action": "DELETE", "memory_index": [0, "1"]}') == (delete(0), delete(1))


def test_json_keys_in_lower_case_win_over_upper_case():
    reply = '{"ACTION": "INSERT", "memory_item": "a", "MEMORY_ITEM": "b"}'
    assert read(reply) == (insert("a"),)


def test_a_tool_call_may_be_named_after_the_action():
    call = {"name": "DELETE", "arguments": {"memory_index": 1}}
    assert read(json.dumps(call)) == (delete(1),)


def test_a_tool_call_without_readable_arguments_is_no_action():
    for arguments in ("{broken", "[1]", 3):
        with pytest.raises(ParseError):
            read(json.dumps({"name": "f", "arguments": arguments}))


@pytest.mark.parametrize("heading", ["Update:", "ACTION: INSERT", "INSERT", "ACTION: DELETE"])
def test_json_behind_a_heading_that_looks_like_a_mark_is_read(heading):
    assert read(f"{heading}\n{JSON_REPLY}") == read(BLOCKS)
    assert read(f"{heading}\n```json\n{JSON_REPLY}\n```") == read(BLOCKS)


def test_json_with_an_odd_number_of_quotes_is_repaired():
    assert read('{"action": "INSERT", memory_item": "a"}') == (insert("a"),)


def test_structured_replies_are_read():
    reply = ActionReply.model_validate(json.loads(JSON_REPLY))
    assert actions_from_reply(reply, 5) == read(BLOCKS)


def test_an_empty_structured_reply_is_one_noop():
    assert actions_from_reply(ActionReply(actions=[]), 5) == NOTHING
    assert actions_from_data([], 5) == NOTHING


def test_structured_replies_are_checked_like_text():
    item = ActionItem.model_validate({"action": " delete ", "memory_index": 9})
    (action,) = actions_from_reply(ActionReply(actions=[item]), 5)
    assert action.problem == "memory index 9 is out of range: 5 memories were shown"


def test_the_schema_refuses_other_actions():
    with pytest.raises(ValidationError):
        ActionItem.model_validate({"action": "MERGE"})


@pytest.mark.parametrize("data", [None, "text", {}, {"actions": None}, [{"memory_item": "x"}]])
def test_data_without_actions_raises(data):
    with pytest.raises(ParseError):
        actions_from_data(data, 5)


PIECES = st.sampled_from(
    [
        "ACTION",
        ":",
        " ",
        "\n",
        "\n\n",
        "INSERT",
        "UPDATE",
        "DELETE",
        "NOOP",
        "MEMORY_ITEM",
        "İ",
        "ı",
    ]
    + ["UPDATED_MEMORY", "MEMORY_INDEX", "MEMORY_ID", "REASONING", "CONTENT", "MEMORY", "```", "**"]
    + [
        "{",
        "}",
        "[",
        "]",
        '"',
        "'",
        ",",
        "\\",
        "action",
        "actions",
        "memory_index",
        "0",
        "-1",
        "1.5",
    ]
    + [
        "<think>",
        "</think>",
        "- ",
        "1. ",
        '{"action": "INSERT", "memory_item": "',
        "null",
        "ſ",
        "٣",
    ]
)


@settings(deadline=None)
@given(
    st.lists(PIECES | st.text(st.characters(exclude_categories=()), max_size=5), max_size=30),
    st.integers(0, 3),
)
def test_any_text_is_read_or_refused(pieces, num_memories):
    try:
        actions = parse_actions("".join(pieces), num_memories)
    except ParseError:
        return
    assert actions
    for action in actions:
        if action.problem is None:
            assert bool(action.content.strip()) is (action.type in (INSERT, UPDATE))
            assert action.memory_index is None or 0 <= action.memory_index < num_memories


CONTENT = st.text(st.characters(categories=("L", "N", "P", "Zs")), min_size=1, max_size=60)


@settings(deadline=None)
@given(
    st.lists(CONTENT.map(str.strip).filter(lambda text: any(map(str.isalpha, text))), min_size=1)
)
def test_contents_survive_the_json_form_unchanged(contents):
    items = [{"action": "INSERT", "memory_item": content} for content in contents]
    assert read(json.dumps({"actions": items})) == tuple(insert(content) for content in contents)


BLANKS = " " * 200_000
BLOCK = "ACTION: INSERT\nMEMORY_ITEM: "


@pytest.mark.parametrize(
    "text",
    [
        f"{BLOCK}a{BLANKS}b\nREASONING: c",
        f"{BLOCK}a{BLANKS}",
        f"ACTION:{BLANKS}INSERT\nMEMORY_ITEM:{BLANKS}a",
        f"{BLANKS}{BLOCK}a",
        BLOCK + "a" + "\n" * 200_000 + "REASONING: c",
        BLOCK + "a" + ", ; " * 50_000,
        f'{{"action": "INSERT",{BLANKS}"memory_item": "a"}}',
        BLOCK + "word " * 200_000,
        json.dumps({"action": "INSERT", "memory_item": "word " * 200_000}),
        "{" * 200_000,
        "[{" * 100_000 + BLOCK,
        '{"a": ' * 30_000,
        "{a:b,}" * 30_000,
        "{'a':'" * 30_000 + "}",
        "<think></think>" * 15_000,
        "ACTION: NOOP\n" * 15_000,
        "ACTION: DELETE\n" + "MEMORY_INDEX: 1 " * 15_000,
        "- " * 100_000 + "x",
    ],
    ids=lambda text: f"{text[:20]!r}...{len(text)}",
)
def test_long_replies_take_linear_time(text):
    # One pass takes well under a second; a quadratic one would take hours.
    start = time.thread_time()
    with contextlib.suppress(ParseError):
        parse_actions(text, 5)
    assert time.thread_time() - start < 20
