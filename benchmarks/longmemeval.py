"""LongMemEval: one question to an assistant about a long history of chat sessions.

File format: a JSON list of objects with `question_id`, `question_type`, `question`, `answer`,
`question_date`, `haystack_session_ids`, `haystack_dates`, `haystack_sessions` (lists of turns with
`role` and `content`) and `answer_session_ids`.
"""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from langgraph_memskill.benchmarks.reading import (
    Record,
    checked_samples,
    content_id,
    gold_text,
    kind_of,
    label,
    list_field,
    read_records,
    text_field,
    with_known_evidence,
)
from langgraph_memskill.benchmarks.samples import Metadata, Question, Sample
from langgraph_memskill.benchmarks.scorers import best_token_f1
from langgraph_memskill.errors import DataError
from langgraph_memskill.records import Span, Turn
from langgraph_memskill.spans import Layout, Session, SpanMode, split_sessions
from langgraph_memskill.tokens import Tokenizer

logger = logging.getLogger(__name__)

FIELDS = (
    "question_id",
    "question_type",
    "question",
    "answer",
    "question_date",
    "haystack_session_ids",
    "haystack_dates",
    "haystack_sessions",
    "answer_session_ids",
)
"""The official schema."""


def _header(date: str, mode: SpanMode) -> str:
    return f"Session Date: {date}\n" if mode is SpanMode.TURN else f"Session Date: {date}\n\n"


LAYOUT = Layout(
    opening=lambda turn: f"{turn.speaker}: ",
    closing=lambda turn: "",
    separator="\n\n",
    header=_header,
)
"""How a LongMemEval history is written down (parity kit, README section 10)."""


def load_longmemeval(path: Path | str) -> list[Sample]:
    """Load a LongMemEval file.

    Args:
        path: The JSON file.

    Returns:
        One sample a question, in file order; questions on the same history repeat it.

    Raises:
        DataError: The file is not a complete LongMemEval file, or two questions have one id; the
            message names the file, the record and the field.
    """
    records = read_records(path, FIELDS)
    return checked_samples((read_sample(record, where) for where, record in records), path)


def read_sample(record: Record, where: str = "the record") -> Sample:
    """Read one LongMemEval record; fields that only a complete file must have may be missing.

    Args:
        record: The record, as parsed from JSON.
        where: Name of the record in error messages.

    Raises:
        DataError: A turn or the question cannot be read.
    """
    sessions = _sessions(record, where)
    known = {session.id for session in sessions}
    return Sample(
        id=read_id(record),
        questions=tuple(with_known_evidence(q, known) for q in read_questions(record, where)),
        sessions=sessions,
        metadata=read_metadata(record, where),
    )


def read_id(record: Record) -> str:
    """Return the id of a LongMemEval record, or one made from its content if it has none."""
    own_id = label(record.get("question_id")) or label(record.get("sample_id"))
    return own_id or content_id("longmemeval", record)


def read_questions(record: Record, where: str = "the record") -> tuple[Question, ...]:
    """Read the question of one LongMemEval record; none if it lacks the question or the answer.

    Args:
        record: The record, as parsed from JSON.
        where: Name of the record in error messages.

    Raises:
        DataError: The question is no text, or the answer is null or an object.
    """
    if "question" not in record or "answer" not in record:
        return ()
    question = Question(
        id=read_id(record),
        text=text_field(record, "question", where),
        answers=(gold_text(record["answer"], "answer", where),),
        category=label(record.get("question_type")),
        evidence=tuple(map(label, list_field(record, "answer_session_ids", where))),
        date=label(record.get("question_date")) or None,
    )
    return (question,)


def read_metadata(record: Record, where: str = "the record") -> Metadata:
    """Read how many sessions a LongMemEval record has, whatever state these are in, and its date.

    Raises:
        DataError: `haystack_sessions` is no list.
    """
    return Metadata(
        num_sessions=len(list_field(record, "haystack_sessions", where)),
        question_date=label(record.get("question_date")),
    )


def answer_f1(prediction: str, question: Question) -> float | None:
    """Score an answer: plain token F1 in every category.

    Returns:
        A token F1 in [0, 1], or None if the question has no gold answer.

    Raises:
        DataError: The prediction is no text.
    """
    return best_token_f1(prediction, question.answers)


def answerable(samples: Iterable[Sample]) -> list[Sample]:
    """Leave out the samples whose right answer is that there is none (ids that end in "_abs")."""
    return [sample for sample in samples if not sample.id.endswith("_abs")]


def cut_spans(
    sample: Sample,
    mode: SpanMode | str = SpanMode.FIXED,
    *,
    chunk_tokens: int = 1024,
    overlap: int = 128,
    tokenizer: Tokenizer | None = None,
) -> list[Span]:
    """Cut a LongMemEval history into spans; the arguments are those of `split_sessions`.

    Raises:
        ConfigError: The mode does not fit a conversation, or a length is out of range.
    """
    return split_sessions(
        sample.sessions,
        mode,
        layout=LAYOUT,
        chunk_tokens=chunk_tokens,
        overlap=overlap,
        tokenizer=tokenizer,
        id_prefix=f"{sample.id}:",
    )


def _sessions(record: Record, where: str) -> tuple[Session, ...]:
    ids = list_field(record, "haystack_session_ids", where)
    dates = list_field(record, "haystack_dates", where)
    sessions = []
    for index, content in enumerate(list_field(record, "haystack_sessions", where)):
        if not isinstance(content, list):
            logger.warning("%s: session %d is %s: left out", where, index, kind_of(content))
            continue
        name = (label(ids[index]) if index < len(ids) else "") or f"session_{index + 1}"
        # A session beyond the list of dates is kept without one (QUIRK 76).
        date = label(dates[index]) if index < len(dates) else ""
        sessions.append(Session(id=name, date=date, turns=_turns(content, name, where)))
    return tuple(sessions)


def _turns(content: list[Any], session: str, where: str) -> tuple[Turn, ...]:
    turns = []
    for position, turn in enumerate(content, 1):
        place = f"{where}, session {session!r}, turn {position}"
        if not isinstance(turn, dict):
            raise DataError(f"{place} is {kind_of(turn)}; expected an object")
        speaker, text = text_field(turn, "role", place), text_field(turn, "content", place)
        turns.append(Turn(id=f"{session}:{position}", speaker=speaker, text=text))
    return tuple(turns)
