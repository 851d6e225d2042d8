"""LangGraph's InMemoryStore with our encoder: for memories that live no longer than a run."""

from collections.abc import Sequence
from typing import cast

import numpy as np
from langchain_core.embeddings import Embeddings
from langgraph.store.memory import InMemoryStore
from numpy.typing import NDArray

from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.stores.items import TEXT_FIELD


def in_process_store(encoder: TextEncoder, fields: Sequence[str] = (TEXT_FIELD,)) -> InMemoryStore:
    """Make an empty store that ranks by an encoder.

    It finds what `InMemoryStore` finds with the encoder itself, faster: that store makes an array
    of everything that it holds for every search, and it keeps its vectors as they come.

    Args:
        encoder: Embeds items and queries.
        fields: The fields of a value to embed, as in LangGraph's `IndexConfig`.

    Returns:
        The store. Like any `InMemoryStore` it is for one event loop or thread at a time.
    """
    return InMemoryStore(
        index={"dims": encoder.dim, "embed": _Rows(encoder), "fields": list(fields)}
    )


class _Rows(Embeddings):
    """An encoder whose vectors are arrays: an array of arrays is made without boxing numbers."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return _rows(self._encoder.embed_documents(texts))

    def embed_query(self, text: str) -> list[float]:
        return _rows([self._encoder.embed_query(text)])[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        return _rows(await self._encoder.aembed_documents(texts))

    async def aembed_query(self, text: str) -> list[float]:
        return _rows([await self._encoder.aembed_query(text)])[0]


def _rows(vectors: list[list[float]]) -> list[list[float]]:
    # In the precision of the lists, so that scores and their order stay the same.
    rows: NDArray[np.float64] = np.asarray(vectors, dtype=np.float64)
    return cast(list[list[float]], list(rows))
