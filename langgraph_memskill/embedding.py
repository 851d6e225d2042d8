"""Text encoders: one unit vector a text, each distinct text computed once, in batches.

Spans, memories, questions and skill descriptions all go through one encoder (MemSkill, METHOD
step 1), so that retrieval, the controller's state and clustering share one space and one cache.
Importing this module loads neither torch nor sentence-transformers; a model is loaded when it is
first used.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from langchain_core.embeddings import Embeddings

from langgraph_memskill.cached_encoder import BATCH_SIZE, CachedEncoder, Floats
from langgraph_memskill.embeddings_encoder import EmbeddingsEncoder
from langgraph_memskill.errors import ConfigError
from langgraph_memskill.sentence_encoder import SentenceEncoder
from langgraph_memskill.sentence_models import bundled_folder

__all__ = ["EmbeddingsEncoder", "Floats", "SentenceEncoder", "TextEncoder", "load_encoder"]


@runtime_checkable
class TextEncoder(Protocol):
    """What everything else asks of an encoder. It is also a LangChain `Embeddings`."""

    @property
    def name(self) -> str:
        """Name of the model ("all-MiniLM-L6-v2"), the same from a folder and from the hub."""

    @property
    def dim(self) -> int:
        """Width of the vectors."""

    def encode(self, texts: Sequence[str]) -> Floats:
        """Embed texts.

        Returns:
            float32 [len(texts), dim], rows of unit length, in the order of `texts`.

        Raises:
            ModelCallError: If the model cannot be loaded or called.
        """

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Like `encode`, as lists (LangChain's interface)."""

    def embed_query(self, text: str) -> list[float]:
        """Embed one text."""

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Like `embed_documents`, without blocking the event loop."""

    async def aembed_query(self, text: str) -> list[float]:
        """Like `embed_query`, without blocking the event loop."""


def load_encoder(
    spec: str | Path | Embeddings | TextEncoder | None = None,
    *,
    allow_download: bool = False,
    batch_size: int | None = None,
    by_length: bool = False,
    dtype: str | None = None,
) -> TextEncoder:
    """Make an encoder from what a user passes as `encoder=`.

    Args:
        spec: None for the bundled MiniLM (extra `offline`); a local folder; a hub name; any
            LangChain `Embeddings`; or an encoder, which is returned as it is.
        allow_download: Whether a hub name that is not in the local cache may be downloaded.
            Without it nothing touches the network.
        batch_size: Texts a model call, >= 1; None takes what suits the device, and an encoder is
            taken as it is. With 1 a vector depends on its text alone; beside longer texts its last
            digits may differ.
        by_length: Whether a vector of a sentence-transformers model must depend on its text alone,
            as with a batch size of 1, but faster.
        dtype: Number format of a sentence-transformers model, as `SentenceEncoder` takes it.

    Returns:
        The encoder. Models are loaded when first used.

    Raises:
        MissingDependencyError: If the bundled model is asked for and its package is not installed.
        ModelCallError: If no such model is on this machine.
        ConfigError: If `spec` is of another kind.
    """
    if spec is None or isinstance(spec, str | Path):
        return SentenceEncoder(
            bundled_folder() if spec is None else spec,
            allow_download=allow_download,
            batch_size=batch_size,
            by_length=by_length,
            dtype=dtype,
        )
    # Asking a SentenceEncoder whether it has a `dim` would load its model.
    if isinstance(spec, CachedEncoder | TextEncoder):
        return spec
    if isinstance(spec, Embeddings):
        return EmbeddingsEncoder(spec, batch_size=BATCH_SIZE if batch_size is None else batch_size)
    raise ConfigError(
        f"encoder={spec!r} is not an encoder: pass None, a model name, a folder, "
        "a LangChain Embeddings object or a TextEncoder"
    )
