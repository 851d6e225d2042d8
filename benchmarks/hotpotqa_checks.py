"""What may be wrong with a HotpotQA record."""

from collections.abc import Iterator

from langgraph_memskill.benchmarks.data_problems import (
    DataProblem,
    RecordRules,
    answer_problems,
    error_problem,
    unknown_evidence,
    unknown_kind,
)
from langgraph_memskill.benchmarks.hotpotqa import (
    FIELDS,
    document_titles,
    read_id,
    read_questions,
    read_sample,
)
from langgraph_memskill.benchmarks.reading import Record
from langgraph_memskill.errors import DataError

_KINDS = frozenset({"bridge", "comparison"})


def _problems(record: Record, where: str) -> Iterator[DataProblem]:
    if "input" in record and not str(record["input"] or "").strip():
        yield DataProblem(
            where=where, what="the question is empty", advice="add it, or take the record out"
        )
    try:
        sample = read_sample(record, where)
    except DataError as error:
        yield error_problem(error, where, "mend the field, or take the record out")
        return
    yield from unknown_kind(record, "type", _KINDS, where)
    titles = document_titles(sample.text)
    stated = sample.metadata.num_documents
    if "num_docs" in record and stated != len(titles):
        yield DataProblem(
            where=where,
            what=f"num_docs is {record['num_docs']!r}, and the context has {len(titles)} documents",
            advice="is the context cut off? Fetch the file again, or correct the number",
            is_error=False,
        )
    for question in read_questions(record, where):  # with all the evidence that is named
        if "answers" in record:
            yield from answer_problems(question, where)
        yield from unknown_evidence(question.evidence, set(titles), where)


RULES = RecordRules(
    fields=FIELDS,
    id_field="index",
    read_id=read_id,
    read_sample=read_sample,
    problems=_problems,
)
