"""LongMemEval as a benchmark: one dated question about a long history of chat sessions."""

from collections.abc import Sequence

from langgraph_memskill.benchmarks.longmemeval import (
    answer_f1,
    answerable,
    cut_spans,
    load_longmemeval,
)
from langgraph_memskill.benchmarks.metrics import EVIDENCE_SCORERS, answer_scorers
from langgraph_memskill.benchmarks.samples import Sample
from langgraph_memskill.benchmarks.splits import Splits
from langgraph_memskill.benchmarks.task import PromptSet, Task, session_evidence
from langgraph_memskill.prompts import AnswerStyle
from langgraph_memskill.spans import SpanMode


def _split(samples: Sequence[Sample]) -> Splits[Sample]:
    """Everything is for testing: nothing is trained on this benchmark (METHOD)."""
    return Splits([], [], list(samples))


TASK = Task(
    name="longmemeval",
    title="LongMemEval: dated questions about a long history of chats with an assistant",
    load=load_longmemeval,
    split=_split,
    cut_spans=cut_spans,
    modes=(SpanMode.FIXED, SpanMode.SESSION, SpanMode.TURN_PAIR, SpanMode.TURN),
    chunk_mode=SpanMode.TURN_PAIR,
    prompts=PromptSet(style=AnswerStyle.SHORT, with_date=True),
    scorers=(*answer_scorers(answer_f1), *EVIDENCE_SCORERS),
    evidence_ids=session_evidence,
    evaluated=answerable,
    files=("longmemeval_s_cleaned.json",),
)
