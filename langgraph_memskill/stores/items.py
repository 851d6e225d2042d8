"""Memories as items of any LangGraph store."""

import json
from collections.abc import Sequence
from dataclasses import replace

from langgraph.store.base import BaseStore, Item, PutOp, SearchItem, SearchOp

from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.errors import ConfigError
from langgraph_memskill.namespaces import Namespace
from langgraph_memskill.records import Memory
from langgraph_memskill.retrieval import rank
from langgraph_memskill.search.wanted import EVERYTHING, Wanted
from langgraph_memskill.state import Document, dump, load
from langgraph_memskill.stores.chroma import ChromaStore

TEXT_FIELD = "text"
"""The one field of an item that is embedded; give a store `index={"fields": ["text"], ...}`."""

_PAGE = 10_000
_EVERYTHING = 1_000_000
_NOT_IN_VALUE = ("id", "namespace", "content", "score")


def put_memory(memory: Memory) -> PutOp:
    """The store operation that writes a memory."""
    value: Document = {TEXT_FIELD: memory.content}
    value |= {k: v for k, v in dump(memory).items() if k not in _NOT_IN_VALUE}
    return PutOp(namespace=memory.namespace, key=memory.id, value=value)


def memory_of(item: Item) -> Memory:
    """Read a memory back from a store item.

    An item that something else wrote (LangMem, the application itself) is a memory without
    provenance: its text is the field `text`, or its whole value as JSON.
    """
    fields = dict(item.value)
    text = fields.pop(TEXT_FIELD, None)
    document: Document = {
        "created_at": item.created_at,
        "updated_at": item.updated_at,
        **(fields if "history" in fields else {}),
        "id": item.key,
        "namespace": item.namespace,
        "content": text if isinstance(text, str) else json.dumps(item.value, ensure_ascii=False),
    }
    memory = load(Memory, document)
    return replace(memory, score=item.score) if isinstance(item, SearchItem) else memory


def checked_query(query: str) -> str:
    """The query, if it has any text.

    Raises:
        ConfigError: If it is blank or not text.
    """
    if not isinstance(query, str) or not query.strip():
        raise ConfigError(f"the question {query!r} is empty: ask for something")
    return query


def read_items(store: BaseStore, prefix: Namespace) -> list[SearchItem]:
    """Read everything under a prefix, page by page, in the store's order.

    Listing is no use of an item: its time to live goes on.
    """
    items: list[SearchItem] = []
    while page := store.search(prefix, limit=_PAGE, offset=len(items), refresh_ttl=False):
        items += page
    return items


async def aread_items(store: BaseStore, prefix: Namespace) -> list[SearchItem]:
    """Like `read_items`, without blocking the event loop."""
    items: list[SearchItem] = []
    while page := await store.asearch(prefix, limit=_PAGE, offset=len(items), refresh_ttl=False):
        items += page
    return items


def refreshes_on_read(store: BaseStore) -> bool:
    """Whether reading an item gives it its time to live again, by the store's configuration."""
    return bool((store.ttl_config or {}).get("refresh_on_read", True))


class MemorySearch:
    """Finds the memories nearest to some queries in a store.

    A store with an embedding index does the search itself. For one without (a plain InMemoryStore),
    the namespace is read and ranked here, with the encoder's cached embeddings.
    """

    def __init__(self, store: BaseStore, encoder: TextEncoder) -> None:
        """Search `store`; `encoder` is used only where the store cannot rank by itself."""
        self._store = store
        self._encoder = encoder

    def search(
        self,
        namespace: Namespace,
        queries: Sequence[str],
        k: int,
        *,
        wanted: Wanted = EVERYTHING,
        refresh_ttl: bool | None = None,
    ) -> list[list[Memory]]:
        """Find the k nearest memories of each query, most similar first.

        Args:
            namespace: Whose memories; nothing outside of exactly this namespace is returned.
            queries: Texts; a blank one finds nothing.
            k: How many at most, >= 1.
            wanted: What the memories must be like.
            refresh_ttl: Whether being found gives a memory its time to live again; None leaves it
                to the store's configuration.

        Returns:
            One list a query, `score` set to the cosine similarity.
        """
        operations = self._operations(namespace, queries, k, wanted, refresh_ttl)
        found = self._store.batch(operations)
        if _unranked(found):
            return self._rank(self.read_all(namespace, wanted), queries, k)
        return self._collect(found, namespace, queries, k, wanted)

    async def asearch(
        self,
        namespace: Namespace,
        queries: Sequence[str],
        k: int,
        *,
        wanted: Wanted = EVERYTHING,
        refresh_ttl: bool | None = None,
    ) -> list[list[Memory]]:
        """Like `search`, without blocking the event loop."""
        operations = self._operations(namespace, queries, k, wanted, refresh_ttl)
        found = await self._store.abatch(operations)
        if not _unranked(found):
            return self._collect(found, namespace, queries, k, wanted)
        memories = await self.aread_all(namespace, wanted)
        # Filling the encoder's cache in its own thread makes the ranking below cheap.
        await self._encoder.aembed_documents([*queries, *(m.content for m in memories)])
        return self._rank(memories, queries, k)

    def read_all(self, namespace: Namespace, wanted: Wanted = EVERYTHING) -> list[Memory]:
        """Every memory of exactly this namespace that is wanted, in the store's order."""
        return _memories(read_items(self._store, namespace), namespace, wanted)

    async def aread_all(self, namespace: Namespace, wanted: Wanted = EVERYTHING) -> list[Memory]:
        """Like `read_all`, without blocking the event loop."""
        return _memories(await aread_items(self._store, namespace), namespace, wanted)

    def _operations(
        self,
        namespace: Namespace,
        queries: Sequence[str],
        k: int,
        wanted: Wanted,
        refresh_ttl: bool | None,
    ) -> list[SearchOp]:
        # Operations given to `batch` do not follow the store's configuration by themselves.
        refreshes = refreshes_on_read(self._store) if refresh_ttl is None else refresh_ttl
        # Only ChromaStore knows all filters; from others everything is ranked, and filtered here.
        knows_filters = isinstance(self._store, ChromaStore)
        limit = k if wanted.filter is None or knows_filters else _EVERYTHING
        return [
            SearchOp(
                namespace,
                query=query,
                limit=limit,
                filter=wanted.filter if knows_filters else None,
                refresh_ttl=refreshes,
            )
            for query in queries
            if query.strip()
        ]

    @staticmethod
    def _collect(
        found: Sequence[object],
        namespace: Namespace,
        queries: Sequence[str],
        k: int,
        wanted: Wanted,
    ) -> list[list[Memory]]:
        results = iter(found)
        return [
            _memories(next(results), namespace, wanted)[:k] if q.strip() else [] for q in queries
        ]

    def _rank(self, memories: list[Memory], queries: Sequence[str], k: int) -> list[list[Memory]]:
        rows = self._encoder.encode([memory.content for memory in memories])
        lists: list[list[Memory]] = []
        for query in queries:
            if not query.strip():
                lists.append([])
                continue
            ranking = rank(self._encoder.encode([query])[0], rows, k)
            lists.append(
                [
                    replace(memories[i], score=float(score))
                    for i, score in zip(ranking.indices, ranking.scores, strict=True)
                ]
            )
        return lists


def _memories(items: object, namespace: Namespace, wanted: Wanted) -> list[Memory]:
    found = items if isinstance(items, list) else []
    # A store searches by prefix; what lies deeper belongs to somebody else.
    return [
        memory_of(item)
        for item in found
        if tuple(item.namespace) == namespace and wanted.passes(item)
    ]


def _unranked(found: Sequence[object]) -> bool:
    scores = [item.score for items in found if isinstance(items, list) for item in items]
    return bool(scores) and all(score is None for score in scores)
