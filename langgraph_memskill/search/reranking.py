"""A cross-encoder that reads question and memory together."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from langgraph_memskill.errors import ModelCallError
from langgraph_memskill.sentence_models import find_model

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder


class Reranker:
    """Orders texts by what a sentence-transformers cross-encoder says of them and a query.

    The model is loaded at the first use, from a folder or the local hub cache, never from the
    network; only safetensors weights are read.
    """

    def __init__(self, model: str | Path) -> None:
        """Name a model.

        Args:
            model: A local folder, or a hub name that is in the local cache.
        """
        self._name = model
        self._model: CrossEncoder | None = None
        self._lock = Lock()

    def order(self, query: str, texts: Sequence[str]) -> list[int]:
        """Rank texts.

        Returns:
            Positions in `texts`, best first; equal ones keep their order.

        Raises:
            ModelCallError: If the model cannot be found, loaded or called.
        """
        if not texts:
            return []
        model = self._loaded()
        try:
            with self._lock:
                scores = model.predict([(query, text) for text in texts], show_progress_bar=False)
        except Exception as error:
            raise ModelCallError(f"the reranker {str(self._name)!r} failed: {error}") from error
        values = np.asarray(scores, dtype=np.float64)
        if values.shape != (len(texts),):
            raise ModelCallError(
                f"the reranker {str(self._name)!r} gave an array of shape {values.shape} for "
                f"{len(texts)} texts: use a cross-encoder with one output"
            )
        return [int(position) for position in np.argsort(-values, kind="stable")]

    def _loaded(self) -> "CrossEncoder":
        with self._lock:
            if self._model is None:
                self._model = _load(self._name)
            return self._model


@lru_cache(maxsize=4)
def reranker_of(model: str | Path) -> Reranker:
    """The one reranker of this process for a model."""
    return Reranker(model)


def _load(name: str | Path) -> "CrossEncoder":
    from sentence_transformers import CrossEncoder

    try:
        folder = find_model(name)
    except ModelCallError as error:
        raise ModelCallError(
            f"the reranker {str(name)!r} is neither a folder nor in the local Hugging Face cache: "
            f"give a folder, or put it into the cache with `hf download {name}`"
        ) from error
    try:
        model: CrossEncoder = CrossEncoder(
            str(folder), local_files_only=True, model_kwargs={"use_safetensors": True}
        )
    except Exception as error:
        raise ModelCallError(
            f"the reranker {str(name)!r} could not be loaded: {error}. Give the folder of a "
            "sentence-transformers cross-encoder with safetensors weights, or reranker=None"
        ) from error
    return model
