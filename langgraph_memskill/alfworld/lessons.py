"""Commands taken apart, and what memories show about the order of commands."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LOOKING = frozenset({"look", "inventory", "examine", "help", "close"})
"""Verbs that bring an agent no nearer to anything."""
SEARCHING = frozenset({"go", "open"})
"""Verbs that show the agent something new; with all others it acts."""

BEGINNING = "(beginning)"
"""Stands for the verb before the first one of a game."""

_COMMAND = re.compile(r"\bACTION:\s*(.+?)(?=\s*(?:\bOBSERVATION:|\bACTION:|$))", re.MULTILINE)
_BEGINS = re.compile(r"your task is to:|TRAJECTORY_STATUS", re.IGNORECASE)
_PREPOSITION = re.compile(r"\b(?:to|from|with|in/on|in|on|under)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command in parts: "take mug 1 from desk 2" is take, (mug 1, desk 2)."""

    verb: str
    things: tuple[str, ...]

    @property
    def acts(self) -> bool:
        """Whether it changes more than what the agent sees."""
        return self.verb not in LOOKING and self.verb not in SEARCHING

    @property
    def kinds(self) -> tuple[str, ...]:
        """The things without their numbers."""
        return tuple(map(kind_of, self.things))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """An acting command that a memory shows."""

    before: str | None
    """Verb of the acting command before it, or `BEGINNING`; None if the memory does not say."""
    verb: str
    kinds: tuple[str, ...]
    place: str
    """Kind of the place that it was given at; empty if the memory does not say."""


def read_command(text: str) -> Command:
    """Take a command apart."""
    verb, _, rest = text.strip().partition(" ")
    things = (part.strip() for part in _PREPOSITION.split(rest))
    return Command(verb=verb, things=tuple(thing for thing in things if thing))


def kind_of(thing: str) -> str:
    """A thing without its number."""
    return thing.rstrip("0123456789").strip()


def read_lessons(memory: str) -> list[Lesson]:
    """The acting commands of a trajectory, or of a part of one; none of any other text.

    Args:
        memory: Its commands stand behind "ACTION:".
    """
    lessons = []
    before: str | None = None
    place = ""
    for command in _commands(memory):
        if command is None:
            before, place = BEGINNING, ""
        elif command.verb == "go":
            place = command.kinds[0] if command.kinds else ""
        elif command.acts:
            lessons.append(
                Lesson(before=before, verb=command.verb, kinds=command.kinds, place=place)
            )
            before = command.verb
    return lessons


def has_commands(memory: str) -> bool:
    """Whether a memory shows commands."""
    return _COMMAND.search(memory) is not None


def _commands(memory: str) -> Iterator[Command | None]:
    """The commands in order, and None where a game begins or ends."""
    marks: Sequence[tuple[int, str | None]] = [
        *((found.start(), found[1]) for found in _COMMAND.finditer(memory)),
        *((found.start(), None) for found in _BEGINS.finditer(memory)),
    ]
    for _, text in sorted(marks, key=lambda mark: mark[0]):
        yield None if text is None else read_command(text)
