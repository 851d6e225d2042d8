"""What may be wrong with a record, whatever benchmark it belongs to."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from langgraph_memskill.benchmarks.reading import Record, label
from langgraph_memskill.benchmarks.samples import Question, Sample
from langgraph_memskill.errors import DataError


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
class RecordRules:
    """What makes a record of one benchmark complete."""

    fields: tuple[str, ...]
    id_field: str
    read_id: Callable[[Record], str]
    read_sample: Callable[[Record, str], Sample]
    problems: Callable[[Record, str], Iterator[DataProblem]]
    """Problems of one record besides missing fields."""


def without_place(message: str, where: str) -> str:
    """A loader's message without the place that it begins with."""
    return message.removeprefix(f"{where}: ").removeprefix(f"{where}, ").removeprefix(f"{where} ")


def error_problem(error: DataError, where: str, advice: str) -> DataProblem:
    """What a loader stops at."""
    return DataProblem(where=where, what=without_place(str(error), where), advice=advice)


def answer_problems(question: Question, where: str) -> Iterator[DataProblem]:
    """What is wrong with the texts of a question."""
    if not question.text.strip():
        yield DataProblem(
            where=where, what="the question is empty", advice="add it, or take the entry out"
        )
    if not any(answer.strip() for answer in question.answers):
        yield DataProblem(
            where=where,
            what="the gold answer is empty, so that no answer can be scored",
            advice="add the answer, or take the question out",
        )


def unknown_evidence(names: Iterable[str], known: set[str], where: str) -> Iterator[DataProblem]:
    """Evidence that no memory could ever come from; the loaders leave it out."""
    for name in names:
        if not name:
            yield empty_id(where, "an id of the evidence", "it does not count")
        elif name not in known:
            yield DataProblem(
                where=where,
                what=f"the evidence {name!r} names nothing in the record",
                advice="nothing to do: it does not count; or correct the name",
                is_error=False,
            )


def unknown_kind(
    record: Record, field: str, known: Collection[str], where: str
) -> Iterator[DataProblem]:
    """A kind of question that the benchmark does not have; it is counted as one of its own."""
    kind = label(record.get(field))
    if kind and kind not in known:
        yield DataProblem(
            where=where,
            what=f"the {field!r} {kind!r} is unknown",
            advice=f"nothing to do: it is a category of its own; or make it one of "
            f"{', '.join(sorted(known))}",
            is_error=False,
        )


def empty_id(where: str, what: str, effect: str) -> DataProblem:
    """An id that is null, blank or no label at all, and what the loaders do without it."""
    return DataProblem(
        where=where,
        what=f"{what} is null or empty",
        advice=f"nothing to do: {effect}; or write the id",
        is_error=False,
    )
