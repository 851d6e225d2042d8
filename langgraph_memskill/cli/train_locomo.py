"""LoCoMo conversations as material for training: where the benchmark's loader meets the trainer."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from langgraph_memskill.benchmarks.locomo import (
    category_number,
    cut_spans,
    load_locomo,
    scorable,
    split,
)
from langgraph_memskill.benchmarks.samples import Question, Sample
from langgraph_memskill.benchmarks.scorers import (
    best_token_f1,
    best_token_f1_max,
    evidence_recall,
)
from langgraph_memskill.errors import ConfigError, DataError
from langgraph_memskill.records import Answer
from langgraph_memskill.spans import SpanMode
from langgraph_memskill.trainers.config import RewardName
from langgraph_memskill.trainers.material import Scorer, TrainingQuestion, TrainingTrace

_MULTI_HOP_NUMBER = 1


def load_traces(
    data: Path, conversations: Sequence[str], mode: SpanMode
) -> tuple[TrainingTrace, ...]:
    """Read the conversations to train on.

    Args:
        data: A LoCoMo file.
        conversations: Their ids; none takes the training part, conversations 0 to 5.
        mode: How to cut them into spans.

    Raises:
        DataError: If the file cannot be read.
        ConfigError: If a conversation is not in the file.
    """
    samples = load_locomo(data)
    if not conversations:
        return tuple(_trace(sample, mode) for sample in split(samples).train)
    by_id = {sample.id: sample for sample in samples}
    if missing := [name for name in conversations if name not in by_id]:
        known = ", ".join(by_id)
        raise ConfigError(f"{data} holds no conversation {missing[0]!r}; it holds {known}")
    return tuple(_trace(by_id[name], mode) for name in dict.fromkeys(conversations))


def file_hash(data: Path) -> str:
    """SHA-256 of a data file.

    Raises:
        DataError: If it cannot be read.
    """
    try:
        return hashlib.sha256(data.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"cannot read the file {data}: {error.strerror or error}") from error


def make_scorer(reward: RewardName) -> Scorer:
    """The scorer of a reward that needs no model.

    Raises:
        ConfigError: If the reward is another one.
    """
    scorers: dict[RewardName, Scorer] = {"f1": _f1, "evidence_recall": _evidence_recall}
    if reward not in scorers:
        raise ConfigError(f"reward={reward!r} needs a model to judge with")
    return scorers[reward]


async def _f1(question: TrainingQuestion, answer: Answer) -> float | None:
    if question.category == _MULTI_HOP_NUMBER:
        return best_token_f1_max(answer.text, question.answers)
    return best_token_f1(answer.text, question.answers)


async def _evidence_recall(question: TrainingQuestion, answer: Answer) -> float | None:
    found = (
        turn_id
        for memory in answer.memories
        for source in memory.sources
        for turn_id in source.turn_ids
    )
    return evidence_recall(found, question.evidence)


def _trace(sample: Sample, mode: SpanMode) -> TrainingTrace:
    return TrainingTrace(
        id=sample.id,
        spans=tuple(cut_spans(sample, mode)),
        questions=tuple(map(_question, scorable(sample.questions))),
    )


def _question(question: Question) -> TrainingQuestion:
    return TrainingQuestion(
        id=question.id,
        text=question.text,
        answers=question.answers,
        category=category_number(question),
        evidence=question.evidence,
        date=question.date,
    )
