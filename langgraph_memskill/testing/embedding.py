"""The embedding that the store suite brings: every similarity can be worked out on paper."""

import time

from langchain_core.embeddings import Embeddings
from langgraph.store.base import IndexConfig

LETTERS = "abcd"
DIMS = len(LETTERS)
SLOW = "slow"
"""A text with this word takes `SLOW_S` to embed, and holds up its thread meanwhile."""
SLOW_S = 0.4
BROKEN = "unembeddable"
"""A text with this word cannot be embedded."""


class EmbeddingBrokenError(RuntimeError):
    """The text holds the word that the suite's embedding refuses."""


class LetterEmbeddings(Embeddings):
    """Counts the letters a, b, c and d of a text.

    "aab" is [2, 1, 0, 0]. The async methods are those of LangChain: they run in a thread.
    """

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts.

        Returns:
            A vector of `DIMS` counts a text.

        Raises:
            EmbeddingBrokenError: If a text holds the word `BROKEN`.
        """
        return [self._embed(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """Embed a query as a text."""
        return self._embed(text)

    def _embed(self, text: str) -> list[float]:
        if BROKEN in text.split():
            raise EmbeddingBrokenError(f"{text!r} holds the word {BROKEN!r}")
        if SLOW in text.split():
            time.sleep(SLOW_S)
        return [float(text.count(letter)) for letter in LETTERS]


def index_config() -> IndexConfig:
    """Make the index configuration that the suite's checks of vector search count on.

    Returns:
        LangGraph's configuration: 4 dimensions, `LetterEmbeddings`, the field "text".
    """
    return IndexConfig(dims=DIMS, embed=LetterEmbeddings(), fields=["text"])
