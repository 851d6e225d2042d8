"""What may be wrong with a LongMemEval record."""

from collections import Counter
from collections.abc import Iterator

from langgraph_memskill.benchmarks.data_problems import (
    DataProblem,
    RecordRules,
    answer_problems,
    empty_id,
    error_problem,
    unknown_evidence,
    unknown_kind,
)
from langgraph_memskill.benchmarks.longmemeval import FIELDS, read_id, read_questions, read_sample
from langgraph_memskill.benchmarks.reading import Record, label
from langgraph_memskill.errors import DataError

_KINDS = frozenset(
    {
        "single-session-user",
        "single-session-assistant",
        "single-session-preference",
        "multi-session",
        "temporal-reasoning",
        "knowledge-update",
    }
)


def _problems(record: Record, where: str) -> Iterator[DataProblem]:
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
    for number, name in enumerate(ids):
        if not name:
            place = f"{where}, session {number}"
            yield empty_id(place, "its id", f"it is called 'session_{number + 1}'")
    for name, count in Counter(filter(None, ids)).items():
        if count > 1:
            what = f"{count} sessions have the id {name!r}"
            advice = "their evidence cannot be told apart; give each session its own id"
            yield DataProblem(where=where, what=what, advice=advice, is_error=False)
    try:
        questions = read_questions(record, where)
    except DataError as error:
        yield error_problem(error, where, "mend the question, or take the record out")
        return
    yield from unknown_kind(record, "question_type", _KINDS, where)
    for question in questions:
        yield from answer_problems(question, where)
        if ids and not question.id.endswith("_abs"):
            yield from unknown_evidence(question.evidence, set(ids), where)


RULES = RecordRules(
    fields=FIELDS,
    id_field="question_id",
    read_id=read_id,
    read_sample=read_sample,
    problems=_problems,
)
