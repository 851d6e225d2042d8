"""The metrics that tasks are made of; the arithmetic is in `scorers`."""

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

from langgraph_memskill.benchmarks.samples import Question
from langgraph_memskill.benchmarks.scorers import (
    bleu_1,
    exact_match,
    recall_at,
    reciprocal_rank,
    rouge_l,
)
from langgraph_memskill.benchmarks.task import Answered, PlainScorer, Score
from langgraph_memskill.judging import Judge

RECALL_AT = 20
"""The k of evidence recall@k (METHOD, "Questions and acting": 20 memories at evaluation)."""

AnswerF1 = Callable[[str, Question], float | None]
"""A benchmark's own rule of token F1; None if there is no gold answer."""


def answer_scorers(
    f1: AnswerF1, *, extract: Callable[[str], str] = str.strip
) -> tuple[PlainScorer, ...]:
    """The scores of an answer's words: F1, exact match, and BLEU-1 and ROUGE-L if there are any.

    Args:
        f1: The benchmark's rule.
        extract: Takes the answer out of a reply, for the others; the rule does so itself.

    Returns:
        The scorers, F1 first. Those whose package is not installed (extra `bench`) are left out.
    """

    def over(score: Callable[[str, tuple[str, ...]], float | None]) -> PlainScorer:
        def scored(question: Question, answered: Answered) -> float | None:
            return score(extract(answered.text), question.answers)

        return PlainScorer(name=score.__name__, score=scored)

    return (
        PlainScorer(name="f1", score=lambda question, answered: f1(answered.text, question)),
        over(exact_match),
        *[over(bleu_1)] * _is_installed("sacrebleu"),
        *[over(rouge_l)] * _is_installed("rouge_score"),
    )


def _is_installed(package: str) -> bool:
    return find_spec(package) is not None


def _recall(k: int, question: Question, answered: Answered) -> float | None:
    return recall_at(k, [found.evidence_ids for found in answered.found], question.evidence)


def _rank(question: Question, answered: Answered) -> float | None:
    return reciprocal_rank([found.evidence_ids for found in answered.found], question.evidence)


EVIDENCE_RECALL = PlainScorer(
    name=f"evidence_recall@{RECALL_AT}", score=partial(_recall, RECALL_AT)
)
"""Share of the evidence among what the first 20 memories were written from."""

EVIDENCE_SCORERS = (
    EVIDENCE_RECALL,
    PlainScorer(name="evidence_recall@5", score=partial(_recall, 5)),
    PlainScorer(name="mrr", score=_rank),
)
"""What retrieval is worth: evidence recall at 20 and 5, and the mean reciprocal rank."""


class JudgeScorer:
    """Asks a model how well an answer agrees with the gold answers: 0, 0.5 or 1.

    A judge that cannot be reached or read leaves the answer unscored.
    """

    name = "judge"

    def __init__(self, judge: Judge, *, extract: Callable[[str], str] = str.strip) -> None:
        """Ask this judge.

        Args:
            judge: With its model.
            extract: Takes the answer out of a reply.
        """
        self._judge = judge
        self._extract = extract

    async def __call__(self, question: Question, answered: Answered) -> Score:
        """Score one answer; see `Scorer`."""
        if not question.answers:
            return Score(value=None)
        done = await self._judge.ajudge(
            question.text, question.answers, self._extract(answered.text), date=question.date
        )
        return Score(value=done.score, problem=done.problem, usage=done.usage)
