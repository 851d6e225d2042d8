"""Scores of answers and of retrieval, as the published numbers compute them."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from langgraph_memskill.errors import DataError, missing_dependency
from langgraph_memskill.token_overlap import normalize as normalize
from langgraph_memskill.token_overlap import stem as stem
from langgraph_memskill.token_overlap import stems as stems
from langgraph_memskill.token_overlap import token_f1 as token_f1


def token_f1_max(prediction: str, answer: str) -> float:
    """Return the mean, over the parts of a gold list, of the best `token_f1` with a predicted part.

    Both texts are cut at every comma, also at those in numbers and dates; empty parts count as
    misses (QUIRK 67, kept because published scores do it).

    Args:
        prediction: The answer to score, a list with commas.
        answer: The gold answer, a list with commas.

    Returns:
        A score in [0, 1].

    Raises:
        DataError: A value is no text.
    """
    if not isinstance(prediction, str) or not isinstance(answer, str):
        raise DataError(f"{prediction!r} or {answer!r} is no text; only texts can be compared")
    predicted, gold = prediction.split(","), answer.split(",")
    best = [max(token_f1(part, gold_part) for part in predicted) for gold_part in gold]
    return sum(best) / len(best)


def best_token_f1(prediction: str, answers: Iterable[str]) -> float | None:
    """Return the best `token_f1` with any of several gold answers.

    Args:
        prediction: The answer to score.
        answers: The gold answers.

    Returns:
        A score in [0, 1], or None if there is no gold answer to compare with.

    Raises:
        DataError: A value is no text.
    """
    return max((token_f1(prediction, answer) for answer in answers), default=None)


def best_token_f1_max(prediction: str, answers: Iterable[str]) -> float | None:
    """Return the best `token_f1_max` with any of several gold answers; see `best_token_f1`."""
    return max((token_f1_max(prediction, answer) for answer in answers), default=None)


def exact_match(prediction: str, answers: Iterable[str]) -> float | None:
    """Return 1 if a prediction is one of the gold answers after `normalize`, else 0.

    Args:
        prediction: The answer to score.
        answers: The gold answers.

    Returns:
        0 or 1, or None if there is no gold answer to compare with.

    Raises:
        DataError: A value is no text.
    """
    given = normalize(prediction)
    return max((float(given == normalize(answer)) for answer in answers), default=None)


def bleu_1(prediction: str, answers: Sequence[str]) -> float | None:
    """Return the BLEU score over single words (sacrebleu, lower case, with brevity penalty).

    Args:
        prediction: The answer to score.
        answers: The gold answers; all of them are references.

    Returns:
        A score in [0, 1], or None if there is no gold answer.

    Raises:
        MissingDependencyError: sacrebleu is not installed.
    """
    if not answers:
        return None
    score: float = _bleu().sentence_score(prediction, list(answers)).score
    return min(score / 100, 1.0)


def rouge_l(prediction: str, answers: Sequence[str]) -> float | None:
    """Return the ROUGE-L F1 over stemmed words (rouge-score), the best of several gold answers.

    Args:
        prediction: The answer to score.
        answers: The gold answers.

    Returns:
        A score in [0, 1], or None if there is no gold answer.

    Raises:
        MissingDependencyError: rouge-score is not installed.
    """
    if not answers:
        return None
    score: float = _rouge().score_multi(list(answers), prediction)["rougeL"].fmeasure
    return score


@cache
def _bleu() -> Any:
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError as error:
        raise missing_dependency("sacrebleu", "bench", "BLEU-1") from error
    return BLEU(max_ngram_order=1, lowercase=True, effective_order=True)


@cache
def _rouge() -> Any:
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise missing_dependency("rouge_score", "bench", "ROUGE-L") from error
    return RougeScorer(["rougeL"], use_stemmer=True)


def evidence_recall(found_ids: Iterable[str], gold_ids: Iterable[str]) -> float | None:
    """Return the share of the gold evidence that was found.

    Args:
        found_ids: What was found: ids of turns, sessions or documents.
        gold_ids: What answers the question, as ids of the same kind.

    Returns:
        A share in [0, 1], or None if the question names no evidence: such a question says nothing
        about retrieval.
    """
    gold = set(gold_ids)
    return len(gold & set(found_ids)) / len(gold) if gold else None


def recall_at(k: int, ranked: Sequence[Iterable[str]], gold_ids: Iterable[str]) -> float | None:
    """Return the share of the gold evidence among the sources of the first memories.

    Args:
        k: How many memories count, >= 1.
        ranked: The ids that each retrieved memory was written from, best memory first.
        gold_ids: What answers the question.

    Returns:
        A share in [0, 1], or None if the question names no evidence.
    """
    return evidence_recall((name for ids in ranked[:k] for name in ids), gold_ids)


def reciprocal_rank(ranked: Sequence[Iterable[str]], gold_ids: Iterable[str]) -> float | None:
    """Return one over the rank of the first memory that was written from gold evidence.

    The mean over questions is the MRR.

    Args:
        ranked: The ids that each retrieved memory was written from, best memory first.
        gold_ids: What answers the question.

    Returns:
        A value in [0, 1], 0 if no memory was; None if the question names no evidence.
    """
    gold = set(gold_ids)
    if not gold:
        return None
    ranks = (rank for rank, ids in enumerate(ranked, 1) if not gold.isdisjoint(ids))
    return 1 / next(ranks, float("inf"))
