"""LoCoMo as a benchmark: short answers about conversations of two people."""

from collections.abc import Sequence

from langgraph_memskill.benchmarks.locomo import (
    answer_f1,
    cut_spans,
    load_locomo,
    scorable,
    split,
)
from langgraph_memskill.benchmarks.metrics import EVIDENCE_SCORERS, answer_scorers
from langgraph_memskill.benchmarks.samples import Sample
from langgraph_memskill.benchmarks.splits import Splits
from langgraph_memskill.benchmarks.task import PromptSet, Task, turn_evidence
from langgraph_memskill.prompts import AnswerStyle
from langgraph_memskill.spans import SpanMode


def _split(samples: Sequence[Sample]) -> Splits[Sample]:
    """METHOD's split; in a file without the last two conversations 6-7 are the test set."""
    parts = split(samples)
    return parts if parts.test else Splits(parts.train, [], parts.val)


TASK = Task(
    name="locomo",
    title="LoCoMo: questions about long conversations of two people",
    load=load_locomo,
    split=_split,
    cut_spans=cut_spans,
    modes=(SpanMode.SESSION, SpanMode.TURN_PAIR, SpanMode.TURN, SpanMode.FIXED),
    chunk_mode=SpanMode.TURN_PAIR,
    prompts=PromptSet(style=AnswerStyle.SHORT),
    scorers=(*answer_scorers(answer_f1), *EVIDENCE_SCORERS),
    evidence_ids=turn_evidence,
    questions=lambda sample: scorable(sample.questions),
    files=("locomo10.json", "locomo8.json"),
)
