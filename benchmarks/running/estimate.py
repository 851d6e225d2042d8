"""What a run would call, and about how many tokens that takes; nothing is called."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from langgraph_memskill.benchmarks.running.builds import BuildCache
from langgraph_memskill.benchmarks.running.construction import Executor
from langgraph_memskill.benchmarks.running.frame import FolderRun
from langgraph_memskill.benchmarks.running.journal import Journal
from langgraph_memskill.benchmarks.running.material import Material
from langgraph_memskill.benchmarks.running.run import BenchmarkRun
from langgraph_memskill.benchmarks.running.systems import Recall, System
from langgraph_memskill.prompts import answer_messages, extraction_messages
from langgraph_memskill.records import Span
from langgraph_memskill.tokens import default_tokenizer

MEMORY_TOKENS = 40
"""Tokens of a memory with its tag, about."""
_WRITTEN_SHARE = 0.3
"""Tokens of actions for each token of a span, about."""
_ANSWER_TOKENS = 12
_JUDGE_TOKENS = 300
"""Tokens of a judge's prompt and reply, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What one row would cost."""

    row: str
    spans: int
    """Calls for reading spans."""
    cached_spans: int
    """Spans whose memories are in the cache."""
    questions: int
    """Calls of the reader, for the questions that the run has no answer to yet."""
    answered: int
    """Questions that an earlier part of the run has answered."""
    judgements: int
    """Calls of the judge."""
    tokens: int
    """Of prompts and replies together, about."""


def estimate(run: BenchmarkRun, cache: BuildCache, journal: Journal) -> list[Estimate]:
    """Count the calls of every row that are still to be made, and estimate their tokens.

    Args:
        run: What would be run.
        cache: The memories that are there already.
        journal: The questions that are answered already, of the folder that the run would go on in.
    """
    return [_row(run, system, cache, journal) for system in run.systems]


def _row(run: BenchmarkRun, system: System, cache: BuildCache, journal: Journal) -> Estimate:
    asked = [
        replace(
            material,
            questions=tuple(q for q in material.questions if journal.is_open(system.name, q.id)),
        )
        for material in run.data.materials
    ]
    used = [
        len(left.questions) < len(material.questions)
        for left, material in zip(asked, run.data.materials, strict=True)
    ]
    spans, cached = unread_spans(run, system, cache, used)
    questions = sum(len(material.questions) for material in asked)
    judged = questions if run.names.judge is not None else 0
    tokens = reading_tokens(run.executor, system, spans) + judged * _JUDGE_TOKENS
    tokens += sum(_asking(run, system, material) for material in asked)
    return Estimate(
        row=system.name,
        spans=len(spans),
        cached_spans=cached,
        questions=questions,
        answered=run.data.num_questions - questions,
        judgements=judged,
        tokens=round(tokens),
    )


def unread_spans(
    run: FolderRun, system: System, cache: BuildCache, used: Sequence[bool]
) -> tuple[list[Span], int]:
    """The spans that a row has to read, and how many are read already.

    Args:
        run: What would be run.
        system: The row.
        cache: What is there already.
        used: For each of the run's materials, whether items were played with its memories.
    """
    to_read: dict[str, Sequence[Span]] = {}
    cached = 0
    for material, is_used in zip(run.materials, used, strict=True):
        if system.num_steps(material):
            key = system.key(material)
            if key in to_read:
                continue
            found = None if run.rebuild else cache.load(key)
            is_kept = found is not None and found.can_go_on(run.id, is_used=is_used)
            done = found.done if found is not None and is_kept else 0
            cached += done
            to_read[key] = material.spans[done:]
    return [span for unread in to_read.values() for span in unread], cached


def reading_tokens(executor: Executor, system: System, spans: Sequence[Span]) -> float:
    """Tokens of prompts and replies for reading spans, about.

    Args:
        executor: Reads them.
        system: The row; it decides how many skills stand in a prompt.
        spans: What is read.
    """
    if not spans:
        return 0.0
    empty = Span(id="", index=0, text="")
    skills = executor.bank.candidates()
    prompt = count_tokens(*(str(m.text) for m in extraction_messages(empty, [], [])))
    skill = fmean(count_tokens(f"{s.description}\n{s.instructions}") for s in skills)
    is_all = system.name == "all"
    picked = len(skills) if is_all else min(executor.settings.skills_per_span, len(skills))
    constant = prompt + picked * skill + executor.settings.top_k * MEMORY_TOKENS
    text = count_tokens(*(span.text for span in spans))
    return len(spans) * constant + text * (1 + _WRITTEN_SHARE)


def _asking(run: BenchmarkRun, system: System, material: Material) -> float:
    style = run.task.prompts.style
    prompt = count_tokens(*(str(m.text) for m in answer_messages("", [], style=style)))
    return len(material.questions) * (prompt + _ANSWER_TOKENS + _shown(run, system, material))


def _shown(run: BenchmarkRun, system: System, material: Material) -> float:
    """Tokens of the memories that a question is shown, about."""
    if system.name == "none":
        return 0.0
    if system.recall is Recall.EVERYTHING:
        everything = count_tokens(*(span.text for span in material.spans))
        return min(everything, run.settings.context_tokens or everything)
    if system.name == "rag":
        chunks = [count_tokens(chunk.text) for chunk in material.chunks]
        return fmean(chunks) * min(run.settings.top_k, len(chunks))
    return run.settings.top_k * MEMORY_TOKENS


def count_tokens(*texts: str) -> int:
    """Tokens of some texts together, with the default tokenizer."""
    tokenizer = default_tokenizer()
    return sum(len(tokenizer.split(text)) for text in texts)
