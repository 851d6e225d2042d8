"""HotpotQA over long contexts as a benchmark: tagged answers about a pile of documents."""

import re
from collections.abc import Sequence
from dataclasses import replace

from langgraph_memskill.benchmarks.hotpotqa import cut_spans, load_hotpotqa, split
from langgraph_memskill.benchmarks.metrics import EVIDENCE_RECALL, F1
from langgraph_memskill.benchmarks.samples import Sample
from langgraph_memskill.benchmarks.task import PromptSet, Task
from langgraph_memskill.prompts import AnswerStyle
from langgraph_memskill.provenance import attribute
from langgraph_memskill.records import Memory, Span, Turn
from langgraph_memskill.spans import SpanMode

_DOCUMENT = re.compile(r"^Document \d+:[ \t]*\n?(?=(.*))", re.MULTILINE)


def documents(text: str, part: str) -> list[Turn]:
    """The documents, or pieces of them, in a part of a context; the title is the turn's id.

    Args:
        text: The whole context.
        part: A piece of it, cut anywhere.
    """
    start = text.find(part)
    end = start + len(part)
    marks = list(_DOCUMENT.finditer(text))
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    return [
        Turn(id=mark[1].strip(), speaker="", text=text[max(mark.end(), start) : min(stop, end)])
        for mark, stop in zip(marks, ends, strict=True)
        if start >= 0 and mark.end() < end and stop > start
    ]


def title_evidence(sample: Sample, spans: Sequence[Span], memory: Memory) -> tuple[str, ...]:
    """The titles of the documents that a memory's words come from."""
    by_id = {span.id: span for span in spans}
    titles: dict[str, None] = {}
    for source in memory.sources:
        if span := by_id.get(source.span_id):
            inside = replace(span, turns=tuple(documents(sample.text, span.text)))
            titles |= dict.fromkeys(attribute(memory.content, inside).turn_ids)
    return tuple(titles)


TASK = Task(
    name="hotpotqa",
    title="HotpotQA: questions that take two of 50, 100 or 200 documents",
    load=load_hotpotqa,
    split=split,
    cut_spans=cut_spans,
    modes=(SpanMode.FIXED, SpanMode.PARAGRAPH, SpanMode.SESSION),
    chunk_mode=SpanMode.PARAGRAPH,
    prompts=PromptSet(style=AnswerStyle.TAGGED),
    scorers=(F1, EVIDENCE_RECALL),
    evidence_ids=title_evidence,
    default_split="all",
    files=("eval_50.json", "eval_100.json", "eval_200.json"),
)
