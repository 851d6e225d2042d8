"""What is embedded of an item, and what an embedding must look like."""

import asyncio
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from numbers import Integral
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings
from langgraph.store.base import (
    IndexConfig,
    PutOp,
    ensure_embeddings,
    get_text_at_path,
    tokenize_path,
)
from numpy.typing import NDArray

from langgraph_memskill.errors import ConfigError, EmbeddingMismatchError

Vectors = dict[str, NDArray[np.float32]]
"""Text to its vector, [dims], of unit length (or zero)."""

_WHOLE_VALUE = "$"
# From so many different vectors of length 1 on, that is no accident.
_ENOUGH_UNIT_VECTORS = 8
_UNIT_TOLERANCE = 1e-3
_NAME_ATTRIBUTES = ("name", "model_name", "model")


class Indexer:
    """An index configuration at work: texts out of values, vectors out of texts."""

    def __init__(self, index: IndexConfig, *, name: str | None = None) -> None:
        """Check the configuration.

        Args:
            index: LangGraph's index configuration: "dims", "embed" and perhaps "fields".
            name: Name of the embedding model; None takes the `name`, `model_name` or `model` of
                the embedding object, if that is a text.

        Raises:
            ConfigError: If "dims" or "embed" is missing or unusable.
        """
        dims = index.get("dims")
        if isinstance(dims, bool) or not isinstance(dims, Integral) or dims < 1:
            raise ConfigError(
                f"index['dims'] is {dims!r}: give the width of the embedding vectors, such as 384"
            )
        embed = index.get("embed")
        if embed is None:
            raise ConfigError(
                "index has no 'embed': give LangChain Embeddings, a function from texts to "
                "vectors, or a name such as 'openai:text-embedding-3-small'"
            )
        fields = index.get("fields") or [_WHOLE_VALUE]
        self.dims: int = int(dims)
        try:
            self.embeddings: Embeddings = ensure_embeddings(embed)
        except (ImportError, ValueError) as error:
            raise ConfigError(
                f"index['embed'] is {embed!r}, which cannot be used: {error}"
            ) from error
        self.name: str | None = name or _name_of(embed) or _name_of(self.embeddings)
        self.fields: tuple[str, ...] = tuple(fields)
        self.is_normalised: bool | None = None
        """Whether the model's own vectors have length 1; None until enough were seen to tell."""
        self._unit_vectors: set[bytes] = set()
        self._default_paths: list[str | list[str]] = [
            path if path == _WHOLE_VALUE else tokenize_path(path) for path in fields
        ]

    def texts(self, op: PutOp) -> list[str]:
        """Collect the texts to embed for one put, each once.

        An explicit `index` list names fields, "$" included: as in InMemoryStore only the store's
        own default can mean the whole value.
        """
        if op.value is None or op.index is False:
            return []
        return self.texts_of(op.value, op.index)

    def texts_of(self, value: Any, fields: Sequence[str] | None) -> list[str]:
        """Collect the texts of a value's fields, each once; None takes the store's own fields."""
        paths: Sequence[str | list[str]] = (
            self._default_paths if fields is None else [tokenize_path(path) for path in fields]
        )
        found = (text for path in paths for text in get_text_at_path(value, path))
        return list(dict.fromkeys(found))

    def embed(self, documents: Sequence[str], queries: Sequence[str]) -> tuple[Vectors, Vectors]:
        """Embed texts and queries.

        Returns:
            The vectors of the documents and those of the queries.

        Raises:
            EmbeddingMismatchError: If a vector has another width or a number that is not finite.
            Exception: Whatever the embedding model raises.
        """
        rows = self.embeddings.embed_documents(list(documents)) if documents else []
        self._measure(rows)
        if len(queries) > 1:
            with ThreadPoolExecutor() as pool:
                found = list(pool.map(self.embeddings.embed_query, queries))
        else:
            found = [self.embeddings.embed_query(query) for query in queries]
        return self._checked(documents, rows), self._checked(queries, found)

    async def aembed(
        self, documents: Sequence[str], queries: Sequence[str]
    ) -> tuple[Vectors, Vectors]:
        """Embed like `embed`, with the embedding model's async methods."""
        rows = await self.embeddings.aembed_documents(list(documents)) if documents else []
        self._measure(rows)
        found = await asyncio.gather(*(self.embeddings.aembed_query(query) for query in queries))
        return self._checked(documents, rows), self._checked(queries, found)

    def _measure(self, rows: Sequence[Any]) -> None:
        """See whether the model's vectors have length 1, until that is clear."""
        for row in rows if self.is_normalised is None else ():
            vector = np.asarray(row, np.float64)
            length = float(np.linalg.norm(vector))
            if length and abs(length - 1.0) > _UNIT_TOLERANCE:
                self.is_normalised = False
                return
            if length:
                self._unit_vectors.add(vector.tobytes())
            if len(self._unit_vectors) >= _ENOUGH_UNIT_VECTORS:
                self.is_normalised = True
                return

    def _checked(self, texts: Sequence[str], rows: Iterable[Any]) -> Vectors:
        vectors = [np.asarray(row, np.float64) for row in rows]
        if len(vectors) != len(texts):
            raise EmbeddingMismatchError(
                f"the embedding model gave {len(vectors)} vectors for {len(texts)} texts; "
                "it must give one vector a text"
            )
        return {text: self._unit(text, vector) for text, vector in zip(texts, vectors, strict=True)}

    def _unit(self, text: str, vector: NDArray[np.float64]) -> NDArray[np.float32]:
        if vector.shape != (self.dims,):
            raise EmbeddingMismatchError(
                f"the embedding model gave a vector of shape {vector.shape} for {text[:60]!r}, but "
                f"the index has dims={self.dims}: nothing was written; correct index['dims'] or "
                "the embedding model"
            )
        if not np.isfinite(vector).all():
            raise EmbeddingMismatchError(
                f"the embedding model gave a vector with NaN or infinity for {text[:60]!r}: "
                "nothing was written; check the embedding model"
            )
        norm = float(np.linalg.norm(vector))
        return (vector / norm if norm else vector).astype(np.float32)


def _name_of(embed: object) -> str | None:
    for attribute in _NAME_ATTRIBUTES:
        found = getattr(embed, attribute, None)
        if isinstance(found, str) and found:
            return found
    return None
