"""How memories are searched; the defaults are what the measurement in the README says."""

import math
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from langgraph_memskill.errors import ConfigError


class SearchMode(StrEnum):
    """What ranks the memories."""

    DENSE = "dense"
    """Cosine similarity of embeddings, as METHOD has it."""
    LEXICAL = "lexical"
    """BM25 over stemmed words."""
    HYBRID = "hybrid"
    """Both, fused by reciprocal rank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """Settings of a search for memories.

    Raises:
        ConfigError: If a value is out of its range.
    """

    mode: SearchMode = SearchMode.HYBRID
    neighbours: bool = True
    """Whether a memory also ranks by what stands next to it: the memories written before and after
    it in the same session. A question is often about one utterance and answered in the next."""
    depth: int = 100
    """Memories that each ranking contributes at most, >= 1; never less than are asked for."""
    time_weight: float = 0.0
    """Weight of a further ranking by time, >= 0, where the others have 1: first the memories whose
    source or text is of a date that the question names, then the rest, newest first. 0 leaves it
    out."""
    reranker: str | Path | None = None
    """A sentence-transformers cross-encoder, by local folder or by a hub name that is in the local
    cache; it puts the best `rerank_depth` memories into its own order. None reranks nothing."""
    rerank_depth: int = 50
    """Memories that the reranker reads a question, >= 1."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not isinstance(self.mode, SearchMode):
            known = ", ".join(repr(mode.value) for mode in SearchMode)
            try:
                object.__setattr__(self, "mode", SearchMode(self.mode))
            except ValueError as error:
                raise ConfigError(f"mode={self.mode!r} must be one of {known}") from error
        for name in ("depth", "rerank_depth"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name}={value!r} must be a whole number of at least 1")
        if not isinstance(self.neighbours, bool):
            raise ConfigError(f"neighbours={self.neighbours!r} must be True or False")
        weight = self.time_weight
        if isinstance(weight, bool) or not math.isfinite(weight) or weight < 0:
            raise ConfigError(f"time_weight={weight!r} must be a finite number of at least 0")


DENSE = SearchSettings(mode=SearchMode.DENSE, neighbours=False)
"""The search exactly as METHOD has it."""
