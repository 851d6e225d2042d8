"""Checking a data file: which benchmark it belongs to, what it holds, and all that is wrong.

The loaders stop at the first thing that they cannot read; here every record is looked at, and each
problem says where it is and what to do.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from langgraph_memskill.benchmarks import hotpotqa, locomo, longmemeval
from langgraph_memskill.benchmarks.reading import Record, kind_of, label, read_json
from langgraph_memskill.benchmarks.samples import Question, Sample
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
class DataProblem:
    """Something wrong with a file."""

    where: str
    """The place: record, session, turn or question, counted as the file has them, from 0."""
    what: str
    """What was seen."""
    advice: str
    """What to do about it."""
    is_error: bool = True
    """Whether a benchmark would stop at it, or measure something wrong. Others are told only."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rules:
    """What makes a record of one benchmark complete."""

    fields: tuple[str, ...]
    id_field: str
    read_id: Callable[[Record], str]
    read_sample: Callable[[Record, str], Sample]
    problems: Callable[[Record, str], Iterator[DataProblem]]
    """Problems of one record besides missing fields."""


class _Check:
    """One pass over the records of a file."""

    def __init__(
        self, file: Path, found: DataFormat, rules: _Rules, tokenizer: Tokenizer | None
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
        name = self._rules.read_id(record)
        first = ids.setdefault(name, position)
        if first != position:
            self._add(
                f"record {position}",
                f"the id {name!r} is that of record {first}, too",
                f"give each record its own {self._rules.id_field!r}, or take the copy out",
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
                self._add(where, _without_place(str(error), where), "mend the record")
            return
        self._count(sample)
        if not sample.sessions and not sample.text.strip() and not missing:
            self._add(where, "there is nothing to remember in it", "add sessions or documents")

    def _count(self, sample: Sample) -> None:
        self._categories.update(question.category or "none" for question in sample.questions)
        self._sessions += len(sample.sessions)
        turns = [turn for session in sample.sessions for turn in session.turns]
        self._turns += len(turns)
        self._documents += len(hotpotqa.document_titles(sample.text))
        if self._tokenizer is not None:
            texts = [sample.text, *(turn.text for turn in turns)]
            self._tokens += sum(len(self._tokenizer.split(text)) for text in texts)


def _without_place(message: str, where: str) -> str:
    return message.removeprefix(f"{where}: ").removeprefix(f"{where}, ").removeprefix(f"{where} ")


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


def _answers(question: Question, where: str) -> Iterator[DataProblem]:
    """What is wrong with the texts of a question."""
    if not question.text.strip():
        yield DataProblem(
            where=where, what="the question is empty", advice="add it, or take the entry out"
        )
    if not any(answer.strip() for answer in question.answers):
        yield DataProblem(
            where=where,
            what="the gold answer is empty, so that every answer would score 0",
            advice="add the answer, or take the question out",
        )


def _missing_evidence(names: Iterable[str], known: set[str], where: str) -> Iterator[DataProblem]:
    for name in names:
        if name not in known:
            yield DataProblem(
                where=where,
                what=f"the evidence {name!r} names nothing in the record",
                advice="nothing to do: it does not count; or correct the name",
                is_error=False,
            )


def _error(error: DataError, where: str, advice: str) -> DataProblem:
    return DataProblem(where=where, what=_without_place(str(error), where), advice=advice)


def _locomo_problems(record: Record, where: str) -> Iterator[DataProblem]:
    turn_ids: set[str] = set()
    try:
        sample = locomo.read_sample({**record, "qa": []}, where)
        turn_ids = {turn.id for session in sample.sessions for turn in session.turns}
    except DataError as error:
        yield _error(error, where, "mend the session, as the message says")
    questions = record.get("qa", [])
    if not isinstance(questions, list):
        what = f"the field 'qa' is {kind_of(questions)}"
        yield DataProblem(where=where, what=what, advice="make it a list of questions")
        return
    for number, item in enumerate(questions):
        place = f"{where}, question {number}"
        try:
            [question] = locomo.read_questions({**record, "qa": [item]}, where)
        except DataError as error:
            message = str(error).replace(f"{where}, question 0", place)
            yield _error(DataError(message), place, "mend the question, or take it out")
            continue
        if isinstance(item, dict) and (problem := _category_problem(item.get("category"))):
            yield replace(problem, where=place)
        if question.category != locomo.ADVERSARIAL:
            yield from _answers(question, place)
        if turn_ids:
            yield from _missing_evidence(question.evidence, turn_ids, place)


def _category_problem(category: object) -> DataProblem | None:
    """What is wrong with a category that is read as another one without a word."""
    if type(category) is int and category in locomo.CATEGORIES:
        return None
    if isinstance(category, str) and category.isdecimal() and int(category) in locomo.CATEGORIES:
        return None
    known = ", ".join(map(str, sorted(locomo.CATEGORIES)))
    what = f"the category is {category!r}; it is read as multi-hop or cut to a whole number"
    return DataProblem(where="", what=what, advice=f"make it one of {known}")


def _longmemeval_problems(record: Record, where: str) -> Iterator[DataProblem]:
    lists = ("haystack_session_ids", "haystack_dates", "haystack_sessions")
    sizes = {name: len(record[name]) for name in lists if isinstance(record.get(name), list)}
    if len(sizes) == len(lists) and len(set(sizes.values())) > 1:
        shown = ", ".join(f"{name} {size}" for name, size in sizes.items())
        yield DataProblem(
            where=where,
            what=f"the lists have different lengths: {shown}",
            advice="give each session one id and one date",
        )
    ids = [label(name) for name in record.get("haystack_session_ids") or ()]
    for name, count in Counter(ids).items():
        if count > 1:
            what = f"{count} sessions have the id {name!r}"
            advice = "their evidence cannot be told apart; give each session its own id"
            yield DataProblem(where=where, what=what, advice=advice, is_error=False)
    try:
        questions = longmemeval.read_questions(record, where)
    except DataError as error:
        yield _error(error, where, "mend the question, or take the record out")
        return
    for question in questions:
        yield from _answers(question, where)
        if ids and not question.id.endswith("_abs"):
            yield from _missing_evidence(question.evidence, set(ids), where)


def _hotpotqa_problems(record: Record, where: str) -> Iterator[DataProblem]:
    if "input" in record and not str(record["input"] or "").strip():
        yield DataProblem(
            where=where, what="the question is empty", advice="add it, or take the record out"
        )
    try:
        sample = hotpotqa.read_sample(record, where)
    except DataError as error:
        yield _error(error, where, "mend the field, or take the record out")
        return
    titles = hotpotqa.document_titles(sample.text)
    stated = sample.metadata.num_documents
    if "num_docs" in record and stated != len(titles):
        yield DataProblem(
            where=where,
            what=f"num_docs is {record['num_docs']!r}, and the context has {len(titles)} documents",
            advice="is the context cut off? Fetch the file again, or correct the number",
            is_error=False,
        )
    for question in sample.questions:
        if "answers" in record:
            yield from _answers(question, where)
        yield from _missing_evidence(question.evidence, set(titles), where)


_RULES = {
    DataFormat.LOCOMO: _Rules(
        fields=("sample_id", "conversation", "qa"),
        id_field="sample_id",
        read_id=locomo.read_id,
        read_sample=locomo.read_sample,
        problems=_locomo_problems,
    ),
    DataFormat.LONGMEMEVAL: _Rules(
        fields=longmemeval.FIELDS,
        id_field="question_id",
        read_id=longmemeval.read_id,
        read_sample=longmemeval.read_sample,
        problems=_longmemeval_problems,
    ),
    DataFormat.HOTPOTQA: _Rules(
        fields=hotpotqa.FIELDS,
        id_field="index",
        read_id=hotpotqa.read_id,
        read_sample=hotpotqa.read_sample,
        problems=_hotpotqa_problems,
    ),
}
