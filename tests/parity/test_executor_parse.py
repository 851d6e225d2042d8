"""Parity kit section 8, executor/parse.json: what a reply comes to.

Where QUIRKS.md says "switch" or "fix", a case is recognised by a property of its input, and it must
equal what a plain reading of the reply gives: for blocks one that takes names for names only where
a line starts, for JSON one that takes every item. Every other case must equal the kit.
"""

import json
import re
from typing import Any, NamedTuple

from langgraph_memskill.errors import ParseError
from langgraph_memskill.parsing import parse_actions

NO_REASON = "No reasoning provided"

NAMES = r"MEMORY[_ ]ITEM|UPDATED[_ ]MEMORY|NEW[_ ]MEMORY|MEMORY[_ ]INDEX|REASONING|CONTENT|MEMORY"
ITEMS = ("MEMORY_ITEM", "NEW_MEMORY", "CONTENT", "MEMORY")
VERBS = "INSERT|UPDATE|DELETE|NOOP"
FIELD_LINE = re.compile(rf"({NAMES})(?!\w)[ \t]*(?:[:=]|-(?!\d))?\s*(.*)", re.I | re.S)
MARK_LINE = re.compile(rf"\W*ACTION\s*[:=-]?\s*({VERBS})\b(.*)", re.I)
BARE_LINE = re.compile(rf"({VERBS})\s*[:=-]?\s*", re.I)
STOP_WORD = re.compile(r"ACTION|REASONING|MEMORY[_ ]ITEM|UPDATED[_ ]MEMORY|MEMORY[_ ]INDEX", re.I)
OWN_NAMES = {
    "INSERT": re.compile(r"\b(REASONING|MEMORY_ITEM)\s*[:=]"),
    "UPDATE": re.compile(r"\b(REASONING|UPDATED_MEMORY|MEMORY_INDEX)\s*[:=]"),
    "DELETE": re.compile(r"\b(REASONING|MEMORY_INDEX)\s*[:=]"),
    "NOOP": re.compile(r"\bREASONING\s*[:=]"),
}
DECORATION = re.compile(r"[\s*•>#`-]*(?:\d{1,3}[.)]\s)?\s*")
FENCE = re.compile(r"\s*`{3,}\w*\s*")
RULE = re.compile(r"\s*([-*_=]\s*){2,}|\s*[-*]\s*|\s*\d+[.)]\s*")
HEADING = re.compile(rf"\W*({VERBS})\s+(blocks?|actions?)\b\W*\d*\W*", re.I)
INDEX_LIST = re.compile(
    r"[\[({<\"'#*`\s]*\d+(?:\s*(?:,|;|/|&|and|\s)\s*#?\d+)*(?!\w|\.\d|\s*[-–]\s*\d)"
)


class Reading(NamedTuple):
    """What became of a reply: the usable actions, and the problems of the others."""

    actions: list[tuple[str, int, str, str]]
    problems: list[str]


def our_reading(case: dict[str, Any]) -> Reading:
    try:
        parsed = parse_actions(case["response"], case["num_retrieved"])
    except ParseError as error:
        return Reading([], [str(error)])
    usable = [
        (
            action.type.upper(),
            -1 if action.memory_index is None else action.memory_index,
            action.content,
            action.reasoning or NO_REASON,
        )
        for action in parsed
        if action.problem is None
    ]
    return Reading(usable, [action.problem for action in parsed if action.problem is not None])


def kit_reading(case: dict[str, Any]) -> Reading:
    found = case["expected"]["actions"]
    return Reading(
        [
            (a["action_type"], a["memory_index"], a["memory_content"], a["reasoning"])
            for a in found
            if a["success"]
        ],
        [a["reasoning"] for a in found if not a["success"]],
    )


def is_json(response: str) -> bool:
    return re.match(r"\s*(```\w*\s*)?[\[{]", response) is not None


class Block(NamedTuple):
    """A block as somebody reads it who takes names for names only where a line starts."""

    kind: str
    fields: list[tuple[str, str]]
    loose: list[str]


def is_around(line: str) -> bool:
    return any(pattern.fullmatch(line) for pattern in (FENCE, RULE, HEADING))


def line_blocks(response: str) -> list[Block]:
    """The blocks of a reply; none if a block has several fields on one line."""
    blocks: list[Block] = []
    text = response.replace("\r\n", "\n").replace("**", "").strip("` \n")
    marked = any(
        MARK_LINE.fullmatch(DECORATION.sub("", line, count=1)) for line in text.split("\n")
    )
    fence_closed = False
    for line in text.split("\n"):
        bare = DECORATION.sub("", line, count=1)
        mark = MARK_LINE.fullmatch(bare) if marked else BARE_LINE.fullmatch(bare)
        named = FIELD_LINE.fullmatch(bare)
        if mark:
            if marked and re.search(rf"\b({NAMES})\b\s*[:=]", mark[2]):
                return []
            blocks.append(Block(mark[1].upper().replace("İ", "I"), [], []))
            fence_closed = False
        elif not blocks or is_around(line):
            fence_closed = fence_closed or bool(FENCE.fullmatch(line))
        elif named and (named[1].upper() not in ("CONTENT", "MEMORY") or is_name(named[1], blocks)):
            blocks[-1].fields.append((named[1].upper().replace(" ", "_"), named[2]))
            fence_closed = False
        elif blocks[-1].fields and not fence_closed:
            name, value = blocks[-1].fields.pop()
            blocks[-1].fields.append((name, f"{value}\n{line}"))
        elif bare and not fence_closed:
            blocks[-1].loose.append(bare)
    return [
        Block(kind, [(name, value.strip(" ,;\n")) for name, value in fields], loose)
        for kind, fields, loose in blocks
    ]


def is_name(word: str, blocks: list[Block]) -> bool:
    """Words of everyday language are names in capitals, or as the first field of a block."""
    return word.isupper() or not blocks[-1].fields


def better_blocks(case: dict[str, Any]) -> Reading:
    """The actions of `line_blocks`: QUIRKS 21 to 24 in one."""
    better = Reading([], [])
    for kind, fields, loose in line_blocks(case["response"]):
        reason = next((v for n, v in fields if n == "REASONING" and v), NO_REASON)
        items = [v for n, v in fields if n in ITEMS and v]
        texts = [v for n, v in fields if n == "UPDATED_MEMORY" and v]
        indices = [i for n, v in fields if n == "MEMORY_INDEX" for i in indices_in(v)]
        if kind == "NOOP":
            better.actions.append(("NOOP", -1, "", reason))
        elif kind == "INSERT":
            items = items or ([] if {n for n, _ in fields} - {"REASONING"} else loose)
            better.actions.extend(("INSERT", -1, item, reason) for item in items)
            better.problems.extend([] if items else ["no content"])
        elif kind == "UPDATE":
            better.problems.extend(["unpaired"] * (abs(len(indices) - len(texts))))
            for index, text in zip(indices, texts, strict=False):
                add_change(better, case, ("UPDATE", index, text, reason))
        else:
            for index in indices or [None]:
                add_change(better, case, ("DELETE", index, "", reason))
    return better


def add_change(reading: Reading, case: dict[str, Any], action: tuple[Any, ...]) -> None:
    if action[1] is None or not 0 <= action[1] < case["num_retrieved"]:
        reading.problems.append("unusable index")
    else:
        reading.actions.append(action)


def indices_in(value: str) -> list[int | None]:
    """Whole numbers, alone or listed, without a sign; a remark may follow them."""
    listed = INDEX_LIST.match(value)
    return [int(number) for number in re.findall(r"\d+", listed[0])] if listed else [None]


def json_items(response: str) -> list[Any] | None:
    """The items of a reply that is one strict JSON value or several; None if it is not strict."""
    text = re.sub(r"^\s*```\w*|```\s*$", "", response).strip()
    decoder, values, position = json.JSONDecoder(), [], 0
    while position < len(text):
        try:
            value, position = decoder.raw_decode(text, position)
        except ValueError:
            return None
        values.append(value)
        position = len(text) - len(text[position:].lstrip(" \n,"))
    if not values:
        return None
    while len(values) == 1 and isinstance(values[0], list):
        values = values[0]
    listed = [
        next((v for k, v in value.items() if k.lower() == "actions" and isinstance(v, list)), None)
        if isinstance(value, dict)
        else None
        for value in values
    ]
    return [
        item
        for value, actions in zip(values, listed, strict=True)
        for item in ([value] if actions is None else actions)
    ]


def better_json(case: dict[str, Any]) -> Reading:
    """All items count, an index is a whole number, and every bad item is reported."""
    better = Reading([], [])
    for item in json_items(case["response"]) or []:
        fields = lowered(item)
        kind = str(fields.get("ACTION", "")).strip().upper()
        reason = str(fields.get("REASONING") or NO_REASON)
        if kind == "NOOP":
            better.actions.append(("NOOP", -1, "", reason))
        elif kind == "INSERT" and (text := str(fields.get("MEMORY_ITEM") or "").strip()):
            better.actions.append(("INSERT", -1, text, reason))
        elif kind == "UPDATE" and (text := str(fields.get("UPDATED_MEMORY") or "").strip()):
            indices = json_indices(fields.get("MEMORY_INDEX"))
            index = indices[0] if len(indices) == 1 else None
            add_change(better, case, ("UPDATE", index, text, reason))
        elif kind == "DELETE":
            for index in json_indices(fields.get("MEMORY_INDEX")):
                add_change(better, case, ("DELETE", index, "", reason))
        else:
            better.problems.append("unusable item")
    return better


def lowered(item: Any) -> dict[str, Any]:
    """The fields of an item; a key in lower case wins over the same one in upper case."""
    if not isinstance(item, dict):
        return {}
    upper = {key: value for key, value in item.items() if key.isupper()}
    return upper | {key.upper(): value for key, value in item.items() if key.islower()}


def json_indices(value: Any) -> list[int | None]:
    if isinstance(value, list):
        return [index for element in value for index in json_indices(element)] or [None]
    if isinstance(value, str):
        return indices_in(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        return [None]
    return [int(value)]


def keyword_in_value(response: str) -> bool:
    """QUIRKS 21: a word that the reference cuts at stands inside a value."""
    return any(
        STOP_WORD.search(OWN_NAMES[block.kind].sub("", value))
        for block in line_blocks(response)
        for _, value in block.fields
    )


def field_leaks(response: str) -> bool:
    """QUIRKS 22: a field without content or not of its action, or several names for items."""
    for kind, fields, _ in line_blocks(response):
        names = [name for name, _ in fields]
        items = [name for name in names if name in ITEMS]
        foreign = kind == "INSERT" and {"MEMORY_INDEX", "UPDATED_MEMORY"} & set(names)
        mixed = len(items) > 1 and set(items) != {"MEMORY_ITEM"}
        if foreign or mixed or any(not value for _, value in fields):
            return True
    return any(
        re.search("memory|content", mark[2], re.I)
        for line in response.split("\n")
        if (mark := MARK_LINE.fullmatch(line))
    )


def text_around_blocks(response: str) -> bool:
    """QUIRKS 23: decoration, fences, rules, headings, or prose behind a blank line."""
    lines = response.strip().split("\n")
    # One fence around everything is understood by the reference too.
    whole = lines[0].startswith("```") and response.strip().strip("`").count("```") == 0
    around = any(is_around(line) for line in lines if line.strip() and not FENCE.fullmatch(line))
    decorated = any(
        FIELD_LINE.match(bare) or "ACTION" in line or BARE_LINE.fullmatch(bare)
        for line in lines
        if re.match(r"\s*([-*•>#]|\d+[.)]\s)", line)
        and (bare := DECORATION.sub("", line, count=1)) != line
    )
    blocks = line_blocks(response)
    behind = any("\n\n" in value for block in blocks for _, value in block.fields)
    bare_and_loose = "ACTION" not in response.upper() and any(block.loose for block in blocks)
    fenced = "```" in response and not whole
    return fenced or around or "**" in response or decorated or behind or bare_and_loose


def odd_index(response: str) -> bool:
    """QUIRKS 24: an index that is no plain number, or one that has no partner."""
    for kind, fields, _ in line_blocks(response):
        values = [value for name, value in fields if name == "MEMORY_INDEX"]
        texts = [value for name, value in fields if name == "UPDATED_MEMORY"]
        unpaired = kind == "UPDATE" and values and texts and len(values) != len(texts)
        if unpaired or any(not re.fullmatch(r"\d+", value) for value in values):
            return True
    return False


def quirks_of(case: dict[str, Any]) -> list[int]:
    """The numbers in QUIRKS.md of the entries that the input of a case runs into."""
    response = case["response"]
    text = response.strip("` \n")
    if re.fullmatch(r"\W*NO[-_ ]?OP\W*", text, re.I) or json_items(response) == []:
        return [27]
    if not is_json(response):
        if not line_blocks(response):
            return []
        checks = {21: keyword_in_value, 22: field_leaks, 23: text_around_blocks, 24: odd_index}
        return [number for number, applies in checks.items() if applies(response)]
    items = json_items(response) or []
    found = []
    if any(
        re.search(rf"\bACTION\s*[:=-]?\s*({VERBS})\b", str(value), re.I)
        for value in texts_of(items)
    ):
        found.append(23)
    if '"ACTIONS"' in response or not all(is_taken(lowered(item), case) for item in items):
        found.append(24)
    if items and re.search(r"}\s*{", response):
        found.append(32)
    return found


def texts_of(items: list[Any]) -> list[Any]:
    return [value for item in items for value in lowered(item).values()]


def is_taken(fields: dict[str, Any], case: dict[str, Any]) -> bool:
    """Whether the reference takes a JSON item and reads its index as it is written."""
    kind = str(fields.get("ACTION", "")).strip().upper()
    if kind in ("INSERT", "NOOP"):
        return kind == "NOOP" or bool(str(fields.get("MEMORY_ITEM") or "").strip())
    if kind not in ("UPDATE", "DELETE") or (
        kind == "UPDATE" and not str(fields.get("UPDATED_MEMORY") or "").strip()
    ):
        return False
    index = fields.get("MEMORY_INDEX")
    plain = isinstance(index, str) and re.fullmatch(r"\s*\d+\s*", index)
    whole = isinstance(index, int | float) and not isinstance(index, bool) and index == int(index)
    return bool(plain or whole) and 0 <= int(index) < case["num_retrieved"]


def agree(got: Reading, want: Reading) -> bool:
    """Equal, but closing prose behind a blank line may or may not belong to a content."""
    if len(got.actions) != len(want.actions) or bool(got.problems) != bool(want.problems):
        return False
    return all(
        (ours[0], ours[1], ours[3]) == (other[0], other[1], other[3])
        and squashed(ours[2]) in (squashed(other[2]), squashed(other[2].rsplit("\n\n", 1)[0]))
        for ours, other in zip(got.actions, want.actions, strict=True)
    )


def squashed(text: str) -> str:
    return " ".join(re.sub(r"[*•`]", " ", text).split())


def better_reading(case: dict[str, Any], quirks: list[int]) -> Reading:
    if quirks == [27]:
        return Reading([("NOOP", -1, "", NO_REASON)], [])
    return better_json(case) if is_json(case["response"]) else better_blocks(case)


def is_right(case: dict[str, Any], got: Reading) -> bool:
    want, json_reply = kit_reading(case), is_json(case["response"])
    if quirks := quirks_of(case):
        return agree(got, better_reading(case, quirks))
    if want.problems and not got.problems:
        return False
    if got.actions != want.actions:
        # QUIRKS 32: what broken JSON means is the repairer's choice; nothing may be made up.
        broken = case["braced_part_is_strict_json"] is False
        made_up = any(action[2] not in case["response"] for action in got.actions)
        return broken and not made_up and len(got.actions) >= len(want.actions)
    # The end of a cut JSON reply is reported, where the kit is silent.
    return json_reply or bool(got.problems) == bool(want.problems)


def test_replies_are_read_like_the_kit_or_better(kit):
    mismatches = []
    for case in kit.cases("executor/parse.json"):
        got = our_reading(case)
        if not is_right(case, got):
            mismatches.append((case["id"], quirks_of(case), got, kit_reading(case)))
    assert mismatches == []


def test_scripted_replies_are_read_like_the_kit(kit):
    mismatches = []
    for case in kit.cases("executor/execute.json"):
        reply = case["llm_reply"]
        if not case["expected"].get("llm_calls") or case["llm_raises"] or reply is None:
            # QUIRKS 28: without a text there is nothing to read; the extract node reports it.
            assert case["expected"].get("error") or not any(
                action["success"] for action in case["expected"]["actions"]
            )
            continue
        read = {
            "response": reply,
            "num_retrieved": len(case["retrieved_memories"]),
            "braced_part_is_strict_json": None,
            "expected": case["expected"],
        }
        if not is_right(read, our_reading(read)):
            mismatches.append((case["id"], our_reading(read), kit_reading(read)))
    assert mismatches == []
