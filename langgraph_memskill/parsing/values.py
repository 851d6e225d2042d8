"""Cleans the values of action blocks: what models write around a value does not belong to it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

FENCE = re.compile(r"\s*+(?:`{3,}+|~{3,}+)[\w.+-]*+\s*+")
"""A line that opens or closes a code block."""
LISTED = re.compile(r"\s*+(?:[-*•]|[0-9]{1,3}[.)])\s")
"""The start of an item in a list."""

_RULE = re.compile(r"(?:\s|[-*_=~#>•])*+")
_LONE_NUMBER = re.compile(r"[\s*_#>-]*+\(?[0-9]{1,3}[.)]\s*+")
_HEADING_VERB = re.compile(r"\b(?:INSERT|UPDATE|DELETE|NOOP|ACTION)", re.IGNORECASE)
_HEADING_WORD = re.compile(
    r"insert|update|delete|noop|actions?|blocks?|memory|memories|operations?|skills?|step|next|the"
    r"|and|[0-9]+",
    re.IGNORECASE,
)
_MAX_HEADING = 60
_CLOSING_START = re.compile(
    r"i (?:have|hope|did|do|will|would|found|see|am|think)\b|i['’](?:ve|m|ll|d)\b"
    r"|hope (?:this|that)|let me\b|please\b|feel free\b|if you\b|done\b|end of\b|nothing else\b"
    r"|(?:that|this) is (?:all|it|everything)\b|that['’]s (?:all|it|everything)\b"
    r"|these are (?:all|the)\b|this (?:covers|completes)\b|all (?:other|done)\b"
    r"|no (?:other|further|more|additional)\b|(?:now|next|then|finally)[, ]",
    re.IGNORECASE,
)
_CLOSING_TOPIC = re.compile(
    r"(?:note|explanation|summary|in summary|overall|the above|these|those|this|the other|the rest)"
    r"\b.*\b(?:actions?|blocks?|memor(?:y|ies)|skills?|span|chunk|passage|output|format|bank)\b",
    re.IGNORECASE | re.DOTALL,
)
_CLOSING_LOOK = 300
_BULLET = re.compile(r"[-*•](?!\*)\s*+")
_NUMBERING = re.compile(r"[0-9]{1,3}\.\s++")

_NUMBER = re.compile(r"""[\s\[({<"'`*#]*+(\d+)(?!\w|\.\d|\s*+[-–]\s*+\d)[\])}>"'`*]*+""")
_LISTING = re.compile(r"\s*+(?:[,;/|&]\s*+(?:and\b)?+|and\b)", re.IGNORECASE)
_MORE_NUMBERS = re.compile(r"""(?:\s++\d+)++[\])}>"'`*.\s]*+""")
_MAX_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Target:
    """What an UPDATE or DELETE points at, as far as it could be read."""

    index: int | None = None
    id: str | None = None
    problem: str | None = None

    def problem_among(self, num_memories: int) -> str | None:
        """Say why the target cannot be used.

        Args:
            num_memories: How many memories the model was shown.

        Returns:
            The reason in words; None if the target can be used.
        """
        if self.index is None or 0 <= self.index < num_memories:
            return self.problem
        shown = f"{num_memories} memories were shown"
        return f"memory index {str(self.index)[:20]} is out of range: {shown}"


def read_targets(text: str) -> tuple[Target, ...]:
    """Read the value of MEMORY_INDEX: one whole number, or several.

    Args:
        text: "3", "[1]", "#3", "0, 2 and 4"; a remark behind the numbers is ignored.

    Returns:
        One target a number, in order; a single target with a problem for "-1", "2.7", "1-3",
        "none" and the like.
    """
    line = next((line for line in text.split("\n") if line.strip()), "")
    numbers: list[str] = []
    match = _NUMBER.match(line)
    position = 0
    while match:
        numbers.append(match[1])
        position = match.end()
        separator = _LISTING.match(line, position)
        match = _NUMBER.match(line, separator.end()) if separator else None
    if numbers and _MORE_NUMBERS.fullmatch(line, position):
        numbers.extend(re.findall(r"\d+", line[position:]))
    if not numbers:
        return (Target(problem=f"memory index {line.strip()[:50]!r} is not a whole number"),)
    return tuple(_number_target(number) for number in numbers)


def _number_target(number: str) -> Target:
    # int() refuses very long numbers, and no list of memories is that long.
    digits = number.lstrip("0") or "0"
    if len(digits) > _MAX_DIGITS:
        return Target(problem=f"memory index {number[:20]} is out of range")
    return Target(index=int(digits))


def cut_at_fence(value: str, fence_open: bool) -> tuple[str, bool]:
    """Cut a value where a fence around the blocks ends; a code block inside the value stays.

    Args:
        value: The text from a field name to the next mark or field.
        fence_open: Whether a fence is open where the value begins.

    Returns:
        The value, and whether a fence is open behind it.
    """
    lines = value.split("\n")
    fences = [number for number, line in enumerate(lines) if FENCE.fullmatch(line)]
    if not fences:
        return value, fence_open
    if fence_open:
        return "\n".join(lines[: fences[0]]), len(fences) % 2 == 0
    if len(fences) % 2 == 1:
        return "\n".join(lines[: fences[-1]]), True
    return value, False


def clean_value(value: str, emphasis: str = "") -> str:
    """Take away headings, rules, closing prose and separators behind a value.

    Args:
        value: The text from a field name to the next mark or field.
        emphasis: Markdown emphasis that was opened before the field name, such as "**".

    Returns:
        The value as it is to be stored; "" if nothing is left.
    """
    lines = value.strip().split("\n")
    while len(lines) > 1:
        if is_noise(lines[-1]):
            lines.pop()
            continue
        start = _last_paragraph(lines)
        if start == 0 or not _is_closing("\n".join(lines[start:]).strip()):
            break
        del lines[start:]
    text = _without_separators("\n".join(lines))
    if emphasis and text.endswith(emphasis) and text.count(emphasis) % 2 == 1:
        text = _without_separators(text[: -len(emphasis)])
    return "" if _RULE.fullmatch(text) else text


def _without_separators(text: str) -> str:
    end = len(text)
    while end and (text[end - 1].isspace() or text[end - 1] in ",;"):
        end -= 1
    return text[:end]


def is_noise(line: str) -> bool:
    """Tell whether a line is blank, a fence, a rule, a lone number or bullet, or a heading.

    Args:
        line: One line, without its line break.

    Returns:
        True if the line carries no content.
    """
    if _RULE.fullmatch(line) or FENCE.fullmatch(line) or _LONE_NUMBER.fullmatch(line):
        return True
    if len(line) > _MAX_HEADING or not _HEADING_VERB.search(line):
        return False
    return all(_HEADING_WORD.fullmatch(word) for word in re.findall(r"\w+", line))


def _last_paragraph(lines: Sequence[str]) -> int:
    """Give the number of the line that starts the last paragraph."""
    for number in range(len(lines) - 1, 0, -1):
        if not lines[number - 1].strip():
            return number
    return 0


def _is_closing(paragraph: str) -> bool:
    # A second paragraph is content; only one that speaks about the reply itself is not.
    if LISTED.match(paragraph):
        return False
    start = paragraph.lstrip("*_([ ")[:_CLOSING_LOOK]
    return bool(_CLOSING_START.match(start) or _CLOSING_TOPIC.match(start))


def unlabelled_item(line: str) -> str:
    """Read a line of an INSERT that names no field.

    Args:
        line: One line, with or without a bullet or a number.

    Returns:
        The item; "" if the line carries no content.
    """
    if is_noise(line):
        return ""
    return _NUMBERING.sub("", _BULLET.sub("", line.strip(), count=1), count=1).strip()
