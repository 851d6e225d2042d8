"""Checking a data file: which benchmark it belongs to, what it holds, and all that is wrong.

The loaders stop at the first thing that they cannot read; here every record is looked at, and each
problem says where it is and what to do.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from langgraph_memskill.benchmarks import hotpotqa_checks, locomo_checks, longmemeval_checks
from langgraph_memskill.benchmarks.data_problems import (
    DataProblem,
    RecordRules,
    empty_id,
    without_place,
)
from langgraph_memskill.benchmarks.hotpotqa import document_titles
from langgraph_memskill.benchmarks.reading import Record, kind_of, label, read_json
from langgraph_memskill.benchmarks.samples import Sample
from langgraph_memskill.benchmarks.splits import Splits
from langgraph_memskill.errors import DataError
from langgraph_memskill.tokens import Tokenizer, default_tokenizer


class DataFormat(StrEnum):
    """What a file can be."""

    LOCOMO = "locomo"
    LONGMEMEVAL = "longmemeval"
    HOTPOTQA = "hotpotqa"
    SPLITS = "splits"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataReport:
    """What a file holds."""

    file: str
    format: DataFormat | None
    """None if it is nothing known."""
    problems: tuple[DataProblem, ...] = ()
    num_samples: int = 0
    num_sessions: int = 0
    num_turns: int = 0
    num_documents: int = 0
    questions: dict[str, int] = field(default_factory=dict)
    """Number of questions by category, most frequent first."""
    num_tokens: int | None = None
    """Of what there is to remember; None if it was not counted."""
    splits: dict[str, int] = field(default_factory=dict)
    """Sizes of the parts, for a split file."""

    @property
    def num_errors(self) -> int:
        """Problems that must be mended before the file is used."""
        return sum(problem.is_error for problem in self.problems)


OnRecord = Callable[[int, int], None]
"""Called with how many records are done and how many there are."""


def check_file(
    path: Path | str,
    *,
    count_tokens: bool = True,
    tokenizer: Tokenizer | None = None,
    on_record: OnRecord = lambda done, total: None,
) -> DataReport:
    """Check a data file of LoCoMo, LongMemEval or HotpotQA, or a split file.

    Args:
        path: The file.
        count_tokens: Whether to count tokens, which takes a minute for the largest file.
        tokenizer: What a token is; `default_tokenizer()` if None.
        on_record: Told of the progress.

    Returns:
        What is in the file and all that is wrong with it. A file that is no JSON, or nothing known,
        is reported, too.

    Raises:
        DataError: The file cannot be opened.
    """
    file = Path(path)
    if not file.is_file():
        raise DataError(f"there is no file {str(file)!r}: name a JSON file")
    try:
        content = read_json(file)
    except DataError as error:
        return DataReport(file=str(file), format=None, problems=(_broken(file, error),))
    found = recognise(content)
    if found is None:
        return DataReport(file=str(file), format=None, problems=(_unknown(content),))
    if found is DataFormat.SPLITS:
        return _split_report(file, content)
    rules = _RULES[found]
    tokens = (tokenizer or default_tokenizer()) if count_tokens else None
    return _Check(file, found, rules, tokens).run(content, on_record)


def recognise(content: object) -> DataFormat | None:
    """Tell the format of what a JSON file holds; None if it is none of those known."""
    if isinstance(content, dict):
        return DataFormat.SPLITS if set(Splits._fields) & content.keys() else None
    if not isinstance(content, list):
        return None
    fields = Counter(name for record in content if isinstance(record, dict) for name in record)
    marks = {
        DataFormat.LOCOMO: ("conversation", "qa"),
        DataFormat.LONGMEMEVAL: ("haystack_sessions", "question_type", "answer_session_ids"),
        DataFormat.HOTPOTQA: ("context", "input", "num_docs"),
    }
    best = max(marks, key=lambda name: sum(fields[mark] for mark in marks[name]))
    return best if any(fields[mark] for mark in marks[best]) else None


_RULES = {
    DataFormat.LOCOMO: locomo_checks.RULES,
    DataFormat.LONGMEMEVAL: longmemeval_checks.RULES,
    DataFormat.HOTPOTQA: hotpotqa_checks.RULES,
}


class _Check:
    """One pass over the records of a file."""

    def __init__(
        self, file: Path, found: DataFormat, rules: RecordRules, tokenizer: Tokenizer | None
    ) -> None:
        self._file, self._format, self._rules, self._tokenizer = file, found, rules, tokenizer
        self._problems: list[DataProblem] = []
        self._categories: Counter[str] = Counter()
        self._sessions = self._turns = self._documents = self._tokens = 0

    def run(self, records: Sequence[Any], on_record: OnRecord) -> DataReport:
        """Look at every record."""
        ids: dict[str, int] = {}
        for position, record in enumerate(records):
            where = f"record {position}"
            if isinstance(record, dict):
                self._check_id(record, position, ids)
                self._look_at(record, where)
            else:
                self._add(where, f"it is {kind_of(record)}", "make it an object, or take it out")
            on_record(position + 1, len(records))
        return DataReport(
            file=str(self._file),
            format=self._format,
            problems=tuple(self._problems),
            num_samples=len(records),
            num_sessions=self._sessions,
            num_turns=self._turns,
            num_documents=self._documents,
            questions=dict(self._categories.most_common()),
            num_tokens=None if self._tokenizer is None else self._tokens,
        )

    def _add(self, where: str, what: str, advice: str) -> None:
        self._problems.append(DataProblem(where=where, what=what, advice=advice))

    def _check_id(self, record: Record, position: int, ids: dict[str, int]) -> None:
        id_field = self._rules.id_field
        if id_field in record and not label(record[id_field]):
            effect = "an id made from the content is used"
            self._problems.append(empty_id(f"record {position}", f"the id {id_field!r}", effect))
        name = self._rules.read_id(record)
        first = ids.setdefault(name, position)
        if first != position:
            self._add(
                f"record {position}",
                f"the id {name!r} is that of record {first}, too",
                f"give each record its own {id_field!r}, or take the copy out",
            )

    def _look_at(self, record: Record, where: str) -> None:
        missing = [name for name in self._rules.fields if name not in record]
        for name in missing:
            self._add(where, f"the field {name!r} is missing", f"add {name!r} to the record")
        found = list(self._rules.problems(record, where))
        self._problems += found
        try:
            sample = self._rules.read_sample(record, where)
        except DataError as error:
            if not any(problem.is_error for problem in found):  # it is not told already
                self._add(where, without_place(str(error), where), "mend the record")
            return
        self._count(sample)
        if not sample.sessions and not sample.text.strip() and not missing:
            self._add(where, "there is nothing to remember in it", "add sessions or documents")

    def _count(self, sample: Sample) -> None:
        self._categories.update(question.category or "none" for question in sample.questions)
        self._sessions += len(sample.sessions)
        turns = [turn for session in sample.sessions for turn in session.turns]
        self._turns += len(turns)
        self._documents += len(document_titles(sample.text))
        if self._tokenizer is not None:
            texts = [sample.text, *(turn.text for turn in turns)]
            self._tokens += sum(len(self._tokenizer.split(text)) for text in texts)


def _broken(file: Path, error: DataError) -> DataProblem:
    """What is wrong with a file that is no JSON."""
    text = file.read_bytes().decode("utf-8", "replace")
    cause = error.__cause__
    if not isinstance(cause, json.JSONDecodeError):
        return DataProblem(where="file", what=str(error), advice="convert it to JSON in UTF-8")
    where = f"line {cause.lineno}, column {cause.colno}"
    if not text.strip():
        what, advice = "the file is empty", "fetch it again: memskill data get"
    elif cause.msg == "Extra data" and text.lstrip().startswith("{"):
        what = "the file holds several JSON documents, as JSON Lines do"
        advice = "put them into one list: [..., ...]"
    elif not text[cause.pos :].strip() or cause.msg.startswith("Unterminated string"):
        what = f"the file ends in the middle ({cause.msg}, {len(text)} characters)"
        advice = "it is truncated: fetch it again (memskill data get), which checks the whole file"
    else:
        seen = text[cause.pos : cause.pos + 20]
        what = f"it is no JSON: {cause.msg} at {seen!r}"
        advice = "mend the file there, or fetch it again: memskill data get"
    return DataProblem(where=where, what=what, advice=advice)


def _unknown(content: object) -> DataProblem:
    if content == []:
        what = "an empty list"
    elif isinstance(content, list) and isinstance(content[0], dict):
        what = f"a list of objects with the fields {sorted(content[0])[:8]}"
    else:
        what = kind_of(content)
    return DataProblem(
        where="file",
        what=f"it holds {what}, which is none of the known formats",
        advice="LoCoMo is a list of objects with sample_id, conversation and qa; LongMemEval has "
        "question_id, haystack_sessions ...; HotpotQA has context, input, answers, num_docs and "
        "index; a split file is an object with the lists train, val and test",
    )


def _split_report(file: Path, content: dict[str, Any]) -> DataReport:
    problems = []
    seen: dict[int, str] = {}
    for name in Splits._fields:
        positions = content.get(name)
        if not isinstance(positions, list):
            what = "is missing" if name not in content else f"is {kind_of(positions)}"
            problems.append((name, f"it {what}", "give a list of positions, which may be empty"))
            continue
        for place, position in enumerate(positions):
            where = f"{name}, entry {place}"
            if not isinstance(position, int) or isinstance(position, bool) or position < 0:
                problems.append((where, f"{position!r} is no position", "write a number from 0 on"))
            elif position in seen:
                what = f"{position} is in {seen[position]!r} already"
                problems.append((where, what, "name each position once"))
            else:
                seen[position] = name
    return DataReport(
        file=str(file),
        format=DataFormat.SPLITS,
        problems=tuple(
            DataProblem(where=where, what=what, advice=advice) for where, what, advice in problems
        ),
        splits={
            name: len(content[name])
            for name in Splits._fields
            if isinstance(content.get(name), list)
        },
    )
