"""Reads the JSON values in a reply: fenced or not, amid prose, broken, or cut off in the middle."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import json_repair

_TOKEN = re.compile(r'["{}\[\]]|\\.', re.DOTALL)
_CLOSED_END = re.compile(r"[\s`]*+[\]}][\s`\]}]*+")
_MAX_DEPTH = 40
# json_repair needs quadratic time for some inputs, so a reply may use it for this many characters.
_REPAIR_BUDGET = 20_000
_PARTIAL_LOOK = 2_000


@dataclass(frozen=True, slots=True)
class JsonReply:
    """The JSON values of a reply."""

    values: tuple[object, ...]
    """Complete values, in order."""
    partial: dict[str, object] | None = None
    """What could be read of an object in whose middle the reply ends (possibly nothing, and only
    for a report of what was lost); None if it does not end inside an object."""


@dataclass(slots=True)
class _Frame:
    """A bracket and the complete brackets directly inside it."""

    start: int
    children: list[tuple[int, int]] = field(default_factory=list)


class _Repairer:
    """json_repair with a budget."""

    def __init__(self) -> None:
        self._left = _REPAIR_BUDGET

    def load(self, text: str) -> object:
        """Give the value of a text, strictly read if possible; None if it cannot be read."""
        try:
            return json.loads(text, strict=False)
        except (ValueError, RecursionError):
            return self.repair(text)

    def repair(self, text: str) -> object:
        """Give the value that json_repair makes of a text; None if it cannot be read."""
        if len(text) > self._left:
            return None
        self._left -= len(text)
        try:
            return json_repair.loads(text)
        except (ValueError, RecursionError):
            return None


def read_json(text: str) -> JsonReply:
    """Read every JSON object and list at the top level of a reply.

    Broken JSON means what json_repair makes of it. If the reply ends inside a list, the complete
    elements of that list count as values, and the unfinished object is given as `partial`.

    Args:
        text: The reply.

    Returns:
        The values; none if there are none, or if brackets are nested more than 40 deep.
    """
    top, stack, in_string = _scan(text)
    repairer = _Repairer()
    if in_string and _CLOSED_END.fullmatch(text, text.rfind('"') + 1):
        # An odd number of quotes, but no cut: the brackets cannot be trusted.
        values: Iterator[object] = iter([repairer.repair(_braced(text))])
        stack = []
    else:
        unfinished = [
            span for frame in stack if text[frame.start] == "[" for span in frame.children
        ]
        values = (repairer.load(text[start:end]) for start, end in [*top, *unfinished])
    found = tuple(value for value in values if isinstance(value, dict | list))
    cut = next((frame.start for frame in reversed(stack) if text[frame.start] == "{"), None)
    if cut is None:
        return JsonReply(found)
    partial = _Repairer().repair(text[cut : cut + _PARTIAL_LOOK])
    return JsonReply(found, partial if isinstance(partial, dict) else {})


def _braced(text: str) -> str:
    return text[max(text.find("{"), 0) : text.rfind("}") + 1]


def _scan(text: str) -> tuple[list[tuple[int, int]], list[_Frame], bool]:
    """Match the brackets outside strings.

    Returns:
        The top-level bracketed spans, the brackets that are never closed (outermost first), and
        whether the text ends inside a string.
    """
    top: list[tuple[int, int]] = []
    stack: list[_Frame] = []
    in_string = False
    for token in _TOKEN.finditer(text):
        character = token[0]
        if character == '"':
            in_string = bool(stack) and not in_string
        elif in_string or character[0] == "\\":
            continue
        elif character in "{[":
            if len(stack) == _MAX_DEPTH:
                return [], [], False
            stack.append(_Frame(token.start()))
        elif stack:
            span = (stack.pop().start, token.end())
            (stack[-1].children if stack else top).append(span)
    return top, stack, in_string
