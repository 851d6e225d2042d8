"""What the local Hugging Face cache holds; nothing here touches the network."""

from pathlib import Path

from langgraph_memskill.errors import ModelCallError


def cached_snapshot(name: str) -> Path | None:
    """The folder in the local cache of a model on the Hugging Face hub.

    Args:
        name: Its name, such as "Qwen/Qwen3-0.6B".

    Returns:
        The folder of its newest cached revision; None if the cache has none.

    Raises:
        ModelCallError: If no model can have this name.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    except HFValidationError as error:
        raise ModelCallError(
            f"{name!r} is neither a folder nor a possible model name: {error}"
        ) from error
