"""What may be wrong with a LoCoMo record."""

from collections.abc import Iterator

from langgraph_memskill.benchmarks.data_problems import (
    DataProblem,
    RecordRules,
    answer_problems,
    empty_id,
    error_problem,
    unknown_evidence,
)
from langgraph_memskill.benchmarks.locomo import (
    ADVERSARIAL,
    CATEGORIES,
    FIELDS,
    is_category,
    read_id,
    read_questions,
    read_sample,
)
from langgraph_memskill.benchmarks.reading import Record, kind_of, label
from langgraph_memskill.errors import DataError


def _problems(record: Record, where: str) -> Iterator[DataProblem]:
    turn_ids: set[str] = set()
    try:
        sample = read_sample({**record, "qa": []}, where)
        turn_ids = {turn.id for session in sample.sessions for turn in session.turns}
        yield from _empty_turn_ids(record, where)
        for session in sample.sessions:
            if not session.date:
                yield DataProblem(
                    where=where,
                    what=f"{session.id} has no date, which its memories will lack",
                    advice=f"write '{session.id}_date_time', if it is known",
                    is_error=False,
                )
    except DataError as error:
        yield error_problem(error, where, "mend the session, as the message says")
    questions = record.get("qa", [])
    if not isinstance(questions, list):
        what = f"the field 'qa' is {kind_of(questions)}"
        yield DataProblem(where=where, what=what, advice="make it a list of questions")
        return
    for number, item in enumerate(questions):
        place = f"{where}, question {number}"
        try:
            [question] = read_questions({**record, "qa": [item]}, where)
        except DataError as error:
            message = str(error).replace(f"{where}, question 0", place)
            yield error_problem(DataError(message), place, "mend the question, or take it out")
            continue
        yield from _category_problem(item.get("category"), place)
        yield from _empty_evidence(item, place)
        if question.category != ADVERSARIAL:
            yield from answer_problems(question, place)
        if turn_ids:
            yield from unknown_evidence(question.evidence, turn_ids, place)


def _category_problem(category: object, where: str) -> Iterator[DataProblem]:
    if not is_category(category):
        yield DataProblem(
            where=where,
            what=f"the category {category!r} is unknown",
            advice=f"make it one of {', '.join(map(str, sorted(CATEGORIES)))}",
        )


def _empty_evidence(item: Record, where: str) -> Iterator[DataProblem]:
    evidence = item.get("evidence", [])
    if not all(map(label, evidence if isinstance(evidence, list) else [evidence])):
        yield empty_id(where, "an id of the evidence", "it does not count")


def _empty_turn_ids(record: Record, where: str) -> Iterator[DataProblem]:
    for name, session in record.get("conversation", {}).items():
        for number, turn in enumerate(session if isinstance(session, list) else ()):
            if isinstance(turn, dict) and "dia_id" in turn and not label(turn["dia_id"]):
                place = f"{where}, {name}, turn {number + 1}"
                yield empty_id(place, "'dia_id'", "the turn gets an id by its place")


RULES = RecordRules(
    fields=FIELDS,
    id_field="sample_id",
    read_id=read_id,
    read_sample=read_sample,
    problems=_problems,
)
