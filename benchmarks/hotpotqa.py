"""HotpotQA over long contexts: one question about a text of numbered documents.

File format: a JSON list of objects with `context` ("Document 1:" ...), `input` (the question),
`num_docs`, `index` and `answers`; where they are given, `supporting_titles` is the evidence and
`type` the kind of question.
"""

from collections.abc import Sequence
from pathlib import Path

from langgraph_memskill.benchmarks.reading import (
    Record,
    checked_samples,
    content_id,
    gold_text,
    label,
    list_field,
    read_records,
    text_field,
)
from langgraph_memskill.benchmarks.samples import Metadata, Question, Sample
from langgraph_memskill.benchmarks.splits import Splits, T, split_at
from langgraph_memskill.errors import DataError
from langgraph_memskill.records import Span
from langgraph_memskill.spans import SpanMode, split_text
from langgraph_memskill.tokens import Tokenizer

FIELDS = ("context", "input", "num_docs", "index", "answers")
"""The official schema."""


def load_hotpotqa(path: Path | str) -> list[Sample]:
    """Load a HotpotQA file with long contexts.

    Args:
        path: The JSON file.

    Returns:
        One sample a question, in file order.

    Raises:
        DataError: The file is not complete, or two questions have one index; the message names the
            file, the record and the field.
    """
    records = read_records(path, FIELDS)
    for where, record in records:
        if not text_field(record, "input", where).strip():
            raise DataError(f"{where}: the field 'input' is empty; expected a question")
    return checked_samples((read_sample(record, where) for where, record in records), path)


def read_sample(record: Record, where: str = "the record") -> Sample:
    """Read one HotpotQA record; fields that only a complete file must have may be missing.

    Args:
        record: The record, as parsed from JSON.
        where: Name of the record in error messages.

    Raises:
        DataError: The context, question or an answer cannot be read.
    """
    return Sample(
        id=read_id(record),
        questions=read_questions(record, where),
        text=text_field(record, "context", where) if "context" in record else "",
        metadata=read_metadata(record),
    )


def read_id(record: Record) -> str:
    """Return the id of a HotpotQA record, or one made from its content if it has none."""
    index = label(record.get("index"))
    return f"hotpotqa_{index}" if index else content_id("hotpotqa", record)


def read_questions(record: Record, where: str = "the record") -> tuple[Question, ...]:
    """Read the question of one HotpotQA record; none if its text is missing or empty.

    Args:
        record: The record, as parsed from JSON.
        where: Name of the record in error messages.

    Raises:
        DataError: The question is no text, or an answer is null or an object.
    """
    if not record.get("input"):
        return ()
    answers = record.get("answers", [])
    if isinstance(answers, str):
        answers = [answers]
    titles = map(label, list_field(record, "supporting_titles", where))
    question = Question(
        id=read_id(record),
        text=text_field(record, "input", where),
        answers=tuple(
            gold_text(answer, "answers", where)
            for answer in list_field({"answers": answers}, "answers", where)
        ),
        category=label(record.get("type")),
        evidence=tuple(dict.fromkeys(titles)),
    )
    return (question,)


def read_metadata(record: Record) -> Metadata:
    """Read how many documents a HotpotQA record says it has, and its index."""
    index, num_documents = record.get("index"), record.get("num_docs")
    return Metadata(
        num_documents=num_documents if isinstance(num_documents, int) else 0,
        index=index if isinstance(index, int) else None,
    )


def cut_spans(
    sample: Sample,
    mode: SpanMode | str = SpanMode.FIXED,
    *,
    chunk_tokens: int = 1024,
    overlap: int = 128,
    tokenizer: Tokenizer | None = None,
) -> list[Span]:
    """Cut a HotpotQA context into spans; the arguments are those of `split_text`.

    The default mode is the one that the paper's runs use whatever else is set (QUIRK 78).

    Raises:
        ConfigError: The mode does not fit a text, or a length is out of range.
    """
    return split_text(
        sample.text,
        mode,
        chunk_tokens=chunk_tokens,
        overlap=overlap,
        tokenizer=tokenizer,
        id_prefix=f"{sample.id}:",
    )


def split(samples: Sequence[T]) -> Splits[T]:
    """Put every sample into the training set: each evaluation file is a set of its own."""
    count = len(samples)
    return split_at(samples, count, count, count)
