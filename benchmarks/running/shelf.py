"""The memories of one row and sample, ready for questions."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from langgraph_memskill.benchmarks.run_log import RecalledLog
from langgraph_memskill.benchmarks.running.construction import Executor
from langgraph_memskill.benchmarks.running.filling import fill
from langgraph_memskill.benchmarks.running.systems import NAMESPACE, Recall
from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.records import Memory
from langgraph_memskill.retrieval import rank
from langgraph_memskill.search.hybrid import HybridSearch
from langgraph_memskill.search.settings import SearchMode, SearchSettings
from langgraph_memskill.stores.in_process import in_process_store


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchKit:
    """How memories are found for a question."""

    encoder: TextEncoder
    settings: SearchSettings
    top_k: int

    @classmethod
    def of(cls, executor: Executor) -> Self:
        """Search as memories are searched while they are built."""
        settings = executor.settings
        return cls(encoder=executor.encoder, settings=settings.search, top_k=settings.top_k)

    @property
    def is_plain(self) -> bool:
        """Whether cosine similarity is everything."""
        search = self.settings
        return (
            search.mode is SearchMode.DENSE
            and not search.neighbours
            and not search.time_weight
            and search.reranker is None
        )


class Shelf:
    """Finds memories for questions; nothing is embedded before the first one."""

    def __init__(self, memories: Sequence[Memory], recall: Recall, kit: SearchKit) -> None:
        """Keep the memories, in order."""
        self.memories = tuple(memories)
        self._recall = recall
        self._kit = kit
        self._vectors: NDArray[np.float32] = np.zeros((0, 0), dtype=np.float32)
        self._search: HybridSearch | None = None

    async def prepare(self) -> None:
        """Embed what is to be searched."""
        if self._recall is Recall.EVERYTHING or not self.memories:
            return
        if self._kit.is_plain:
            contents = [memory.content for memory in self.memories]
            self._vectors = await asyncio.to_thread(self._kit.encoder.encode, contents)
        else:
            store = in_process_store(self._kit.encoder)
            await fill(store, self.memories)
            self._search = await asyncio.to_thread(
                HybridSearch, store, self._kit.encoder, self._kit.settings
            )

    async def find(self, question: str) -> list[Memory]:
        """The memories for a question, best first; all of them, in order, where nothing is chosen.

        Args:
            question: What is asked.
        """
        if self._recall is Recall.EVERYTHING or not self.memories:
            return list(self.memories)
        if self._search is not None:
            return await self._search.asearch(NAMESPACE, question, self._kit.top_k)
        query = (await asyncio.to_thread(self._kit.encoder.encode, [question]))[0]
        best = rank(query, self._vectors, self._kit.top_k)
        return [
            replace(self.memories[index], score=float(score))
            for index, score in zip(best.indices.tolist(), best.scores.tolist(), strict=True)
        ]


def recalled_log(memories: Sequence[Memory]) -> tuple[RecalledLog, ...]:
    """What was recalled, for the log."""
    return tuple(
        RecalledLog(
            memory_id=memory.id, score=None if memory.score is None else round(memory.score, 6)
        )
        for memory in memories
    )
