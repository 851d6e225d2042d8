"""What all text encoders share: distinct texts, the cache, unit length, LangChain's interface."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray

from langgraph_memskill.errors import ConfigError, ModelCallError
from langgraph_memskill.joined_calls import JoinedCalls
from langgraph_memskill.vector_cache import VectorCache

Floats: TypeAlias = NDArray[np.float32]

BATCH_SIZE = 64
"""Texts a model call where nothing else is asked for."""
CACHE_SIZE = 50_000
"""Texts whose vectors are kept where nothing else is asked for."""


class CachedEncoder(Embeddings):
    """The part that all encoders share: distinct texts, the cache, and LangChain's interface."""

    def __init__(
        self, name: str, *, batch_size: int, cache_size: int, dim: int | None = None
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size={batch_size!r} must be at least 1")
        self._name = name
        self._batch_size = batch_size
        self._dim = dim
        self._cache = VectorCache(cache_size)
        self._calls = JoinedCalls(self._computed)

    @property
    def name(self) -> str:
        """Name of the model, as stores and controllers record it."""
        return self._name

    @property
    def dim(self) -> int:
        """Width of the vectors; embeds a word to find out, if nothing was embedded yet."""
        return self.encode(["width"]).shape[1] if self._dim is None else self._dim

    def encode(self, texts: Sequence[str]) -> Floats:
        """Embed texts; each distinct text is computed once and then remembered.

        Returns:
            float32 [len(texts), dim], rows of unit length, in the order of `texts`; [0, dim] for
            no texts.

        Raises:
            ModelCallError: If the model cannot be loaded or called.
        """
        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32)
        keys = [self._readable(text) for text in texts]
        distinct = list(dict.fromkeys(keys))
        vectors = self._cache.find(distinct)
        missing = [key for key in distinct if key not in vectors]
        if missing:
            vectors |= self._calls.vectors(missing)
        return np.stack([vectors[key] for key in keys])

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Like `encode`, as lists (LangChain's interface)."""
        rows: list[list[float]] = self.encode(texts).tolist()
        return rows

    def embed_query(self, text: str) -> list[float]:
        """Embed one text."""
        return self.embed_documents([text])[0]

    @abstractmethod
    def _readable(self, text: str) -> str:
        """The part of a text that the model can read; it is the key in the cache."""

    @abstractmethod
    def _compute(self, texts: list[str]) -> object:
        """Embed distinct texts: numbers [len(texts), dim], rows of any length."""

    def _computed(self, texts: list[str]) -> dict[str, Floats]:
        """The vectors of distinct texts; some may have become known since they were asked for."""
        vectors = self._cache.find(texts)
        missing = [text for text in texts if text not in vectors]
        return vectors | self._remember(missing, self._compute(missing)) if missing else vectors

    def _remember(self, texts: list[str], rows: object) -> dict[str, Floats]:
        """Check what the model gave, bring it to unit length and keep it."""
        try:
            matrix = np.asarray(rows, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise self._failure(len(texts), error) from error
        if matrix.ndim != 2 or len(matrix) != len(texts) or matrix.shape[1] == 0:
            raise ModelCallError(
                f"the text encoder {self.name!r} gave an array of shape {matrix.shape} for "
                f"{len(texts)} texts: one row a text was expected"
            )
        if self._dim is not None and matrix.shape[1] != self._dim:
            raise ModelCallError(
                f"the text encoder {self.name!r} gave vectors of width {matrix.shape[1]}, "
                f"not {self._dim}: use one model throughout"
            )
        if not np.isfinite(matrix).all():
            raise ModelCallError(f"the text encoder {self.name!r} gave numbers that are not finite")
        self._dim = matrix.shape[1]
        # A row of zeros has no direction and stays as it is.
        norms = np.linalg.norm(matrix, axis=1, keepdims=True).astype(np.float32)
        matrix = matrix / np.maximum(norms, np.finfo(np.float32).tiny)
        # Copies, because a view of one row would keep its whole batch in memory.
        vectors = {text: row.copy() for text, row in zip(texts, matrix, strict=True)}
        self._cache.add(vectors)
        return vectors

    def _failure(self, num_texts: int, error: Exception) -> ModelCallError:
        return ModelCallError(
            f"the text encoder {self.name!r} failed on {num_texts} texts: {error}"
        )


def encodable(text: str) -> str:
    """The text without lone surrogates, which no tokenizer takes."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("utf-8")
    return text
