"""Embedding on a CPU without padding: the tokens of many texts go through a model in one row.

Everything in a BERT model but its attention looks at each token alone. So texts of all lengths can
share the large matrix products, which is what a CPU is good at, and only attention goes from text
to text. For sentences that is twice as fast as padded batches.
"""

import logging
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

_ATTENTION = "memskill_packed"
_MOST_TOKENS = 2048
"""Tokens a model call, more only for one text that is longer; with more the caches overflow."""
_LEAST_TOKENS = {"float32": 256, "bfloat16": 512}
"""Tokens a call, by number format, from which the last digits do not depend on how many there are,
nor on threads (seen with MKL and oneDNN): products of fewer rows are split otherwise."""
_ALIKE = {"float32": 1e-4, "bfloat16": 1e-2}
"""How far the numbers of a packed and of a padded call may be apart, by number format."""
_TRIED = ("Ann moved to Bergen in May.", "  The soup is COLD again, \n and nobody knows why. ", "")

# Shapes: T tokens of a pack, D model width, n texts of one length L.


class _Run(NamedTuple):
    """Texts of one length, side by side in a pack."""

    texts: int
    length: int


class PackedModel:
    """A sentence-transformers model that embeds without padding."""

    def __init__(self, model: "SentenceTransformer") -> None:
        """Use `of`, which finds out whether the model can."""
        self._model = model
        self._bert: Any = model[0].auto_model

    @classmethod
    def of(cls, model: "SentenceTransformer") -> "PackedModel | None":
        """The model, if it is one that can be packed: BERT on a CPU, without a prompt.

        Whether it can is also tried out, once: libraries change.

        Args:
            model: What `load_model` gave.

        Returns:
            None if the model has to be called in the usual way.
        """
        if not _is_bert_on_cpu(model):
            return None
        try:
            _register_attention()
            packed = cls(model)
            usual = model.encode(list(_TRIED), show_progress_bar=False)
            found = packed.encode(_TRIED, batch_size=len(_TRIED))
            if np.allclose(found, usual, atol=_ALIKE[_format_of(model)]):
                return packed
            logger.debug("texts that are packed for %s give other vectors", model)
        except Exception:
            logger.debug("texts cannot be packed for %s", model, exc_info=True)
        return None

    def encode(
        self, texts: Sequence[str], *, batch_size: int, is_filled: bool = False
    ) -> NDArray[np.float32]:
        """Embed texts.

        Args:
            texts: At least one.
            batch_size: Texts a model call at most, >= 1.
            is_filled: Whether short calls are filled up with tokens that nobody looks at. Matrix
                products of few rows are rounded differently, by their number of rows and the number
                of threads.

        Returns:
            float32 [len(texts), D].
        """
        import torch

        tokens = self._tokens(texts)
        least = _LEAST_TOKENS[_format_of(self._model)] if is_filled else 0
        order = sorted(range(len(texts)), key=lambda place: len(tokens[place]))
        rows = []
        before = self._bert.config._attn_implementation
        self._bert.set_attn_implementation(_ATTENTION)
        try:
            with torch.inference_mode():
                for places in _packs(order, tokens, batch_size):
                    rows.append(self._call([tokens[place] for place in places], least))
        finally:
            self._bert.set_attn_implementation(before)
        found: NDArray[np.float32] = np.concatenate(rows)[np.argsort(order)]
        return found

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        stripped = [text.strip() for text in texts]  # as sentence-transformers does
        encoded = self._model.tokenizer(
            stripped, truncation=True, max_length=self._model.max_seq_length
        )
        ids: list[list[int]] = encoded["input_ids"]
        return ids

    def _call(self, tokens: list[list[int]], least: int) -> NDArray[np.float32]:
        """Embed texts in one call; they come sorted by length."""
        import torch

        runs = [_Run(len(list(same)), length) for length, same in groupby(map(len, tokens))]
        ids = [token for text in tokens for token in text]
        positions = [position for text in tokens for position in range(len(text))]
        filling = max(0, least - len(ids))
        hidden_TD: torch.Tensor = self._bert(
            input_ids=torch.tensor([ids + [0] * filling]),
            position_ids=torch.tensor([positions + [0] * filling]),
            packed_runs=[*runs, _Run(1, filling)] if filling else runs,
        ).last_hidden_state[0]
        rows, start = [], 0
        for texts, length in runs:
            stop = start + texts * length
            rows.append(self._sentences(hidden_TD[start:stop].view(texts, length, -1)))
            start = stop
        return torch.cat(rows).numpy()

    def _sentences(self, hidden_nLD: "torch.Tensor") -> "torch.Tensor":
        import torch

        features: dict[str, Any] = {
            "token_embeddings": hidden_nLD.float(),
            "attention_mask": torch.ones(hidden_nLD.shape[:2], dtype=torch.long),
        }
        for module in list(self._model)[1:]:
            features = module(features)
        found: torch.Tensor = features["sentence_embedding"]
        return found


def _is_bert_on_cpu(model: Any) -> bool:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        return False
    if not isinstance(model, SentenceTransformer) or model.device.type != "cpu":
        return False
    bert: Any = getattr(model[0], "auto_model", None)
    return (
        bert is not None
        and getattr(bert.config, "model_type", None) == "bert"
        and _format_of(model) in _ALIKE
        and model.max_seq_length is not None
        and not model.default_prompt_name
        and not getattr(model[0], "do_lower_case", False)
    )


def _format_of(model: Any) -> str:
    return str(model[0].auto_model.dtype).removeprefix("torch.")


def _packs(
    order: Sequence[int], tokens: Sequence[list[int]], batch_size: int
) -> Iterator[list[int]]:
    """Split texts that are sorted by length into those of one call each."""
    pack: list[int] = []
    size = 0
    for place in order:
        length = len(tokens[place])
        if pack and (size + length > _MOST_TOKENS or len(pack) == batch_size):
            yield pack
            pack, size = [], 0
        pack.append(place)
        size += length
    yield pack


def _register_attention() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(_ATTENTION, _attend)
    AttentionMaskInterface.register(_ATTENTION, sdpa_mask)


def _attend(
    module: "torch.nn.Module",
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    attention_mask: "torch.Tensor | None",
    *,
    packed_runs: Sequence[_Run],
    scaling: float | None = None,
    **options: Any,
) -> "tuple[torch.Tensor, None]":
    """Attention of each text of a pack to itself.

    Shapes: query, key and value [1, heads, T, width of a head]; the result [1, T, heads, width].
    """
    import torch

    _, heads, _, width = query.shape
    found, start = [], 0
    for texts, length in packed_runs:
        stop = start + texts * length
        own_query, own_key, own_value = (
            part[0, :, start:stop].reshape(heads, texts, length, width).transpose(0, 1)
            for part in (query, key, value)
        )
        seen = torch.nn.functional.scaled_dot_product_attention(
            own_query, own_key, own_value, scale=scaling
        )
        found.append(seen.transpose(1, 2).reshape(texts * length, heads, width))
        start = stop
    return torch.cat(found)[None], None
