"""Text encoders: one unit vector a text, each distinct text computed once, in batches.

Spans, memories, questions and skill descriptions all go through one encoder (MemSkill, METHOD
step 1), so that retrieval, the controller's state and clustering share one space and one cache.
Importing this module loads neither torch nor sentence-transformers; a model is loaded when it is
first used.
"""

import logging
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

import numpy as np
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray

from langgraph_memskill.errors import ConfigError, ModelCallError
from langgraph_memskill.joined_calls import JoinedCalls
from langgraph_memskill.packed_encoding import PackedModel
from langgraph_memskill.sentence_models import (
    AUTO,
    DTYPES,
    bundled_folder,
    encode_fitting,
    fast_dtype,
    find_model,
    load_model,
    model_name,
)
from langgraph_memskill.vector_cache import VectorCache

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

Floats: TypeAlias = NDArray[np.float32]

_BATCH_SIZE = 64
_CUDA_BATCH_SIZE = 512
"""To begin with; it is halved until it fits."""
_CACHE_SIZE = 50_000
_CHARACTERS_PER_TOKEN = 32


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


class _CachedEncoder(Embeddings):
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


class SentenceEncoder(_CachedEncoder):
    """A sentence-transformers model, by hub name or local folder.

    It is loaded on first use, never fetched from the network unless `allow_download` is set, and
    reads only safetensors weights. On CUDA it runs in bfloat16 with flash attention where the
    package flash-attn is installed (PyTorch's own attention otherwise), elsewhere in float32. A
    batch that does not fit the device's memory is halved, and so are all later ones. BERT models on
    a CPU (MiniLM is one) read texts of all lengths in one call, without padding. One instance may
    be used from several threads: those that wait for the model share its next call.

    The number format is no part of the encoder's name: bfloat16 turns a vector by less than a
    degree, which is within what retrieval and controller cannot tell from noise, so a memory folder
    can move between machines with and without CUDA. Set `dtype` where digits must repeat.

    The model reads the first `max_seq_length` tokens of a text and no more. So that a text of a
    million characters does not take seconds in the tokenizer, it is cut first, at 32 characters
    for each of those tokens (8,192 for MiniLM, whose 256 tokens are about 1,200 characters of
    English). Only a text whose first tokens are far longer than words, such as long runs of
    blanks, can notice.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        name: str | None = None,
        allow_download: bool = False,
        device: str | None = None,
        dtype: str | None = None,
        batch_size: int | None = None,
        cache_size: int = _CACHE_SIZE,
        by_length: bool = False,
    ) -> None:
        """Find a model; its weights are loaded later.

        Args:
            model: A local folder, or a name on the Hugging Face hub ("Qwen/Qwen3-Embedding-0.6B").
            name: What stores and controllers record; None takes the last part of `model`.
            allow_download: Whether a hub name that is not in the local cache may be downloaded.
            device: "cpu", "cuda", "cuda:1" ...; None takes CUDA where there is one.
            dtype: "float32", "bfloat16" or "float16"; None takes bfloat16 on CUDA and float32
                elsewhere; "auto" takes bfloat16 also on a CPU that is built for it.
            batch_size: Texts a model call to begin with, >= 1; None takes 512 on CUDA and 64
                elsewhere.
            cache_size: Texts whose vectors are kept, >= 0.
            by_length: Whether a vector must depend on its text alone to the last digit: nothing is
                padded, only texts of one number of tokens share a call, or small calls are filled.

        Raises:
            ModelCallError: If there is no such folder, or the name is not in the local cache and
                may not be downloaded.
            ConfigError: If a size is out of range, or the number format is none of these.
        """
        if dtype is not None and dtype not in (AUTO, *DTYPES):
            known = ", ".join((AUTO, *DTYPES))
            raise ConfigError(f"dtype={dtype!r} is unknown: take one of {known}")
        folder = find_model(model, allow_download=allow_download)
        super().__init__(
            name or model_name(model, folder),
            batch_size=_BATCH_SIZE if batch_size is None else batch_size,
            cache_size=cache_size,
        )
        self._chooses_size = batch_size is None
        self._dtype = fast_dtype(device) if dtype == AUTO else dtype
        self._source = str(model) if folder is None else str(folder)
        self._local_only = folder is not None
        self._device = device
        self._by_length = by_length
        self._model: SentenceTransformer | None = None
        self._packed: PackedModel | None = None
        self._load_lock = Lock()
        self._cut_reported = False

    @property
    def batch_size(self) -> int:
        """Texts a model call; less than it was at first, if that did not fit the device."""
        return self._batch_size

    @property
    def dtype(self) -> str | None:
        """The number format that was asked for; None for what is usual on the device."""
        return self._dtype

    def _readable(self, text: str) -> str:
        tokens = self._loaded().max_seq_length
        if tokens is not None and len(text) > tokens * _CHARACTERS_PER_TOKEN:
            if not self._cut_reported:
                self._cut_reported = True
                logger.debug("%s reads %d tokens; longer texts are cut", self.name, tokens)
            text = text[: tokens * _CHARACTERS_PER_TOKEN]
        return _encodable(text)

    def _compute(self, texts: list[str]) -> object:
        model = self._loaded()
        try:
            if self._packed is not None:
                return self._packed.encode(
                    texts, batch_size=self._batch_size, is_filled=self._by_length
                )
            rows, self._batch_size = encode_fitting(
                model, texts, self._batch_size, by_length=self._by_length
            )
            return rows
        except Exception as error:
            raise self._failure(len(texts), error) from error

    def _loaded(self) -> "SentenceTransformer":
        with self._load_lock:
            if self._model is None:
                self._model = load_model(
                    self._source, self._device, local_only=self._local_only, dtype=self._dtype
                )
                if self._chooses_size and str(self._model.device).startswith("cuda"):
                    self._batch_size = _CUDA_BATCH_SIZE
                if self._batch_size > 1:
                    self._packed = PackedModel.of(self._model)
                logger.info("loaded the text encoder %s on %s", self.name, self._model.device)
            return self._model


class EmbeddingsEncoder(_CachedEncoder):
    """Any LangChain `Embeddings` as an encoder: unit rows, a cache, a checked width."""

    def __init__(
        self,
        embeddings: Embeddings,
        *,
        name: str | None = None,
        dim: int | None = None,
        batch_size: int = _BATCH_SIZE,
        cache_size: int = _CACHE_SIZE,
    ) -> None:
        """Wrap an `Embeddings` object.

        Args:
            embeddings: The object to call.
            name: What stores and controllers record; None takes its `model` or `model_name`
                attribute, or else its class name.
            dim: Width of its vectors; None finds out from the first ones.
            batch_size: Texts a call, >= 1.
            cache_size: Texts whose vectors are kept, >= 0.

        Raises:
            ConfigError: If a size is out of range.
        """
        super().__init__(
            name or _embeddings_name(embeddings),
            batch_size=batch_size,
            cache_size=cache_size,
            dim=dim,
        )
        self._embeddings = embeddings

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Like `embed_documents`, through the wrapped object's own async method."""
        keys = [self._readable(text) for text in texts]
        distinct = list(dict.fromkeys(keys))
        vectors = self._cache.find(distinct)
        missing = [key for key in distinct if key not in vectors]
        for start in range(0, len(missing), self._batch_size):
            batch = missing[start : start + self._batch_size]
            try:
                rows = await self._embeddings.aembed_documents(batch)
            except Exception as error:
                raise self._failure(len(batch), error) from error
            vectors |= self._remember(batch, rows)
        return [vectors[key].tolist() for key in keys]

    async def aembed_query(self, text: str) -> list[float]:
        """Like `embed_query`, through the wrapped object's own async method."""
        return (await self.aembed_documents([text]))[0]

    def _readable(self, text: str) -> str:
        # Hosted models refuse an empty string.
        return _encodable(text) or " "

    def _compute(self, texts: list[str]) -> object:
        rows: list[list[float]] = []
        for start in range(0, len(texts), self._batch_size):
            batch = texts[start : start + self._batch_size]
            try:
                rows += self._embeddings.embed_documents(batch)
            except Exception as error:
                raise self._failure(len(batch), error) from error
        return rows


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
    if isinstance(spec, _CachedEncoder | TextEncoder):
        return spec
    if isinstance(spec, Embeddings):
        return EmbeddingsEncoder(spec, batch_size=_BATCH_SIZE if batch_size is None else batch_size)
    raise ConfigError(
        f"encoder={spec!r} is not an encoder: pass None, a model name, a folder, "
        "a LangChain Embeddings object or a TextEncoder"
    )


def _embeddings_name(embeddings: Embeddings) -> str:
    # LangChain has no common attribute for it; these two are its integrations' habit.
    for attribute in ("model", "model_name"):
        value = getattr(embeddings, attribute, None)
        if isinstance(value, str) and value:
            return value
    return type(embeddings).__name__


def _encodable(text: str) -> str:
    """The text without lone surrogates, which no tokenizer takes."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("utf-8")
    return text
