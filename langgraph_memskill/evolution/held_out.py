"""What a gate tries banks on: spans to remember with questions whose answers are known."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from langgraph_memskill.errors import DataError
from langgraph_memskill.evolution.records import HardCase
from langgraph_memskill.records import Span
from langgraph_memskill.state import load
from langgraph_memskill.traces.reader import TraceReader


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutQuestion:
    """A question with its right answers."""

    question: str
    expected: tuple[str, ...]
    """One or more; any of them will do."""
    date: str | None = None
    """When it is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutSpan:
    """Something to remember."""

    text: str
    time: str | None = None
    """When it was said or written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutEpisode:
    """Spans that are remembered in order, and questions about them."""

    id: str
    spans: tuple[HeldOutSpan, ...]
    questions: tuple[HeldOutQuestion, ...]

    def as_spans(self) -> list[Span]:
        """The spans as the construction graph reads them."""
        return [
            Span(id=f"{self.id}:{index}", index=index, text=span.text, time=span.time)
            for index, span in enumerate(self.spans)
        ]


def read_held_out(file: str | Path) -> list[HeldOutEpisode]:
    """Read episodes from a file of JSON lines.

    Args:
        file: One object a line: {"id": ..., "spans": [{"text": ..., "time": ...}], "questions":
            [{"question": ..., "expected": [...], "date": ...}]}; times and dates may be left out,
            and a single expected answer may be a text.

    Raises:
        DataError: If the file cannot be read; the message names the line and what is wrong.
    """
    path = Path(file)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the held-out file {path} cannot be read: {error}") from error
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    episodes = [_episode(line, f"{path}, line {number}") for number, line in numbered]
    if not episodes:
        raise DataError(f"the held-out file {path} is empty: write an episode a line")
    return episodes


def held_out_of(
    traces: Path, cases: Iterable[HardCase], *, shown: Collection[str] = ()
) -> list[HeldOutEpisode]:
    """Put together what a memory has kept: recorded spans with texts, and questions about them.

    Args:
        traces: The traces of the memory. Only episodes whose texts were kept can be read again.
        cases: Questions of which the right answer is known, with the episode that they ask about.
        shown: Keys of cases that the designer has seen: they are not held out from it.

    Returns:
        The episodes for which there are both; none if nothing was kept.

    Raises:
        TraceError: If the traces cannot be read.
    """
    questions: dict[str, list[HeldOutQuestion]] = {}
    for case in cases:
        if case.key in shown or case.expected is None or case.episode_id is None:
            continue
        question = HeldOutQuestion(question=case.question, expected=(case.expected,))
        questions.setdefault(case.episode_id, []).append(question)
    if not questions or not traces.is_dir():
        return []
    spans = _recorded_spans(traces, questions)
    return [
        HeldOutEpisode(
            id=episode_id,
            spans=tuple(spans[episode_id][step] for step in sorted(spans[episode_id])),
            questions=tuple(asked),
        )
        for episode_id, asked in questions.items()
        if episode_id in spans
    ]


def _recorded_spans(traces: Path, wanted: Collection[str]) -> dict[str, dict[int, HeldOutSpan]]:
    """Texts of the wanted episodes by position; episodes with a span without text are left out."""
    found: dict[str, dict[int, HeldOutSpan]] = {}
    textless: set[str] = set()
    for step in TraceReader(traces).steps():
        if step.episode_id not in wanted:
            continue
        if step.span_text is None:
            textless.add(step.episode_id)
        else:
            found.setdefault(step.episode_id, {})[step.step] = HeldOutSpan(text=step.span_text)
    return {name: spans for name, spans in found.items() if name not in textless}


def _episode(line: str, place: str) -> HeldOutEpisode:
    try:
        document: Any = json.loads(line)
        if isinstance(document, Mapping):
            asked = document.get("questions")
            questions = [_with_list(q) for q in asked] if isinstance(asked, list) else asked
            document = {**document, "questions": questions}
        episode = load(HeldOutEpisode, document)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the line"
        raise DataError(f"{place}: {field}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place} is no JSON: {error}") from error
    if not any(span.text.strip() for span in episode.spans):
        raise DataError(f"{place}: spans: there is no text to remember")
    if not episode.questions or not all(
        q.expected and q.question.strip() for q in episode.questions
    ):
        raise DataError(f"{place}: questions: each needs a question and an expected answer")
    return episode


def _with_list(question: object) -> object:
    if isinstance(question, Mapping) and isinstance(question.get("expected"), str):
        return {**question, "expected": [question["expected"]]}
    return question
