"""A LangGraph store on Chroma."""

import asyncio
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from langchain_core.embeddings import Embeddings
from langgraph.store.base import BaseStore, IndexConfig, Result, TTLConfig

from langgraph_memskill.closing import Closing
from langgraph_memskill.errors import StoreError
from langgraph_memskill.stores.conditional import ConditionalWrites, PutIfOp, StoreOp
from langgraph_memskill.stores.indexing import Indexer, Vectors
from langgraph_memskill.stores.opening import DEFAULT_PREFIX, connect
from langgraph_memskill.stores.ttl import Sweeper, TtlSweeping, check_config
from langgraph_memskill.stores.upkeep import StoreUpkeep

if TYPE_CHECKING:
    from chromadb.api import ClientAPI

    from langgraph_memskill.stores.batches import Executor, Plan

# So many items are swept before others get their turn.
_ITEMS_A_SWEEP = 200


class ChromaStore(TtlSweeping, ConditionalWrites, StoreUpkeep, Closing, BaseStore):
    """LangGraph's store contract on Chroma: in memory, in a folder, or on a server.

    It behaves as `InMemoryStore` on any sequence of operations, but for these points:

    - Reading or deleting in a namespace that does not exist does not create it.
    - A namespace without items is not listed.
    - `created_at` survives an overwrite, as in PostgresStore.
    - An overwritten item is found by its new texts only; after `index=False` by none.
    - One text may stand in several items, or several times in one item, of a batch.
    - A query or item whose vector is zero scores 0.0, never NaN.
    - Values come back as fresh copies, as JSON has them: tuples are lists. What JSON cannot hold is
      refused with a StoreError before anything of the batch is written.
    - Labels are checked also in operations given to `batch`, and keys must be texts.

    - A filter also knows `$in`, `$nin`, `$exists`, `$not`, `$and`, `$or`, and, in the place of a
      field, `$and`, `$or`, `$not`, `$created_at` and `$updated_at` (see stores/filters.py): as in
      `{"$or": [{"kind": {"$in": ["a", "b"]}}, {"$created_at": {"$gte": "2026-01-31"}}]}`. A filter
      that cannot be understood is refused even if there is nothing to filter.

    Times to live are those of LangGraph: minutes, from the last put or (unless `refresh_ttl` or
    "refresh_on_read" is false) the last get or search that returned the item. What has expired is
    never returned or listed, whatever "omit_expired" says, which is stricter than PostgresStore; a
    put over it makes a new item. `sweep_ttl` deletes it from the place; LangGraph's server does not
    call it for custom stores, so `start_ttl_sweeper` has a thread of its own. Reads of items that
    live for ever cost nothing more.

    `put_if` and `delete_if` write only over a known revision (see ConditionalWrites).

    Each item is written whole or not at all, whatever breaks. A batch is carried out at once for
    other threads and tasks of this process; other processes may see parts of it on their way.
    A comparison filter ($gt, $gte, $lt, $lte) reads every item under the prefix, because it must
    report a value that it cannot compare; other filters read only as far as needed.

    Every namespace has collections of its own, so a search costs about what a bare Chroma query
    costs, however many other namespaces there are. A namespace in use takes about 2.7 MB of memory.
    A folder may be opened several times and by several processes, which take turns batch by batch;
    other programs must not open it with Chroma clients of their own at the same time, which is
    noticed at the next call and an error.

    Example:
        ```python
        store = ChromaStore("dir", index={"dims": 384, "embed": embed, "fields": ["text"]})
        store.put(("users", "ann"), "pet", {"text": "Ann has a cat."})
        store.search(("users",), query="animals")
        ```
    """

    __slots__ = (
        "_catalog",
        "_clock",
        "_connection",
        "_finalizer",
        "_fingerprint",
        "_indexer",
        "_sweeper",
        "index_config",
        "ttl_config",
    )

    supports_ttl = True
    ttl_config: TTLConfig | None

    def __init__(
        self,
        location: str | Path | None = None,
        *,
        client: "ClientAPI | None" = None,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
        embedding_name: str | None = None,
        prefix: str = DEFAULT_PREFIX,
        headers: Mapping[str, str] | None = None,
        tenant: str | None = None,
        database: str | None = None,
        timeout_s: float = 60.0,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """Open a store, making it if it does not exist.

        Args:
            location: A folder, or the URL of a Chroma server; None keeps everything in memory.
            client: A synchronous Chroma client to use instead; it stays its owner's to close.
            index: LangGraph's index configuration: "dims", "embed" and perhaps "fields". "embed" is
                a LangChain Embeddings object, a function from texts to vectors, sync or async, or a
                name such as "openai:text-embedding-3-small". Without it a new store has no vector
                search; a store that has vectors can then be read and deleted from, but putting
                something that would have to be indexed, or searching with a query, is an error.
            ttl: LangGraph's TTL configuration, all of it optional: "default_ttl" of `put` in
                minutes, "refresh_on_read", "sweep_interval_minutes" of `start_ttl_sweeper`.
            embedding_name: Name of the embedding model, noted in the store and compared whenever it
                is opened; None takes the `name`, `model_name` or `model` of the "embed" object.
            prefix: Start of the names of our collections; two stores in one place need two.
            headers: HTTP headers for a server, such as its token.
            tenant: Tenant on a server; None is Chroma's default.
            database: Database on a server; None is Chroma's default.
            timeout_s: How long to wait for any answer of a server, in seconds.
            clock: Tells the time, in ns since 1970; for tests.

        Raises:
            ConfigError: If the arguments contradict each other or `index` is incomplete.
            EmbeddingMismatchError: If the store was made with another embedding model or width.
            StoreError: If the place cannot be opened, or a newer version of this package made it.
        """
        super().__init__()
        self.ttl_config = check_config(ttl)
        self._clock = clock
        self._sweeper = Sweeper(self.sweep_ttl)
        self._indexer = Indexer(index, name=embedding_name) if index is not None else None
        self.index_config = index.copy() if index is not None else None
        connection = connect(
            location,
            client=client,
            headers=headers,
            tenant=tenant,
            database=database,
            timeout_s=timeout_s,
        )
        # Here, so that importing the package does not load Chroma.
        from langgraph_memskill.stores.catalog import Catalog

        self._connection = connection
        self._finalizer = weakref.finalize(self, connection.release)
        try:
            with connection.session(write=True):
                self._catalog = Catalog.of(connection, prefix)
                self._fingerprint = self._catalog.agree(self._indexer)
        except BaseException:
            self.close()
            raise

    @property
    def embeddings(self) -> Embeddings | None:
        """The embedding model in use; None without an index."""
        return self._indexer.embeddings if self._indexer else None

    def batch(self, ops: Iterable[StoreOp]) -> list[Result]:
        """Carry out operations together; reads see the state before the batch's writes.

        Args:
            ops: Operations of LangGraph's store interface, and `PutIfOp`.

        Returns:
            One result an operation, in order; None for a put or delete.

        Raises:
            InvalidNamespaceError: If a namespace label is unusable.
            StoreError: If a value cannot be stored, or the place cannot be read or written.
            ConflictError: If the condition of a `PutIfOp` does not hold; nothing was written.
            ConfigError: If a time to live or an expected time is unusable.
            ValueError: If a filter or an operation is not understood.
            EmbeddingMismatchError: If the embedding model gives vectors that do not fit.
        """
        plan = self._plan(list(ops))
        documents, queries = (
            self._indexer.embed(plan.texts, plan.queries) if self._indexer else _NONE
        )
        return self._run(plan, documents, queries)

    async def abatch(self, ops: Iterable[StoreOp]) -> list[Result]:
        """Carry out operations like `batch`, without blocking the event loop.

        The embedding model's async methods are awaited; Chroma works in a thread. If the task is
        cancelled while Chroma works, the batch is still carried out.
        """
        plan = await asyncio.to_thread(self._plan, list(ops))
        documents, queries = (
            await self._indexer.aembed(plan.texts, plan.queries) if self._indexer else _NONE
        )
        return await asyncio.to_thread(self._run, plan, documents, queries)

    def sweep_ttl(self) -> int:
        """Delete what has expired; other threads and processes get their turn in between.

        Where nobody else can write (in memory, in a folder while no other process uses it), a sweep
        knows when the next item expires, and until then costs next to nothing. Elsewhere it
        asks each namespace that ever had an item with a time to live.

        Returns:
            How many items were deleted.
        """
        total = 0
        with self._connection.session(write=False):
            due = self._executor().due()
        for namespace in due:
            has_more = True
            while has_more:
                with self._connection.session(write=True):
                    num_swept, has_more = self._executor().sweep(namespace, _ITEMS_A_SWEEP)
                total += num_swept
        return total

    def close(self) -> None:
        """Let go of the place; the store cannot be used any more. Closing twice is no error."""
        self.stop_ttl_sweeper()
        self._finalizer()

    def __repr__(self) -> str:
        dims = self._indexer.dims if self._indexer else None
        return f"ChromaStore(in {self._connection.place}, dims={dims})"

    def _plan(self, ops: list[StoreOp]) -> "Plan":
        from langgraph_memskill.stores.batches import make_plan

        plan = make_plan(ops, self._indexer)
        if self._indexer is None and self._fingerprint.dims is not None:
            self._refuse_blind_use(ops)
        return plan

    def _refuse_blind_use(self, ops: list[StoreOp]) -> None:
        """Refuse what would silently lose searchability in a store that has vectors."""
        from langgraph.store.base import PutOp, SearchOp

        for given in ops:
            op = given.op if isinstance(given, PutIfOp) else given
            is_put = isinstance(op, PutOp) and op.value is not None and op.index is not False
            if is_put or (isinstance(op, SearchOp) and op.query):
                raise StoreError(
                    f"{self._connection.place} holds vectors ({self._fingerprint.dims} numbers, "
                    f"embedding model {self._fingerprint.embedding_name!r}) but was opened without "
                    "index=: open it with its embedding model to search by query or to put items "
                    "(put with index=False works)"
                )

    def _run(self, plan: "Plan", documents: Vectors, queries: Vectors) -> list[Result]:
        with self._connection.session(write=bool(plan.puts)):
            measured = self._indexer.is_normalised if self._indexer and documents else None
            return self._executor().run(plan, documents, queries, is_normalised=measured)

    def _executor(self) -> "Executor":
        from langgraph_memskill.stores.batches import Executor

        return Executor(self._catalog, self._clock(), self._fingerprint.generation)


_NONE: tuple[Vectors, Vectors] = ({}, {})
"""No vectors of documents and none of queries."""
