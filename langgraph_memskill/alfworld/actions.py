"""Matching an agent's reply to an admissible command (parity kit, README section 10)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum

SAFE_COMMANDS = ("look", "inventory")
"""Commands that change nothing, the first choice first."""

_LABEL = re.compile(r"\A\s*action\s*[:=-]\s*", re.IGNORECASE)
_QUOTES = "\"'`“”‘’ \t"
_CLOSE = 0.8
"""Similarity from which a reply is a misspelt command rather than another one; difflib's measure.
"go to desk 1" and "go to desk 2" have 0.92, which is why numbers must be equal besides."""


class MatchKind(StrEnum):
    """How a reply led to a command."""

    EXACT = "exact"
    CONTAINED = "contained"
    """The reply names the command among other words."""
    CLOSEST = "closest"
    """The reply is no command, and this one is nearest to it."""
    MISS = "miss"
    """The reply fits no command, and a safe one was taken."""
    UNCHECKED = "unchecked"
    """There is no list of commands to compare with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionMatch:
    """The command that a reply was taken for."""

    command: str
    kind: MatchKind


def match_action(reply: str | None, admissible: Sequence[str]) -> ActionMatch:
    """Take a reply for one of the admissible commands.

    A leading "action:" and quotes do not count, neither does case. A command counts as contained
    only as whole words: "go to desk 10" is not "go to desk 1" (QUIRK 79). A reply that fits nothing
    is a miss, never a command that happens to be first.

    Args:
        reply: What a model said; None and blank texts are misses.
        admissible: The commands; if there are none, the reply's first line is taken as it is.
    """
    text = reply or ""
    first_line = _first_line(text)
    if not admissible:
        command = first_line or SAFE_COMMANDS[0]
        kind = MatchKind.UNCHECKED if first_line else MatchKind.MISS
        return ActionMatch(command=command, kind=kind)
    by_name = {command.lower(): command for command in reversed(admissible)}
    if first_line.lower() in by_name:
        return ActionMatch(command=by_name[first_line.lower()], kind=MatchKind.EXACT)
    for command in admissible:
        if _contains(text, command):
            return ActionMatch(command=command, kind=MatchKind.CONTAINED)
    close = _closest(first_line.lower(), list(by_name))
    if close is not None:
        return ActionMatch(command=by_name[close], kind=MatchKind.CLOSEST)
    return ActionMatch(command=safe_command(admissible), kind=MatchKind.MISS)


def safe_command(admissible: Sequence[str]) -> str:
    """A command that changes nothing if there is one, or else the first."""
    for command in SAFE_COMMANDS:
        if command in admissible:
            return command
    return admissible[0] if admissible else SAFE_COMMANDS[0]


def _first_line(text: str) -> str:
    rest = text.strip()
    while label := _LABEL.match(rest):  # "action: ACTION: look"
        rest = rest[label.end() :]
    lines = rest.strip().splitlines()
    return lines[0].strip(_QUOTES) if lines else ""


def _contains(text: str, command: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(command)}(?!\w)", text, re.IGNORECASE) is not None


def _closest(line: str, commands: list[str]) -> str | None:
    numbers = re.findall(r"\d+", line)
    same = [command for command in commands if re.findall(r"\d+", command) == numbers]
    found = get_close_matches(line, same, n=1, cutoff=_CLOSE)
    return found[0] if found else None
