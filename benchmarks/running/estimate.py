"""What a run would call, and about how many tokens that takes; nothing is called."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from langgraph_memskill.benchmarks.running.builds import BuildCache
from langgraph_memskill.benchmarks.running.construction import Executor
from langgraph_memskill.benchmarks.running.frame import FolderRun
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
    """Calls of the reader."""
    judgements: int
    """Calls of the judge."""
    tokens: int
    """Of prompts and replies together, about."""


def estimate(run: BenchmarkRun, cache: BuildCache) -> list[Estimate]:
    """Count the calls of every row, and estimate their tokens.

    Args:
        run: What would be run.
        cache: What is there already.
    """
    return [_row(run, system, cache) for system in run.systems]


def _row(run: BenchmarkRun, system: System, cache: BuildCache) -> Estimate:
    spans, cached = unread_spans(run, system, cache)
    questions = run.data.num_questions
    judged = questions if run.names.judge is not None else 0
    tokens = reading_tokens(run.executor, system, spans) + judged * _JUDGE_TOKENS
    tokens += sum(_asking(run, system, material) for material in run.data.materials)
    return Estimate(
        row=system.name,
        spans=len(spans),
        cached_spans=cached,
        questions=questions,
        judgements=judged,
        tokens=round(tokens),
    )


def unread_spans(run: FolderRun, system: System, cache: BuildCache) -> tuple[list[Span], int]:
    """The spans that a row has to read, and how many are read already.

    Args:
        run: What would be run.
        system: The row.
        cache: What is there already.
    """
    to_read: dict[str, Sequence[Span]] = {}
    cached = 0
    for material in run.materials:
        if system.num_steps(material):
            key = system.key(material)
            found = None if run.rebuild else cache.load(key)
            done = found.done if found is not None else 0
            if key not in to_read:
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
