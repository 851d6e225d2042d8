"""The retrieve node: for every span of the batch, the memories nearest to it (METHOD step 1)."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore

from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.namespaces import Namespace, NamespaceTemplate
from langgraph_memskill.nodes.base import Node, store_of
from langgraph_memskill.records import Memory, Span
from langgraph_memskill.state import AnsweringState, ConstructionState, Document, dump_all, load_all
from langgraph_memskill.stores.items import MemorySearch
from langgraph_memskill.writing.candidates import (
    NEIGHBOURS,
    Candidates,
    find_candidates,
    pieces_of,
)

DEFAULT_NAMESPACE = ("memories", "{user_id}")


class RetrieveNode(Node[ConstructionState]):
    """Reads `batch`, writes `retrieved`, `candidates` and `close`."""

    def __init__(
        self,
        encoder: TextEncoder,
        *,
        store: BaseStore | None = None,
        namespace: tuple[str, ...] = DEFAULT_NAMESPACE,
        top_k: int = 20,
        update_candidates: int = 0,
        candidate_similarity: float = 0.6,
    ) -> None:
        """Make the node.

        Args:
            encoder: Ranks the memories of a store that has no embedding index of its own.
            store: Where the memories are; None takes the graph's store.
            namespace: Template that is resolved from the run if the state has no `namespace`.
            top_k: Memories a span, >= 1.
            update_candidates: Further memories a span that are close to a single sentence, >= 0.
            candidate_similarity: Cosine from which they are, in [-1, 1].
        """
        self._encoder = encoder
        self._store = store
        self._template = NamespaceTemplate(namespace)
        self._top_k = top_k
        self._num_candidates = update_candidates
        self._similarity = candidate_similarity

    def __call__(self, state: ConstructionState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Find the memories of every span of the batch."""
        spans = load_all(Span, state["batch"])
        search = MemorySearch(store_of(self._store, runtime), self._encoder)
        namespace = namespace_of(state, self._template, runtime)
        found = search.search(namespace, [span.text for span in spans], self._top_k)
        pieces = self._pieces(spans, found)
        queries = self._queries(pieces, found)
        near = search.search(namespace, queries, NEIGHBOURS) if queries else []
        return _update(
            found, self._candidates(pieces, found, dict(zip(queries, near, strict=True)))
        )

    async def acall(self, state: ConstructionState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Like calling the node, without blocking the event loop."""
        spans = load_all(Span, state["batch"])
        search = MemorySearch(store_of(self._store, runtime), self._encoder)
        namespace = namespace_of(state, self._template, runtime)
        found = await search.asearch(namespace, [span.text for span in spans], self._top_k)
        pieces = self._pieces(spans, found)
        queries = self._queries(pieces, found)
        near = await search.asearch(namespace, queries, NEIGHBOURS) if queries else []
        by_query = dict(zip(queries, near, strict=True))
        chosen = await asyncio.to_thread(self._candidates, pieces, found, by_query)
        return _update(found, chosen)

    def _pieces(self, spans: Sequence[Span], found: Sequence[list[Memory]]) -> list[list[str]]:
        return [
            pieces_of(span) if self._num_candidates and memories else []
            for span, memories in zip(spans, found, strict=True)
        ]

    def _queries(self, pieces: list[list[str]], found: Sequence[list[Memory]]) -> list[str]:
        """The sentences to search for: none where the model sees all memories anyway."""
        rows = zip(pieces, found, strict=True)
        return list(dict.fromkeys(p for row, m in rows if len(m) >= self._top_k for p in row))

    def _candidates(
        self,
        pieces: list[list[str]],
        found: Sequence[list[Memory]],
        near: dict[str, list[Memory]],
    ) -> list[Candidates]:
        return [
            find_candidates(
                row,
                memories,
                [memory for piece in row for memory in near.get(piece, [])],
                self._encoder,
                most=self._num_candidates,
                similarity=self._similarity,
            )
            for row, memories in zip(pieces, found, strict=True)
        ]


def namespace_of(
    state: ConstructionState | AnsweringState,
    template: NamespaceTemplate,
    runtime: Runtime[Any],
) -> Namespace:
    """The namespace that the state names, or else the template filled in from the run.

    Raises:
        NamespaceError: As `NamespaceTemplate.of_run`.
    """
    episode = cast(Document, state).get("episode") or {}
    named = state.get("namespace") or episode.get("namespace")
    return template.of_run(named, runtime)


def _update(found: list[list[Memory]], candidates: list[Candidates]) -> dict[str, Any]:
    return {
        "retrieved": [dump_all(memories) for memories in found],
        "candidates": [dump_all(chosen.added) for chosen in candidates],
        "close": [chosen.close for chosen in candidates],
    }
