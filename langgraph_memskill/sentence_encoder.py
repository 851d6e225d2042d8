"""Sentence-transformers models as text encoders."""

import logging
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from langgraph_memskill.cached_encoder import BATCH_SIZE, CACHE_SIZE, CachedEncoder, encodable
from langgraph_memskill.errors import ConfigError
from langgraph_memskill.packed_encoding import PackedModel
from langgraph_memskill.sentence_models import (
    AUTO,
    DTYPES,
    encode_fitting,
    fast_dtype,
    find_model,
    load_model,
    model_name,
)

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

_CUDA_BATCH_SIZE = 512
"""To begin with; it is halved until it fits."""
_CHARACTERS_PER_TOKEN = 32


class SentenceEncoder(CachedEncoder):
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
        cache_size: int = CACHE_SIZE,
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
            batch_size=BATCH_SIZE if batch_size is None else batch_size,
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
        return encodable(text)

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
