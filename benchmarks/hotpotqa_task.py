"""HotpotQA over long contexts as a benchmark: tagged answers about a pile of documents."""

import re

from langgraph_memskill.benchmarks.hotpotqa import (
    answer_f1,
    cut_spans,
    extract_answer,
    load_hotpotqa,
    split,
)
from langgraph_memskill.benchmarks.metrics import EVIDENCE_SCORERS, answer_scorers
from langgraph_memskill.benchmarks.task import PromptSet, Task, turn_evidence
from langgraph_memskill.prompts import AnswerStyle
from langgraph_memskill.spans import SpanMode

_NUMBER = re.compile(r"\ADocument \d+:\s*")


def without_number(chunk: str) -> str:
    """A document without its number, which says nothing and differs from file to file."""
    return _NUMBER.sub("", chunk)


TASK = Task(
    name="hotpotqa",
    title="HotpotQA: questions that take two of 50, 100 or 200 documents",
    load=load_hotpotqa,
    split=split,
    cut_spans=cut_spans,
    modes=(SpanMode.FIXED, SpanMode.PARAGRAPH, SpanMode.SESSION),
    chunk_mode=SpanMode.PARAGRAPH,
    chunk_text=without_number,
    prompts=PromptSet(style=AnswerStyle.TAGGED),
    scorers=(*answer_scorers(answer_f1, extract=extract_answer), *EVIDENCE_SCORERS),
    evidence_ids=turn_evidence,
    default_split="all",
    files=("eval_50.json", "eval_100.json", "eval_200.json"),
)
