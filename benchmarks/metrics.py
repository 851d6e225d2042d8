"""The metrics that tasks are made of; the arithmetic is in `scorers`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec

from langgraph_memskill.benchmarks.samples import Question
from langgraph_memskill.benchmarks.scorers import (
    bleu_1,
    exact_match,
    recall_at,
    reciprocal_rank,
    rouge_l,
)
from langgraph_memskill.benchmarks.task import Answered, PlainScorer, Score, Scorer
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallScorer:
    """Evidence recall: the share of the evidence that the first memories were written from."""

    depth: int
    """How many memories count, >= 1."""

    @property
    def name(self) -> str:
        """With the depth."""
        return f"evidence_recall@{self.depth}"

    async def __call__(self, question: Question, answered: Answered) -> Score:
        """Score one answer; see `Scorer`."""
        ranked = [found.evidence_ids for found in answered.found]
        return Score(value=recall_at(self.depth, ranked, question.evidence))


def _rank(question: Question, answered: Answered) -> float | None:
    return reciprocal_rank([found.evidence_ids for found in answered.found], question.evidence)


EVIDENCE_RECALL = RecallScorer(depth=RECALL_AT)
"""Share of the evidence among what the first 20 memories were written from."""

EVIDENCE_SCORERS: tuple[Scorer, ...] = (
    EVIDENCE_RECALL,
    RecallScorer(depth=5),
    PlainScorer(name="mrr", score=_rank),
)
"""What retrieval is worth: evidence recall at 20 and 5, and the mean reciprocal rank."""


def within_depth(scorers: Sequence[Scorer], top_k: int) -> tuple[Scorer, ...]:
    """The scorers for questions that are shown `top_k` memories.

    Where fewer memories are retrieved than a recall counts, it is the recall at that number, and
    is named so.

    Args:
        scorers: Those of a task.
        top_k: Memories that are retrieved for a question, >= 1.
    """
    bounded = [
        replace(scorer, depth=min(scorer.depth, top_k))
        if isinstance(scorer, RecallScorer)
        else scorer
        for scorer in scorers
    ]
    return tuple({scorer.name: scorer for scorer in bounded}.values())


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
