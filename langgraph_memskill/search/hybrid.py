"""Finds memories by meaning and by words."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from langgraph.store.base import BaseStore, GetOp, Item, Result

from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.namespaces import Namespace
from langgraph_memskill.records import Memory
from langgraph_memskill.search.fusion import Neighbours, best_first, fuse, spread
from langgraph_memskill.search.lexical import LexicalIndexes, Look
from langgraph_memskill.search.lexical_rows import index_text
from langgraph_memskill.search.reranking import reranker_of
from langgraph_memskill.search.settings import SearchMode, SearchSettings
from langgraph_memskill.search.times import by_time
from langgraph_memskill.search.wanted import EVERYTHING, Wanted
from langgraph_memskill.stores.changes import ChangeLog
from langgraph_memskill.stores.items import MemorySearch, memory_of, refreshes_on_read

_NEIGHBOUR_WEIGHT = 0.5
"""What a neighbour's score counts beside a memory's own."""
_EVERY_MATCH = 100_000
"""Memories that the words contribute where a filter may refuse any number of them."""


@dataclass(slots=True, kw_only=True)
class _Run:
    """One search on its way."""

    namespace: Namespace
    query: str
    k: int
    wanted: Wanted
    settings: SearchSettings
    found: dict[str, Memory] = field(default_factory=dict)
    """What was read from the store and may be returned, by id."""
    refused: set[str] = field(default_factory=set)
    gone: list[str] = field(default_factory=list)
    rankings: list[list[str]] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    """Ids, best first."""
    known: dict[str, str] = field(default_factory=dict)
    """What the index has as the texts of the memories, by id."""

    @property
    def by_meaning(self) -> bool:
        return self.settings.mode is not SearchMode.LEXICAL

    @property
    def by_words(self) -> bool:
        return self.settings.mode is not SearchMode.DENSE

    @property
    def uses_index(self) -> bool:
        return self.by_words or self.settings.neighbours

    @property
    def num_chosen(self) -> int:
        """Memories that are chosen before the reranker has its say."""
        is_reranked = self.settings.reranker is not None
        return max(self.k, self.settings.rerank_depth) if is_reranked else self.k

    @property
    def depth(self) -> int:
        return max(self.settings.depth, self.num_chosen) if self.num_rankings > 1 else self.k

    @property
    def num_rankings(self) -> int:
        times = self.settings.time_weight > 0 or self.settings.reranker is not None
        return self.by_meaning + self.by_words + self.settings.neighbours + times

    @property
    def num_matches(self) -> int:
        return self.depth if self.wanted.filter is None else _EVERY_MATCH

    def to_read(self) -> list[str]:
        """The ids that must be read from the store before the choice is certain."""
        most = len(self.order) if self.settings.time_weight else self.num_chosen
        ahead = [key for key in self.order if key not in self.refused][:most]
        return [key for key in ahead if key not in self.found]

    def take(self, ids: Sequence[str], items: Iterable[Result]) -> None:
        """Take what was read."""
        for key, item in zip(ids, items, strict=True):
            if isinstance(item, Item) and self.wanted.passes(item):
                self.found[key] = memory_of(item)
            else:
                self.refused.add(key)
                if item is None:
                    self.gone.append(key)

    def result(self) -> list[Memory]:
        """The memories, best first."""
        order = [key for key in self.order if key in self.found]
        if self.settings.time_weight:
            times = by_time(self.query, [self.found[key] for key in order])
            weights = [1.0] * len(self.rankings) + [self.settings.time_weight]
            order = [key for key in fuse([*self.rankings, times], weights) if key in self.found]
        chosen = [self.found[key] for key in order[: self.num_chosen]]
        if self.settings.reranker is not None:
            texts = [memory.content for memory in chosen]
            places = reranker_of(self.settings.reranker).order(self.query, texts)
            chosen = [chosen[place] for place in places]
        return chosen[: self.k]


class HybridSearch:
    """Searches the memories of a store as some `SearchSettings` say.

    The rankings by meaning come from the store, those by words from the lexical indexes, which are
    brought up to date first. What the words find is read from the store, so nothing deleted or
    expired is found.
    """

    def __init__(
        self,
        store: BaseStore,
        encoder: TextEncoder,
        settings: SearchSettings,
        *,
        log: ChangeLog | None = None,
    ) -> None:
        """Make a search.

        Args:
            store: Any LangGraph store.
            encoder: Ranks by meaning where the store cannot.
            settings: What a search does unless it is told otherwise.
            log: The store's change log; None takes the one that this process keeps for the store.
        """
        self._store = store
        self._settings = settings
        self._dense = MemorySearch(store, encoder)
        self._log = ChangeLog.beside(store) if log is None else log
        self._indexes = LexicalIndexes.beside(self._log)

    def search(
        self,
        namespace: Namespace,
        query: str,
        k: int,
        *,
        wanted: Wanted = EVERYTHING,
        settings: SearchSettings | None = None,
    ) -> list[Memory]:
        """Find the best k memories.

        Args:
            namespace: Whose; nothing outside of exactly this namespace is returned.
            query: What is asked for; not blank.
            k: How many at most, >= 1.
            wanted: What they must be like.
            settings: How to search; None takes the search's own settings.

        Returns:
            Memories, best first. `score` is the cosine similarity to the query, None where only
            words or neighbours led to a memory.

        Raises:
            ConfigError: If the filter cannot be used on a memory.
            StoreError: If store, log or lexical index cannot be read.
            ModelCallError: If the reranker cannot be used.
        """
        run = self._begin(namespace, query, k, wanted, settings)
        if run.by_meaning:
            [hits] = self._dense.search(
                namespace, [query], run.depth, wanted=wanted, refresh_ttl=False
            )
            self._take_hits(run, hits)
        if run.uses_index:
            if self._indexes.fed(namespace) is None:
                newest = self._log.newest(namespace)
                memories = self._logged(namespace) or self._dense.read_all(namespace)
                self._indexes.build(namespace, memories, newest)
            self._rank(run)
            while ids := run.to_read():
                run.take(ids, self._store.batch(_reads(namespace, ids)))
            self._mend(run)
        chosen = run.result()
        if refreshing := self._refreshing(namespace, chosen):
            self._store.batch(refreshing)
        return chosen

    async def asearch(
        self,
        namespace: Namespace,
        query: str,
        k: int,
        *,
        wanted: Wanted = EVERYTHING,
        settings: SearchSettings | None = None,
    ) -> list[Memory]:
        """Like `search`, without blocking the event loop."""
        run = self._begin(namespace, query, k, wanted, settings)
        if run.by_meaning:
            [hits] = await self._dense.asearch(
                namespace, [query], run.depth, wanted=wanted, refresh_ttl=False
            )
            self._take_hits(run, hits)
        if run.uses_index:
            if await asyncio.to_thread(self._indexes.fed, namespace) is None:
                newest = await asyncio.to_thread(self._log.newest, namespace)
                memories = await asyncio.to_thread(self._logged, namespace)
                if memories is None:
                    memories = await self._dense.aread_all(namespace)
                await asyncio.to_thread(self._indexes.build, namespace, memories, newest)
            await asyncio.to_thread(self._rank, run)
            while ids := run.to_read():
                run.take(ids, await self._store.abatch(_reads(namespace, ids)))
            await asyncio.to_thread(self._mend, run)
        chosen = await asyncio.to_thread(run.result)
        if refreshing := self._refreshing(namespace, chosen):
            await self._store.abatch(refreshing)
        return chosen

    def _begin(
        self,
        namespace: Namespace,
        query: str,
        k: int,
        wanted: Wanted,
        settings: SearchSettings | None,
    ) -> _Run:
        return _Run(
            namespace=namespace,
            query=query,
            k=k,
            wanted=wanted,
            settings=self._settings if settings is None else settings,
        )

    @staticmethod
    def _take_hits(run: _Run, hits: Sequence[Memory]) -> None:
        run.found = {memory.id: memory for memory in hits}
        run.order = list(run.found)
        run.rankings = [run.order]

    def _rank(self, run: _Run) -> None:
        """Bring the index up to date, then fuse what it and the store say."""
        look = self._look(run)
        newest = self._log.newest(run.namespace)
        if look.fed is not None and newest > look.fed:
            changes = list(self._log.read_all(run.namespace, after=look.fed))
            self._indexes.feed(run.namespace, changes, after=look.fed)
            look = self._look(run)
        run.known = look.texts
        if run.by_words:
            run.rankings.append(list(look.scores))
        if run.settings.neighbours:
            if run.by_meaning:
                meaning = {key: memory.score or 0.0 for key, memory in run.found.items()}
                lowest = min(meaning.values(), default=0.0)
                around = _spread_ranking(meaning, look.neighbours, lowest)
                run.rankings.append(around[: run.depth])
            if run.by_words:
                run.rankings.append(_spread_ranking(look.scores, look.neighbours, 0.0))
        run.order = fuse(run.rankings)

    def _look(self, run: _Run) -> Look:
        return self._indexes.look(
            run.namespace,
            run.query,
            limit=run.num_matches if run.by_words else 0,
            ids=run.found,
            neighbours=run.settings.neighbours,
        )

    def _mend(self, run: _Run) -> None:
        """Tell the index what somebody has written to the store past the log."""
        changed = [m for m in run.found.values() if run.known.get(m.id) != index_text(m.content)]
        if changed or run.gone:
            self._indexes.mend(run.namespace, changed, run.gone)

    def _logged(self, namespace: Namespace) -> list[Memory] | None:
        """All memories of a namespace as the log has them; None if it may not know them all."""
        if self._log.path is None:
            return None
        last = self._log.last(namespace).values()
        return [change.after for change in last if change.after is not None] or None

    def _refreshing(self, namespace: Namespace, chosen: Sequence[Memory]) -> list[GetOp]:
        """What gives the found memories, and no others, their time to live again."""
        if self._store.ttl_config is None or not refreshes_on_read(self._store):
            return []
        return [GetOp(namespace, memory.id, refresh_ttl=True) for memory in chosen]


def _spread_ranking(
    scores: Mapping[str, float], beside: Mapping[str, Neighbours], floor: float
) -> list[str]:
    around = {key: beside.get(key, Neighbours()) for key in scores}
    return best_first(spread(scores, around, weight=_NEIGHBOUR_WEIGHT, floor=floor))


def _reads(namespace: Namespace, ids: Sequence[str]) -> list[GetOp]:
    return [GetOp(namespace, key, refresh_ttl=False) for key in ids]
