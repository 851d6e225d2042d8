"""Embedding a whole store anew, with another model or other fields, while it stays in use.

The vectors of the next *generation* go into collections of their own, namespace by namespace and
batch by batch. Until the switch everybody reads and writes the present generation only, as always;
a record of the next one counts as done while it has the same revision as the item. So a run can be
broken off anywhere, and the next one does what is missing; and what others write meanwhile shows as
missing. The last look and the switch, one record in the catalog, happen in one session, in which
nobody else can write. Then the former collections are dropped.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from langgraph.store.base import IndexConfig

from langgraph_memskill.errors import ConfigError
from langgraph_memskill.stores.indexing import Indexer
from langgraph_memskill.stores.opening import DEFAULT_PREFIX, connect

if TYPE_CHECKING:
    from chromadb.api import ClientAPI

_BATCH_ITEMS = 32


class ReembedProgress(NamedTuple):
    """How far a re-embedding is."""

    num_done: int
    """Items embedded by this run; above `num_items` if others write meanwhile."""
    num_items: int
    """Items that were to be embedded when this run began."""
    namespace: tuple[str, ...]
    """The namespace at work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReembedReport:
    """What a re-embedding did."""

    was_needed: bool
    """False if the store has no vectors, or the model and width that it was to get."""
    num_items: int
    """Items embedded by this run."""
    num_reused: int
    """Items that a run that was broken off had embedded."""
    num_namespaces: int
    """Namespaces that were looked at."""
    generation: int
    """The generation of vectors now in use."""


ProgressCallback = Callable[[ReembedProgress], None]


def reembed(
    location: str | Path | None = None,
    *,
    index: IndexConfig,
    embedding_name: str | None = None,
    client: "ClientAPI | None" = None,
    prefix: str = DEFAULT_PREFIX,
    headers: Mapping[str, str] | None = None,
    tenant: str | None = None,
    database: str | None = None,
    timeout_s: float = 60.0,
    batch_items: int = _BATCH_ITEMS,
    force: bool = False,
    on_progress: ProgressCallback | None = None,
) -> ReembedReport:
    """Embed all items of a ChromaStore anew, while it stays in use.

    Others may read and write meanwhile, with the former embedding model, in this process and in
    others; nothing is lost. After the switch, a store that is still open with the former model
    raises EmbeddingMismatchError on queries and indexed puts. Broken off anywhere, the store is as
    before, and a call with the same index goes on. On a Chroma server no other process should
    write at the moment of the switch: a write that it has under way may be lost.

    Items without vectors stay without. Items whose last put named its fields keep these fields;
    all others take those of `index`. What has expired is left out.

    Args:
        location: The folder or URL of the store.
        index: LangGraph's index configuration of the new vectors.
        embedding_name: Name of the new embedding model, as in ChromaStore.
        client: A Chroma client, instead of a location.
        prefix: The prefix of the store.
        headers: HTTP headers for a server.
        tenant: Tenant on a server.
        database: Database on a server.
        timeout_s: How long to wait for any answer of a server, in seconds.
        batch_items: How many items to embed and write at once.
        force: Embed anew even if the store has this model and width already, because the model has
            changed under its name, or for other fields.
        on_progress: Called after each batch, but not for what is embedded while others wait,
            because they never stopped writing. What it raises breaks the run off.

    Returns:
        What was done.

    Raises:
        ConfigError: If an argument is unusable.
        EmbeddingMismatchError: If the model gives vectors that do not fit `index`.
        StoreError: If the place cannot be opened, read or written.
    """
    if batch_items < 1:
        raise ConfigError(f"batch_items is {batch_items!r}: give 1 or more")
    if location is None and client is None:
        raise ConfigError("there is nothing to embed anew: give a location or a client")
    indexer = Indexer(index, name=embedding_name)
    connection = connect(
        location,
        client=client,
        headers=headers,
        tenant=tenant,
        database=database,
        timeout_s=timeout_s,
    )
    try:
        # Here, so that importing the package does not load Chroma.
        from langgraph_memskill.stores.generations import Reembedding

        return Reembedding(connection, prefix, indexer, batch_items, on_progress).run(force=force)
    finally:
        connection.release()


async def areembed(
    location: str | Path | None = None,
    *,
    index: IndexConfig,
    embedding_name: str | None = None,
    client: "ClientAPI | None" = None,
    prefix: str = DEFAULT_PREFIX,
    headers: Mapping[str, str] | None = None,
    tenant: str | None = None,
    database: str | None = None,
    timeout_s: float = 60.0,
    batch_items: int = _BATCH_ITEMS,
    force: bool = False,
    on_progress: ProgressCallback | None = None,
) -> ReembedReport:
    """Embed anew like `reembed`, in a thread, with the model's methods that are not async."""
    work = partial(
        reembed,
        location,
        index=index,
        embedding_name=embedding_name,
        client=client,
        prefix=prefix,
        headers=headers,
        tenant=tenant,
        database=database,
        timeout_s=timeout_s,
        batch_items=batch_items,
        force=force,
        on_progress=on_progress,
    )
    return await asyncio.to_thread(work)
