"""LoCoMo: conversations of two people over many sessions, with questions in five categories.

File format: a JSON list of objects with `sample_id`, `conversation` (`session_1`,
`session_1_date_time` ... with turns of `speaker`, `dia_id`, `text` and, for a shared picture,
`blip_caption`) and `qa` (`question`, `answer`, `evidence`, `category`).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from types import MappingProxyType
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
from langgraph_memskill.benchmarks.scorers import best_token_f1, best_token_f1_max
from langgraph_memskill.benchmarks.splits import Splits, T, split_at
from langgraph_memskill.errors import DataError
from langgraph_memskill.records import Span, Turn
from langgraph_memskill.spans import Layout, Session, SpanMode, split_sessions
from langgraph_memskill.tokens import Tokenizer

FIELDS = ("sample_id", "conversation", "qa")
"""The official schema."""

CATEGORIES: Mapping[int, str] = MappingProxyType(
    {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}
)
"""LoCoMo's category numbers and what they stand for."""

MULTI_HOP = CATEGORIES[1]
OPEN_DOMAIN = CATEGORIES[3]
ADVERSARIAL = CATEGORIES[5]

_SESSION_KEY = re.compile(r"session_(\d+)")
# Official files hold "D8:6; D9:17" and "D:11:26" beside "D8:6".
_TURN_ID = re.compile(r"D:?(\d+):(\d+)")


def _closing(turn: Turn) -> str:
    return '"' if turn.caption is None else f'" and shared {turn.caption}.'


def _header(date: str, mode: SpanMode) -> str:
    return f"DATE: {date}\n" if mode is SpanMode.TURN else f"DATE: {date}\nCONVERSATION:\n"


LAYOUT = Layout(
    opening=lambda turn: f'{turn.speaker} said, "',
    closing=_closing,
    separator="\n",
    header=_header,
)
"""How a LoCoMo conversation is written down (parity kit, README section 10)."""


def load_locomo(path: Path | str) -> list[Sample]:
    """Load a LoCoMo file.

    Args:
        path: The JSON file.

    Returns:
        One sample a conversation, in file order.

    Raises:
        DataError: The file is not a complete LoCoMo file, or two conversations have one id; the
            message names the file, the record and the field.
    """
    records = read_records(path, FIELDS)
    for where, record in records:
        for number, item in enumerate(list_field(record, "qa", where)):
            if isinstance(item, dict) and not is_category(item.get("category")):
                raise DataError(
                    f"{where}, question {number}: the category {item.get('category')!r} is "
                    "unknown; expected 1 to 5"
                )
    return checked_samples((read_sample(record, where) for where, record in records), path)


def load_sample_conversation() -> Sample:
    """Load the short conversation that comes with the package: two people, three sessions."""
    resource = files("langgraph_memskill.benchmarks") / "data" / "sample_conversation.json"
    with as_file(resource) as path:
        return load_locomo(path)[0]


def read_sample(record: Record, where: str = "the record") -> Sample:
    """Read one LoCoMo record; fields that only a complete file must have may be missing.

    Args:
        record: The record, as parsed from JSON.
        where: Name of the record in error messages.

    Raises:
        DataError: A session or question cannot be read.
    """
    conversation = _conversation(record, where)
    sessions = tuple(
        _session(number, content, conversation, where)
        for number, content in _numbered_sessions(conversation)
    )
    turn_ids = [turn.id for session in sessions for turn in session.turns]
    if len(set(turn_ids)) < len(turn_ids):
        twice = next(turn_id for turn_id in turn_ids if turn_ids.count(turn_id) > 1)
        raise DataError(f"{where}: the dia_id {twice!r} occurs twice; ids are unique")
    return Sample(
        id=read_id(record),
        questions=tuple(
            with_known_evidence(question, set(turn_ids))
            for question in read_questions(record, where)
        ),
        sessions=sessions,
        metadata=read_metadata(record, where),
    )


def read_id(record: Record) -> str:
    """Return the id of a LoCoMo record, or one made from its content if it has none."""
    return label(record.get("sample_id")) or content_id("locomo", record)


def read_questions(record: Record, where: str = "the record") -> tuple[Question, ...]:
    """Read the questions of one LoCoMo record, those of category 5 included.

    Args:
        record: The record, as parsed from JSON.
        where: Name of the record in error messages.

    Raises:
        DataError: A question has no text, no gold answer, or an unknown category.
    """
    sample_id = read_id(record)
    return tuple(
        _question(item, f"{sample_id}/q{number}", f"{where}, question {number}")
        for number, item in enumerate(list_field(record, "qa", where))
    )


def read_metadata(record: Record, where: str = "the record") -> Metadata:
    """Read who speaks in a LoCoMo record and how many sessions it has, in whatever state these are.

    Raises:
        DataError: `conversation` is no object.
    """
    sessions = _numbered_sessions(_conversation(record, where))
    contents = [content for _, content in sessions if isinstance(content, list)]
    turns = [turn for content in contents for turn in content if isinstance(turn, dict)]
    speakers = {turn["speaker"] for turn in turns if isinstance(turn.get("speaker"), str)}
    return Metadata(speakers=tuple(sorted(speakers)), num_sessions=len(sessions))


def read_category(value: object) -> int:
    """Return a category as a number; 1 if it is missing or unreadable (parity kit, section 9)."""
    try:
        return int(value)  # type: ignore[call-overload, no-any-return]  # any value may come
    except (TypeError, ValueError, OverflowError):
        return 1


def is_category(value: object) -> bool:
    """Whether a value is the number of a category, also one that is written as text (QUIRK 69).

    `read_category` takes all others for multi-hop, or cuts them to a whole number.
    """
    if isinstance(value, str):
        return value.isdecimal() and int(value) in CATEGORIES
    return type(value) is int and value in CATEGORIES


def category_number(question: Question) -> int:
    """Return LoCoMo's number for the category of one of its questions."""
    return next(number for number, name in CATEGORIES.items() if name == question.category)


def answer_f1(prediction: str, question: Question) -> float | None:
    """Score an answer by LoCoMo's rules: multi-hop answers are lists, the others are phrases.

    A category that is written as text has its rule, too (QUIRK 69).

    Returns:
        A token F1 in [0, 1], or None if the question has no gold answer.

    Raises:
        DataError: The prediction is no text.
    """
    if question.category == MULTI_HOP:
        return best_token_f1_max(prediction, question.answers)
    return best_token_f1(prediction, question.answers)


def scorable(questions: Iterable[Question]) -> tuple[Question, ...]:
    """Leave out the adversarial questions (METHOD, "Reward and training")."""
    return tuple(question for question in questions if question.category != ADVERSARIAL)


def cut_spans(
    sample: Sample,
    mode: SpanMode | str = SpanMode.SESSION,
    *,
    chunk_tokens: int = 1024,
    overlap: int = 128,
    tokenizer: Tokenizer | None = None,
) -> list[Span]:
    """Cut a LoCoMo conversation into spans; the arguments are those of `split_sessions`.

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


def split(samples: Sequence[T]) -> Splits[T]:
    """Divide LoCoMo's ten conversations: train 0-5, validate 6-7, test 8-9 (METHOD, "Schedule")."""
    return split_at(samples, 6, 8, 10)


def _conversation(record: Record, where: str) -> dict[str, Any]:
    conversation = record.get("conversation", {})
    if not isinstance(conversation, dict):
        raise DataError(
            f"{where}: the field 'conversation' is {kind_of(conversation)}; expected an object"
        )
    return conversation


def _numbered_sessions(conversation: Record) -> list[tuple[int, Any]]:
    """Return the sessions by number; other keys, such as session_summary, are none (QUIRK 76)."""
    matches = ((_SESSION_KEY.fullmatch(key), value) for key, value in conversation.items())
    return sorted(
        ((int(match[1]), value) for match, value in matches if match), key=lambda pair: pair[0]
    )


def _session(number: int, content: Any, conversation: Record, where: str) -> Session:
    name = f"session_{number}"
    if not isinstance(content, list):
        raise DataError(f"{where}: {name} is {kind_of(content)}; expected a list of turns")
    turns = []
    for position, turn in enumerate(content, 1):
        place = f"{where}, {name}, turn {position}"
        if not isinstance(turn, dict):
            raise DataError(f"{place} is {kind_of(turn)}; expected an object")
        turns.append(
            Turn(
                id=label(turn.get("dia_id")) or f"D{number}:{position}",
                speaker=text_field(turn, "speaker", place),
                text=text_field(turn, "text", place),
                caption=text_field(turn, "blip_caption", place) if "blip_caption" in turn else None,
            )
        )
    return Session(id=name, date=label(conversation.get(f"{name}_date_time")), turns=tuple(turns))


def _question(item: Any, question_id: str, where: str) -> Question:
    if not isinstance(item, dict):
        raise DataError(f"{where} is {kind_of(item)}; expected an object")
    number = read_category(item.get("category"))
    if number not in CATEGORIES:
        raise DataError(f"{where}: the category {number!r} is unknown; expected 1 to 5")
    category = CATEGORIES[number]
    return Question(
        id=question_id,
        text=text_field(item, "question", where),
        answers=_answers(item, category, where),
        category=category,
        evidence=read_evidence(item.get("evidence")),
    )


def _answers(item: Record, category: str, where: str) -> tuple[str, ...]:
    if "answer" not in item and category == ADVERSARIAL:
        return ()  # there is only an `adversarial_answer`, which is wrong
    if "answer" not in item:
        raise DataError(f"{where}: the field 'answer' is missing")
    answer = gold_text(item["answer"], "answer", where)
    return (answer.split(";")[0].strip() if category == OPEN_DOMAIN else answer,)


def read_evidence(value: object) -> tuple[str, ...]:
    """Return the turn ids in an evidence entry, each once, in order.

    Args:
        value: A list of ids or one text. Several ids in one text ("D8:6; D9:17"), a stray colon
            ("D:11:26") and leading zeros are understood; what holds no id is left out.
    """
    texts = value if isinstance(value, list) else [value]
    found = (match for text in texts for match in _TURN_ID.finditer(label(text)))
    return tuple(dict.fromkeys(f"D{int(match[1])}:{int(match[2])}" for match in found))
