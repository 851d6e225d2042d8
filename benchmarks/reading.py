"""Reading records from data files; what is wrong with one becomes a `DataError` that says where."""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from langgraph_memskill.benchmarks.samples import Question, Sample
from langgraph_memskill.errors import DataError

logger = logging.getLogger(__name__)

Record = Mapping[str, Any]


def read_json(path: Path | str) -> Any:
    """Return what a JSON file holds.

    Args:
        path: The file; UTF-8, with or without a byte order mark.

    Raises:
        DataError: The file cannot be read, is not UTF-8 or is not (complete) JSON.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"cannot read the data file {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8: byte {error.object[error.start]:#04x} at offset {error.start}; "
            "save the file as UTF-8"
        ) from error
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path} is not complete JSON: {error.msg} at line {error.lineno}, "
            f"column {error.colno}; is the file truncated?"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}") from error


def read_records(path: Path | str, fields: Sequence[str]) -> list[tuple[str, Record]]:
    """Return the records of a JSON file, each with a name for error messages.

    Args:
        path: A JSON file that holds a list of objects.
        fields: The keys that every record must have.

    Raises:
        DataError: The file cannot be read, holds no records, or a record lacks a field.
    """
    content = read_json(path)
    if not isinstance(content, list):
        raise DataError(f"{path} holds {kind_of(content)}; expected a list of records")
    if not content:
        raise DataError(f"{path} holds an empty list; expected at least one record")
    records: list[tuple[str, Record]] = []
    for position, record in enumerate(content):
        where = f"{path}, record {position}"
        if not isinstance(record, dict):
            raise DataError(f"{where} is {kind_of(record)}; expected an object")
        for field in fields:
            require(record, field, where)
        records.append((where, record))
    return records


def checked_samples(samples: Iterable[Sample], path: Path | str) -> list[Sample]:
    """Return the samples of a file if each has an id of its own and something to remember.

    Raises:
        DataError: An id occurs twice, or a sample has neither sessions nor text.
    """
    checked = list(samples)
    for sample_id, count in Counter(sample.id for sample in checked).items():
        if count > 1:
            raise DataError(f"{path}: {count} records have the id {sample_id!r}; ids are unique")
    for sample in checked:
        if not sample.sessions and not sample.text.strip():
            raise DataError(f"{path}: the record {sample.id!r} has neither sessions nor documents")
    return checked


def require(record: Record, field: str, where: str) -> Any:
    """Return a field that must be there.

    Raises:
        DataError: The record has no such key.
    """
    if field not in record:
        raise DataError(f"{where}: the field {field!r} is missing")
    return record[field]


def text_field(record: Record, field: str, where: str) -> str:
    """Return a field that must be there and be text.

    Raises:
        DataError: The key is missing, or its value is not (encodable) text.
    """
    value = require(record, field, where)
    if not isinstance(value, str):
        raise DataError(f"{where}: the field {field!r} is {kind_of(value)}; expected text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"{where}: the field {field!r} holds half a character (an unpaired surrogate, "
            f"{value[error.start]!r} at position {error.start})"
        ) from error
    return value


def list_field(record: Record, field: str, where: str) -> list[Any]:
    """Return a field that is a list, or an empty list if the key is missing.

    Raises:
        DataError: The value is something else.
    """
    value = record.get(field, [])
    if not isinstance(value, list):
        raise DataError(f"{where}: the field {field!r} is {kind_of(value)}; expected a list")
    return value


def label(value: object) -> str:
    """Return an id, date or title as text; empty for null, and for what is no label."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value).strip()


def with_known_evidence(question: Question, known: Collection[str]) -> Question:
    """Leave out the evidence that names nothing in a record, because nothing could ever find it.

    Args:
        question: As it stands in the file.
        known: Ids of the turns or sessions, or titles of the documents, that the record has.
    """
    found = tuple(name for name in question.evidence if name and name in known)
    if found == question.evidence:
        return question
    unknown = [name for name in question.evidence if name not in found]
    logger.info("%s: the evidence %r names nothing and is left out", question.id, unknown)
    return replace(question, evidence=found)


def gold_text(value: object, field: str, where: str) -> str:
    """Return a gold answer as text.

    A number is written out. A list becomes "a, b", as the data sets write their own lists: turned
    into text as it is, it would have brackets and quotes in it (QUIRK 73).

    Raises:
        DataError: The value is null, an object, or a list that holds one.
    """
    if isinstance(value, str):
        return text_field({field: value}, field, where)
    if isinstance(value, list):
        return ", ".join(gold_text(item, field, where) for item in value)
    if isinstance(value, int | float):
        return str(value)
    raise DataError(f"{where}: the field {field!r} is {kind_of(value)}; expected text or a number")


def content_id(prefix: str, record: Record) -> str:
    """Return an id made from a record's content, the same in every process (QUIRK 38)."""
    digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode("ascii")).hexdigest()
    return f"{prefix}_{digest[:16]}"


def kind_of(value: object) -> str:
    """Return what a JSON value is, in words for an error message."""
    if value is None:
        return "null"
    if isinstance(value, str):
        shown = value if len(value) <= 40 else value[:40] + "..."
        return f"the text {shown!r}"
    kinds: dict[type, str] = {bool: "a truth value", dict: "an object", list: "a list"}
    return kinds.get(type(value), f"the number {value!r}")
