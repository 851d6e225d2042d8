"""The metrics that tasks are made of; the arithmetic is in `scorers`."""

from langgraph_memskill.benchmarks.samples import Question
from langgraph_memskill.benchmarks.scorers import best_token_f1, evidence_recall, token_f1_max
from langgraph_memskill.benchmarks.task import Answered, PlainScorer

RECALL_AT = 20
"""The k of evidence recall@k (METHOD, "Questions and acting": 20 memories at evaluation)."""


def _f1(question: Question, answered: Answered) -> float | None:
    return best_token_f1(answered.text, question.answers)


def _recall(question: Question, answered: Answered) -> float | None:
    first = answered.found[:RECALL_AT]
    return evidence_recall((i for found in first for i in found.evidence_ids), question.evidence)


F1 = PlainScorer(name="f1", score=_f1)
"""Token F1 with the gold answer that fits best."""

EVIDENCE_RECALL = PlainScorer(name=f"evidence_recall@{RECALL_AT}", score=_recall)
"""Share of the evidence among what the first 20 memories were written from."""


def list_f1(*list_categories: str) -> PlainScorer:
    """Token F1, by the parts of a list for some categories (LoCoMo's multi-hop questions).

    Args:
        *list_categories: Categories whose gold answers are lists with commas.
    """

    def score(question: Question, answered: Answered) -> float | None:
        if question.category not in list_categories:
            return _f1(question, answered)
        scores = (token_f1_max(answered.text, gold) for gold in question.answers)
        return max(scores, default=None)

    return PlainScorer(name="f1", score=score)
