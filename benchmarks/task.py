"""What a benchmark is: a loader, a prompt set and scorers, under a name.

A new benchmark is one file with a `Task`, and its name in `registry.py` (or `register` from outside
of this package).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from langgraph_memskill.benchmarks.samples import Question, Sample
from langgraph_memskill.benchmarks.splits import Splits, split_at
from langgraph_memskill.errors import ConfigError
from langgraph_memskill.prompts import AnswerStyle
from langgraph_memskill.records import Memory, Span, Usage
from langgraph_memskill.spans import Layout, SpanMode, split_sessions, split_text
from langgraph_memskill.tokens import Tokenizer

_LAYOUT = Layout(
    opening=lambda turn: f"{turn.speaker}: ",
    closing=lambda turn: "",
    separator="\n",
    header=lambda date, mode: f"DATE: {date}\n",
    repeats_opening=True,
)
"""Of conversations whose task does not say how to write them down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A memory that an answer was made from."""

    memory: Memory
    evidence_ids: tuple[str, ...] = ()
    """What the memory was written from, as ids of the same kind as `Question.evidence`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An answer to score."""

    text: str
    """May be empty; a call that failed never gets here."""
    found: tuple[Found, ...] = ()
    """Best first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a scorer says of an answer."""

    value: float | None
    """In [0, 1]; None if there is no score, which is never the same as 0."""
    problem: str | None = None
    """Why a score that there should be is missing (an unreadable judge); such an answer counts as
    unscored. None beside no value: the question says nothing about this metric."""
    usage: Usage = Usage()
    """What scoring cost, for a scorer that calls a model."""


class Scorer(Protocol):
    """Scores answers by one metric."""

    @property
    def name(self) -> str:
        """The metric, as logs and tables name it ("f1", "evidence_recall@20", "judge")."""

    async def __call__(self, question: Question, answered: Answered) -> Score:
        """Score one answer.

        Args:
            question: With its gold answers and evidence.
            answered: The answer, and what it was made from.

        Returns:
            The score. A scorer does not raise for what a model says.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainScorer:
    """A scorer made of a function that calls no model."""

    name: str
    score: Callable[[Question, Answered], float | None]
    """None if the question says nothing about this metric."""

    async def __call__(self, question: Question, answered: Answered) -> Score:
        """Score one answer; see `Scorer`."""
        # Off the event loop: words are stemmed, and a package may be imported for the first time.
        return Score(value=await asyncio.to_thread(self.score, question, answered))


class CutSpans(Protocol):
    """Cuts a sample into spans."""

    def __call__(
        self,
        sample: Sample,
        mode: SpanMode | str = ...,
        *,
        chunk_tokens: int = ...,
        overlap: int = ...,
        tokenizer: Tokenizer | None = ...,
    ) -> list[Span]:
        """Cut a sample; the arguments are those of `spans.split_sessions`."""


EvidenceIds = Callable[[Sample, Sequence[Span], Memory], tuple[str, ...]]
"""What a memory was written from, as ids of the same kind as `Question.evidence`: from the sample,
its spans and the memory's sources."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSet:
    """How a benchmark wants its questions answered."""

    style: AnswerStyle = AnswerStyle.SHORT
    """How the answer is worded."""
    with_date: bool = False
    """Whether the reader is told when the question is asked."""


def all_questions(sample: Sample) -> tuple[Question, ...]:
    """Every question of a sample."""
    return sample.questions


def all_for_testing(samples: Sequence[Sample]) -> Splits[Sample]:
    """Every sample in the test set."""
    return split_at(samples, 0, 0, len(samples))


def cut_sample(
    sample: Sample,
    mode: SpanMode | str = SpanMode.FIXED,
    *,
    chunk_tokens: int = 1024,
    overlap: int = 128,
    tokenizer: Tokenizer | None = None,
) -> list[Span]:
    """Cut any sample into spans: its sessions if it has some, else its text.

    The arguments are those of `spans.split_sessions` and `spans.split_text`.

    Raises:
        ConfigError: The mode does not fit the sample, or a length is out of range.
    """
    if sample.sessions:
        return split_sessions(
            sample.sessions,
            mode,
            layout=_LAYOUT,
            chunk_tokens=chunk_tokens,
            overlap=overlap,
            tokenizer=tokenizer,
            id_prefix=f"{sample.id}:",
        )
    return split_text(
        sample.text,
        mode,
        chunk_tokens=chunk_tokens,
        overlap=overlap,
        tokenizer=tokenizer,
        id_prefix=f"{sample.id}:",
    )


def turn_evidence(sample: Sample, spans: Sequence[Span], memory: Memory) -> tuple[str, ...]:
    """The ids of the turns that a memory's words come from."""
    return tuple(dict.fromkeys(turn for source in memory.sources for turn in source.turn_ids))


def session_evidence(sample: Sample, spans: Sequence[Span], memory: Memory) -> tuple[str, ...]:
    """The ids of the sessions that a memory was written from."""
    sessions = (source.session for source in memory.sources)
    return tuple(dict.fromkeys(session for session in sessions if session is not None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A benchmark."""

    name: str
    """One word, as on the command line."""
    title: str
    """A sentence for people."""
    load: Callable[[Path], list[Sample]]
    """File to samples in file order; raises `DataError` for what is wrong with the file."""
    split: Callable[[Sequence[Sample]], Splits[Sample]] = all_for_testing
    """How samples are divided if no split file says it."""
    cut_spans: CutSpans = cut_sample
    modes: tuple[SpanMode, ...] = (SpanMode.FIXED, SpanMode.SESSION)
    """Ways to cut a sample into spans that fit; the first one is the default."""
    chunk_mode: SpanMode = SpanMode.FIXED
    """How the raw chunks of the baseline without memories are cut."""
    chunk_text: Callable[[str], str] = str
    """What a raw chunk is shown and found by; the default is its text as it is."""
    prompts: PromptSet = PromptSet()
    scorers: tuple[Scorer, ...]
    """The first one is the main metric."""
    evidence_ids: EvidenceIds = turn_evidence
    questions: Callable[[Sample], tuple[Question, ...]] = all_questions
    """The questions that count."""
    evaluated: Callable[[Sequence[Sample]], Sequence[Sample]] = list
    """The samples that count."""
    default_split: str = "test"
    """"train", "val", "test" or "all"."""
    files: tuple[str, ...] = ()
    """Usual names of the data files, to find them in a folder."""
    packs: tuple[str, ...] = ("conversation",)
    """Skill packs besides the seeds."""

    def __post_init__(self) -> None:
        """Check what a run relies on.

        Raises:
            ConfigError: If there is no mode or scorer, or two scorers have one name.
        """
        names = [scorer.name for scorer in self.scorers]
        if not self.modes or not names:
            raise ConfigError(f"the task {self.name!r} needs at least one span mode and one scorer")
        if len(set(names)) < len(names):
            raise ConfigError(f"the task {self.name!r} has two scorers of one name: {names}")
