"""HotpotQA over long contexts: one question about a text of numbered documents.

File format: a JSON list of objects with `context` ("Document 1:" ...), `input` (the question),
`num_docs`, `index` and `answers`; where they are given, `supporting_titles` is the evidence and
`type` the kind of question.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
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
    with_known_evidence,
)
from langgraph_memskill.benchmarks.samples import Metadata, Question, Sample
from langgraph_memskill.benchmarks.scorers import best_token_f1
from langgraph_memskill.benchmarks.splits import Splits, T, split_at
from langgraph_memskill.errors import DataError
from langgraph_memskill.records import Span, Turn
from langgraph_memskill.spans import SpanMode, split_text
from langgraph_memskill.tokens import Tokenizer

FIELDS = ("context", "input", "num_docs", "index", "answers")
"""The official schema."""

_TAGGED = re.compile(r"<answer>(.*?)</answer>", re.IGNORECASE | re.DOTALL)
_INTRODUCED = (
    re.compile(r"answer:\s*(.+)", re.IGNORECASE),
    re.compile(r"the answer(?: is|:)\s*(.+)", re.IGNORECASE),
)
# As in the mode "paragraph"; the line after the heading is the title.
_HEADING = re.compile(r"^Document (\d+):[ \t]*\n?(.*)", re.MULTILINE)


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
    text = text_field(record, "context", where) if "context" in record else ""
    known = set(document_titles(text))
    return Sample(
        id=read_id(record),
        questions=tuple(with_known_evidence(q, known) for q in read_questions(record, where)),
        text=text,
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

    The default mode is the one that the paper's runs use whatever else is set (QUIRK 78). The turns
    of a span are its documents, under their titles, so that a memory's provenance names titles as
    the questions' evidence does.

    Raises:
        ConfigError: The mode does not fit a text, or a length is out of range.
    """
    spans = split_text(
        sample.text,
        mode,
        chunk_tokens=chunk_tokens,
        overlap=overlap,
        tokenizer=tokenizer,
        id_prefix=f"{sample.id}:",
    )
    return _with_documents(spans, sample.text)


def document_titles(text: str) -> list[str]:
    """Titles of the numbered documents in a context, in order."""
    return [found[2].strip() for found in _HEADING.finditer(text)]


def extract_answer(reply: str) -> str:
    """Return the answer inside a reply (parity kit, README section 9; QUIRK 71, kept).

    Args:
        reply: What the model wrote, or what was taken out of that before: published scores take
            the answer out twice.

    Returns:
        What stands in the first pair of answer tags; else after "answer:", or else after "the
        answer is", up to the end of the line; else everything. Without blanks around it.

    Raises:
        DataError: The reply is no text.
    """
    if not isinstance(reply, str):
        raise DataError(f"{reply!r} is no text; there is no answer in it")
    text = reply.strip()
    for pattern in (_TAGGED, *_INTRODUCED):
        if found := pattern.search(text):
            return found[1].strip()
    return text


def answer_f1(prediction: str, question: Question) -> float | None:
    """Score an answer: the best token F1 with any gold answer, of what `extract_answer` takes.

    Returns:
        A token F1 in [0, 1], or None if the question has no gold answer.

    Raises:
        DataError: The prediction is no text.
    """
    return best_token_f1(extract_answer(prediction), question.answers)


def split(samples: Sequence[T]) -> Splits[T]:
    """Put every sample into the training set: each evaluation file is a set of its own."""
    count = len(samples)
    return split_at(samples, count, count, count)


def _with_documents(spans: list[Span], text: str) -> list[Span]:
    """Name the documents of each span; a piece before its first heading is the one before that."""
    titles = [(int(found[1]), found[2].strip()) for found in _HEADING.finditer(text)]
    before = {number: titles[i - 1][1] for i, (number, _) in enumerate(titles) if i}
    names = dict(titles)
    named = []
    last = ""
    for span in spans:
        found = list(_HEADING.finditer(span.text))
        lead = span.text[: found[0].start()] if found else span.text
        # A span without a heading goes on with the document in which the one before it ended.
        first = before.get(int(found[0][1]), "") if found else last
        pieces = [(first, lead)] if first and lead.strip() else []
        for i, heading in enumerate(found):
            end = found[i + 1].start() if i + 1 < len(found) else len(span.text)
            title = names.get(int(heading[1]), heading[2].strip())
            pieces.append((title, span.text[heading.start() : end]))
        last = pieces[-1][0] if pieces else last
        named.append(replace(span, turns=tuple(_documents(pieces))))
    return named


def _documents(pieces: Sequence[tuple[str, str]]) -> list[Turn]:
    return [Turn(id=title, speaker=title, text=piece) for title, piece in pieces if title]
