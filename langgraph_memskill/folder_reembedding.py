"""A memory folder from one embedding model to another, while it stays in use."""

import asyncio
from dataclasses import replace
from pathlib import Path

from langchain_core.embeddings import Embeddings

from langgraph_memskill.embedding import TextEncoder, load_encoder
from langgraph_memskill.errors import CheckpointError, StoreError
from langgraph_memskill.memory_folder import MemoryFolder, store_index
from langgraph_memskill.memory_places import is_postgres
from langgraph_memskill.stores.reembedding import ProgressCallback, ReembedReport, reembed


def reembed_folder(
    folder: str | Path,
    encoder: str | Path | Embeddings | TextEncoder | None,
    *,
    force: bool = False,
    on_progress: ProgressCallback | None = None,
) -> ReembedReport:
    """Embed all memories of a folder with another model, and open it with that one from then on.

    Others may recall and remember meanwhile, with the former model; nothing that they write is
    lost. At the switch, all vectors are there; a memory that is still open with the former model
    raises EmbeddingMismatchError from then on, writes nothing and loses nothing: open it again with
    the new model. Broken off anywhere (killed, too), the folder is as before, and the same call
    goes on where it was.

    Args:
        folder: The memory's folder.
        encoder: The new model, as in `MemSkillMemory.open`.
        force: Embed anew even if the folder has this model already, because the model has changed
            under its name.
        on_progress: Called after each batch of texts.

    Returns:
        What was done.

    Raises:
        StoreError: If there is no memory in the folder, or it cannot be read or written.
        CheckpointError: If the folder's controller does not fit the new model; nothing is changed.
        ModelCallError: If the new model cannot be loaded or called.
    """
    paths = MemoryFolder(Path(folder))
    if not paths.settings.is_file():
        raise StoreError(f"there is no memory in the folder {str(paths.root)!r}: name another one")
    place = paths.read_settings().store
    if place is not None and is_postgres(place):
        raise StoreError(
            f"the memories at {place} cannot be embedded anew in their place: export them, and "
            "import them into a new folder with the new encoder and another database"
        )
    text_encoder = load_encoder(encoder)
    _check_controller(paths, text_encoder)
    report = reembed(
        paths.chroma if place is None else place,
        index=store_index(text_encoder),
        embedding_name=text_encoder.name,
        force=force,
        on_progress=on_progress,
    )
    # A run that was killed right here finds the store done, and does only this.
    present = paths.read_settings()
    paths.write_settings(replace(present, encoder=text_encoder.name, dims=text_encoder.dim))
    return report


async def areembed_folder(
    folder: str | Path,
    encoder: str | Path | Embeddings | TextEncoder | None,
    *,
    force: bool = False,
    on_progress: ProgressCallback | None = None,
) -> ReembedReport:
    """Like `reembed_folder`, in a thread."""
    return await asyncio.to_thread(
        reembed_folder, folder, encoder, force=force, on_progress=on_progress
    )


def _check_controller(paths: MemoryFolder, encoder: TextEncoder) -> None:
    try:
        paths.load_selector(encoder)
    except CheckpointError as error:
        raise CheckpointError(
            f"the memories cannot be embedded with {encoder.name!r} ({encoder.dim} dimensions) as "
            f"long as the folder has a controller that does not fit: {error}. Move "
            f"{str(paths.controller)!r} away (skills are then chosen by similarity), or train one "
            "for the new model. Nothing was changed"
        ) from error
