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
from langgraph_memskill.state import Document, dump, load

TEXT_FIELD = "text"
"""The one field of an item that is embedded; give a store `index={"fields": ["text"], ...}`."""

_PAGE = 1000
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


class MemorySearch:
    """Finds the memories nearest to some queries in a store.

    A store with an embedding index does the search itself. For one without (a plain InMemoryStore),
    the namespace is read and ranked here, with the encoder's cached embeddings.
    """

    def __init__(self, store: BaseStore, encoder: TextEncoder) -> None:
        """Search `store`; `encoder` is used only where the store cannot rank by itself."""
        self._store = store
        self._encoder = encoder

    def search(self, namespace: Namespace, queries: Sequence[str], k: int) -> list[list[Memory]]:
        """Find the k nearest memories of each query, most similar first.

        Args:
            namespace: Whose memories; nothing outside of exactly this namespace is returned.
            queries: Texts; a blank one finds nothing.
            k: How many at most, >= 1.

        Returns:
            One list a query, `score` set to the cosine similarity.
        """
        found = self._store.batch(self._operations(namespace, queries, k))
        if _unranked(found):
            return self._rank(self.read_all(namespace), queries, k)
        return self._collect(found, namespace, queries)

    async def asearch(
        self, namespace: Namespace, queries: Sequence[str], k: int
    ) -> list[list[Memory]]:
        """Like `search`, without blocking the event loop."""
        found = await self._store.abatch(self._operations(namespace, queries, k))
        if not _unranked(found):
            return self._collect(found, namespace, queries)
        memories = await self.aread_all(namespace)
        # Filling the encoder's cache in its own thread makes the ranking below cheap.
        await self._encoder.aembed_documents([*queries, *(m.content for m in memories)])
        return self._rank(memories, queries, k)

    def read_all(self, namespace: Namespace) -> list[Memory]:
        """Every memory of exactly this namespace, in the store's order."""
        return _memories(read_items(self._store, namespace), namespace)

    async def aread_all(self, namespace: Namespace) -> list[Memory]:
        """Like `read_all`, without blocking the event loop."""
        return _memories(await aread_items(self._store, namespace), namespace)

    def _operations(self, namespace: Namespace, queries: Sequence[str], k: int) -> list[SearchOp]:
        # Operations given to `batch` do not follow the store's configuration by themselves.
        refreshes = (self._store.ttl_config or {}).get("refresh_on_read", True)
        return [
            SearchOp(namespace, query=query, limit=k, refresh_ttl=refreshes)
            for query in queries
            if query.strip()
        ]

    @staticmethod
    def _collect(
        found: Sequence[object], namespace: Namespace, queries: Sequence[str]
    ) -> list[list[Memory]]:
        results = iter(found)
        return [_memories(next(results), namespace) if q.strip() else [] for q in queries]

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


def _memories(items: object, namespace: Namespace) -> list[Memory]:
    found = items if isinstance(items, list) else []
    # A store searches by prefix; what lies deeper belongs to somebody else.
    return [memory_of(item) for item in found if tuple(item.namespace) == namespace]


def _unranked(found: Sequence[object]) -> bool:
    scores = [item.score for items in found if isinstance(items, list) for item in items]
    return bool(scores) and all(score is None for score in scores)
