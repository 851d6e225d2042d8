"""Which hard cases the designer sees: importance, deduplication, clusters (METHOD, "Evolution")."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from langgraph_memskill.evolution.records import HardCase


def importance(case: HardCase) -> float:
    """How much a case weighs: (1 - score) x log(1 + failures).

    Args:
        case: Any case; a score outside of [0, 1] counts as the nearer end.

    Returns:
        A number >= 0.
    """
    missing = min(max(1.0 - case.score, 0.0), 1.0)
    return missing * math.log(1 + max(1, case.fail_count))


def deduplicate(cases: Sequence[HardCase]) -> list[HardCase]:
    """Keep one case a question; of several the one that failed most often.

    Args:
        cases: In any order.

    Returns:
        The kept ones, in the order in which their questions came first.
    """
    kept: dict[str, HardCase] = {}
    for case in cases:
        question = case.question.strip().lower()
        if question not in kept or case.fail_count > kept[question].fail_count:
            kept[question] = case
    return list(kept.values())


def cluster(embeddings: NDArray[np.float32], num_clusters: int, *, seed: int = 0) -> list[int]:
    """Group questions by meaning (k-means).

    Args:
        embeddings: float32 [N, D], one row a question.
        num_clusters: Clusters at most, >= 1.
        seed: Of k-means' first centres.

    Returns:
        N labels, numbered from 0 in the order in which they first occur. Up to `num_clusters`
        questions get a cluster each.
    """
    if len(embeddings) <= num_clusters:
        return list(range(len(embeddings)))
    from sklearn.cluster import KMeans

    # More centres than distinct questions cannot be placed.
    wanted = min(num_clusters, len(np.unique(embeddings, axis=0)))
    found = KMeans(n_clusters=wanted, n_init=10, random_state=seed).fit_predict(embeddings)
    numbers: dict[int, int] = {}
    return [numbers.setdefault(int(label), len(numbers)) for label in found]


def sample(
    cases: Sequence[HardCase], labels: Sequence[int], *, per_cluster: int, num_clusters: int
) -> list[HardCase]:
    """Take the most important cases of every cluster, then the most important of the rest.

    Args:
        cases: Without repetitions.
        labels: The cluster of each.
        per_cluster: Cases from one cluster, >= 1.
        num_clusters: `num_clusters * per_cluster` cases are taken at most.

    Returns:
        The chosen cases, cluster after cluster in the order of their labels' first occurrence, and
        the fill behind them; of equally important ones the first.
    """
    clusters: dict[int, list[HardCase]] = {}
    for case, label in zip(cases, labels, strict=True):
        clusters.setdefault(label, []).append(case)
    ranked = [sorted(group, key=importance, reverse=True) for group in clusters.values()]
    chosen = [case for group in ranked for case in group[:per_cluster]]
    rest = [case for group in ranked for case in group[per_cluster:]]
    limit = num_clusters * per_cluster
    fill = sorted(rest, key=importance, reverse=True)[: max(0, limit - len(chosen))]
    return [*chosen, *fill][:limit]
