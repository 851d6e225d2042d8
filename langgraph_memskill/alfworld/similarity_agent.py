"""An agent that needs no LLM: it compares commands with the task and with what memories show."""

import asyncio
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from langgraph_memskill.alfworld.acting import Choice, Scene
from langgraph_memskill.alfworld.actions import ActionMatch, MatchKind
from langgraph_memskill.alfworld.engine import Engine
from langgraph_memskill.alfworld.lessons import (
    BEGINNING,
    LOOKING,
    SEARCHING,
    Command,
    Lesson,
    has_commands,
    kind_of,
    read_command,
    read_lessons,
)
from langgraph_memskill.embedding import TextEncoder

_SEEN = re.compile(r"\ba ([a-z]+ \d+)")
_WORD = re.compile(r"[a-z]+")
_PLACING = frozenset({"put", "move"})
_MOVING = _PLACING | {"take"}
_NOTHING = "Nothing happens"
_DOUBT = 0.5
"""What the task alone counts, where one memory that fits counts 1."""
_SAME = 0.75
"""Cosine similarity of words above which they may name one thing ("mug" and "cup": 0.71)."""
_FOCUS = 0.1
"""Difference of similarity to the task that makes a memory count e times less."""


class SimilarityAgent:
    """Takes the command that fits task, memories and history best, without an LLM.

    Words are compared by embeddings. Memories that show commands tell what is done after what, and
    where; other memories count by the similarity of their lines to a command. What was given since
    the last change brings nothing new, and is not given again.
    """

    name = "similarity"

    def __init__(self, encoder: TextEncoder) -> None:
        """Compare texts with `encoder`."""
        self._encoder = encoder
        self._known = lru_cache(maxsize=64)(self._read)

    async def act(self, scene: Scene, engine: Engine) -> Choice:
        """Choose the most fitting command."""
        command = await asyncio.to_thread(self.choose, scene)
        return Choice(match=ActionMatch(command=command, kind=MatchKind.EXACT))

    def choose(self, scene: Scene) -> str:
        """The most fitting admissible command; of equal ones the first."""
        objective = scene.state.objective or scene.first_observation
        task = self._known(objective, scene.memories)
        view = _View.of(scene)
        scores = [task.score(read_command(text), text, view) for text in scene.state.admissible]
        return scene.state.admissible[int(np.argmax(np.round(scores, 6)))]

    def _read(self, objective: str, memories: tuple[str, ...]) -> "_Task":
        texts = [objective, *(_about(memory) for memory in memories)]
        vectors = self._encoder.encode(texts)
        relevance = vectors[1:] @ vectors[0]
        weights = np.exp((relevance - relevance.max(initial=-1.0)) / _FOCUS)
        lessons = [
            (lesson, float(weight))
            for memory, weight in zip(memories, weights, strict=True)
            for lesson in read_lessons(memory)
        ]
        hints = [
            line
            for memory in memories
            if not has_commands(memory)
            for line in memory.splitlines()
            if line.strip()
        ]
        words = list(dict.fromkeys(_WORD.findall(objective.lower())))
        return _Task(encoder=self._encoder, words=words, lessons=lessons, hints=hints)


def _about(memory: str) -> str:
    """The task that a memory names, or else the memory."""
    _, mark, rest = memory.partition("Your task is to:")
    return rest.strip().splitlines()[0] if mark and rest.strip() else memory


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """What the agent has come to know in a game."""

    last: str
    """The last acting verb."""
    carried: frozenset[str]
    tried: Counter[str]
    """Commands since the last change."""
    moved: frozenset[str]
    """Commands that have taken and put things since a tool was used last."""
    placed: frozenset[str]
    """Things that the agent has put somewhere."""
    seen: dict[str, frozenset[str]]
    """What stood in the places where the agent was."""

    @classmethod
    def of(cls, scene: Scene) -> "_View":
        last, place = BEGINNING, ""
        tried: Counter[str] = Counter()
        moved: set[str] = set()
        placed: set[str] = set()
        seen: dict[str, frozenset[str]] = {}
        for step in scene.steps:
            if step.action is None:
                continue
            command = read_command(step.action)
            tried[step.action] += 1
            if command.verb == "go" and command.things:
                place = command.things[0]
            if command.verb in SEARCHING and place:
                seen[place] = frozenset(_SEEN.findall(step.observation))
            if command.acts and not step.observation.startswith(_NOTHING):
                last, tried = command.verb, Counter([step.action])
                if command.verb in _PLACING:
                    placed.update(command.things[:1])
                if command.verb not in _MOVING:
                    moved.clear()
                moved.add(step.action)
        return cls(
            last=last,
            carried=frozenset(scene.state.inventory),
            tried=tried,
            moved=frozenset(moved),
            placed=frozenset(placed),
            seen=seen,
        )


@dataclass(kw_only=True)
class _Task:
    """A task with what the memories say about it."""

    encoder: TextEncoder
    words: list[str]
    lessons: list[tuple[Lesson, float]]
    hints: list[str]
    _after: dict[str, dict[str, float]] = field(default_factory=dict)
    _near: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Look for what the memories show to be done with things."""
        self._tool_verbs = sorted({lesson.verb for lesson, _ in self.lessons} - _MOVING)
        self._names_a_tool_verb = any(self._verb_named(verb) > 0.9 for verb in self._tool_verbs)

    def score(self, command: Command, text: str, view: _View) -> float:
        """How much a command promises; below 0 what is done for want of anything better."""
        if command.verb in LOOKING or not command.things:
            return -3.0 - view.tried[text]
        if text in view.tried or text in view.moved:
            return (-2.0 if command.acts else -1.0) - 0.01 * view.tried[text]
        if command.acts and command.things[0] in view.placed:
            return -0.5
        promise = self._acting(command, view) if command.acts else self._going(command, view)
        return promise + 0.2 * self._hinted(text)

    def _acting(self, command: Command, view: _View) -> float:
        key = next((t for t in command.things if t not in view.carried), command.things[0])
        kind = kind_of(key)
        fit = self.named(kind)
        if command.verb not in _PLACING and command.things[0] in view.carried:
            fit = max(fit, self._shown(command.verb, kind), self._verb_named(command.verb))
        return 2.0 * self._expected(command.verb, view.last) * fit - 0.4

    def _going(self, command: Command, view: _View) -> float:
        place = command.things[0]
        is_opening = command.verb == "open"
        value = self._worth(kind_of(place), view)
        if place not in view.seen or is_opening:
            value += 0.3
        elif not view.carried or value < 0.3:
            kinds = set(map(kind_of, view.seen[place] - view.placed))
            kinds -= set(map(kind_of, view.carried))
            value = max(value - 0.3, 0.6 * max(map(self.named, kinds), default=0.0))
        return value + (0.2 if is_opening else 0.0)

    def _worth(self, kind: str, view: _View) -> float:
        """How much there may be to do at places of a kind, in [0, 1]."""
        if not view.carried:
            return 0.5 * self._expected("take", view.last) * self._shown("take", kind)
        placing = max(self._expected(verb, view.last) for verb in _PLACING) * self.named(kind)
        used = (self._expected(v, view.last) * self._shown(v, kind) for v in self._tool_verbs)
        return max([placing, *used])

    def _expected(self, verb: str, last: str) -> float:
        """How likely a verb is after another one, in [0, 1]; 1 is the likeliest."""
        if last not in self._after:
            counts: defaultdict[str, float] = defaultdict(float)
            for lesson, weight in self.lessons:
                counts[lesson.verb] += weight if lesson.before == last else 0.0
            self._after[last] = {
                verb: self._wanted(verb, last, count) for verb, count in counts.items()
            }
        known = self._after[last]
        most = max([_DOUBT, *known.values()])
        return known.get(verb, self._wanted(verb, last, 0.0)) / most

    def _wanted(self, verb: str, last: str, count: float) -> float:
        named = 1.0 if verb in _MOVING else self._verb_named(verb)
        wanted = (_DOUBT + count) * (0.5 + 0.5 * named)
        if verb in _PLACING and last == "take" and self._names_a_tool_verb:
            return 0.3 * wanted  # what the task asks for besides comes before
        return wanted

    def _shown(self, verb: str, kind: str) -> float:
        """How far the memories show a verb at, or with, things of a kind."""
        best, fit = 0.0, 0.0
        for lesson, weight in self.lessons:
            if lesson.verb == verb:
                best = max(best, weight)
                if kind in (lesson.place, *lesson.kinds[1:]):
                    fit = max(fit, weight * self._likeness(lesson))
        return fit / best if best else 0.0

    def _likeness(self, lesson: Lesson) -> float:
        """Where a thing was found says less about other things; a tool is a tool for all."""
        return 0.5 + 0.5 * self.named(lesson.kinds[0]) if lesson.verb == "take" else 1.0

    def named(self, kind: str) -> float:
        """How far the task names a thing, in [0, 1]."""
        return min(max((self._nearest(kind) - _SAME) / (1 - _SAME), 0.0), 1.0)

    def _verb_named(self, verb: str) -> float:
        return min(max(self._nearest(verb), 0.0), 1.0)

    def _nearest(self, word: str) -> float:
        if word not in self._near:
            vectors = self.encoder.encode([word, *self.words])
            self._near[word] = float((vectors[1:] @ vectors[0]).max(initial=0.0))
        return self._near[word]

    def _hinted(self, text: str) -> float:
        if not self.hints:
            return 0.0
        vectors = self.encoder.encode([text, *self.hints])
        return float((vectors[1:] @ vectors[0]).max())
