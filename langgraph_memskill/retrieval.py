"""Ranking of embeddings by cosine similarity (MemSkill, METHOD step 1)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from langgraph_memskill.errors import ConfigError

_ROWS_AT_ONCE = 8192


class Ranking(NamedTuple):
    """The best rows, best first."""

    indices: NDArray[np.int64]
    """Row numbers, [min(k, n)]."""
    scores: NDArray[np.float32]
    """Their cosine similarities, in [-1, 1], [min(k, n)]."""


def rank(query: ArrayLike, rows: ArrayLike, k: int) -> Ranking:
    """Find the rows most similar to a query.

    The order is the same on every machine: equal scores keep the order of the rows. A row of zeros
    stands for a memory without an embedding; it has no direction, so it comes after all others,
    with the lowest score there is. For a query of zeros every other row scores 0.

    Args:
        query: Numbers [d], or [1, d]; of any length.
        rows: Numbers [n, d]; of any length, they need not be unit vectors. An empty array of any
            shape stands for no rows.
        k: How many to return at most, >= 0.

    Returns:
        The best min(k, n) rows.

    Raises:
        ConfigError: If `k` is negative, the widths differ, or a number is not finite.
    """
    if k < 0:
        raise ConfigError(f"k={k!r} must be at least 0")
    matrix = np.asarray(rows)
    if matrix.size == 0:
        return Ranking(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32))
    vector = np.asarray(query, dtype=np.float64).reshape(-1)
    if matrix.ndim != 2 or matrix.shape[1] != vector.size:
        raise ConfigError(
            f"a query of width {vector.size} cannot be compared with rows of shape {matrix.shape}: "
            "embed both with the same encoder"
        )
    scores, has_direction = _cosines(vector, matrix)
    order = np.lexsort((-scores, ~has_direction))[:k]
    return Ranking(order.astype(np.int64), scores[order])


def _cosines(
    query: NDArray[np.float64], rows: NDArray[np.floating]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Cosine of every row with the query, float32 [n], and which rows have a direction, [n]."""
    query_norm = np.linalg.norm(query)
    unit = query / query_norm if query_norm > 0 else query
    scores = np.full(len(rows), -1.0, dtype=np.float32)
    has_direction = np.zeros(len(rows), dtype=np.bool_)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        # Matrix products may round equal rows differently; in float64 that is lost when the result
        # becomes float32, so equal rows do tie.
        part = rows[start : start + _ROWS_AT_ONCE].astype(np.float64)
        norms = np.linalg.norm(part, axis=1)
        present = norms > 0
        products = part @ unit
        if not np.isfinite(products).all():
            raise ConfigError("embeddings must be finite numbers; the query or a row is not")
        stop = start + len(part)
        has_direction[start:stop] = present
        scores[start:stop][present] = np.clip(products[present] / norms[present], -1, 1)
    return scores, has_direction
