"""The controller's state: span embedding and fused memory embedding (MemSkill, METHOD step 2)."""

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from langgraph_memskill.errors import ConfigError

FusionMode: TypeAlias = Literal["mean", "sim_weighted"]

_EPSILON = 1e-8


def fuse_state(
    span: ArrayLike, memories: ArrayLike | None, *, mode: FusionMode = "mean", tau: float = 1.0
) -> NDArray[np.float32]:
    """Concatenate a span's embedding with its memories' fused embedding.

    Args:
        span: The span's embedding, [d] or [1, d].
        memories: Embeddings of the memories retrieved for it, [m, d] (one row may be given as [d]);
            None or an empty array if there are none, which fuse to zeros.
        mode: "mean" averages the rows; "sim_weighted" weights them by the softmax of their cosine
            similarity to the span, divided by `tau`.
        tau: Temperature of "sim_weighted"; values below 1e-8 count as 1e-8, so that the most
            similar memory alone decides.

    Returns:
        float32 [2d], whatever the input's precision.

    Raises:
        ConfigError: If the widths differ, or the mode is unknown and there are memories to fuse.
    """
    vector = np.asarray(span, dtype=np.float64).reshape(-1)
    rows = np.zeros((0, vector.size)) if memories is None else np.asarray(memories, np.float64)
    if rows.size == 0:
        fused = np.zeros_like(vector)
    else:
        rows = np.atleast_2d(rows)
        if rows.ndim != 2 or rows.shape[1] != vector.size:
            raise ConfigError(
                f"memories of shape {rows.shape} do not fit a span of width {vector.size}: "
                "embed both with the same encoder"
            )
        fused = _weights(vector, rows, mode, tau) @ rows
    return np.concatenate([vector, fused]).astype(np.float32)


def _weights(
    span: NDArray[np.float64], memories: NDArray[np.float64], mode: FusionMode, tau: float
) -> NDArray[np.float64]:
    """One weight a memory, [m], summing to 1."""
    if mode == "mean":
        return np.full(len(memories), 1 / len(memories))
    if mode != "sim_weighted":
        raise ConfigError(f"fusion mode {mode!r} is unknown: use 'mean' or 'sim_weighted'")
    norms = np.linalg.norm(memories, axis=1) + _EPSILON
    cosines = memories @ span / (norms * (np.linalg.norm(span) + _EPSILON))
    scaled = cosines / max(tau, _EPSILON)
    weights = np.exp(scaled - scaled.max())
    normalised: NDArray[np.float64] = weights / (weights.sum() + _EPSILON)
    return normalised
