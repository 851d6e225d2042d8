"""The systems that are compared: each makes of a sample what its questions are answered from."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from langgraph_memskill.benchmarks.running.builds import Build
from langgraph_memskill.benchmarks.running.material import Material, digest
from langgraph_memskill.records import Memory, Source, Span
from langgraph_memskill.tokens import default_tokenizer

NAMESPACE = ("benchmark",)
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

OnSpans = Callable[[int], None]
"""Called with the number of spans that were read since the last call."""
OnSave = Callable[[Build], Awaitable[None]]
"""Called with what there is so far, whenever going on from there is possible."""


class Recall(StrEnum):
    """What a question is shown of a system's memories."""

    SEARCH = "search"
    """The k best."""
    EVERYTHING = "everything"
    """All, in order."""


class System(ABC):
    """One row of the table."""

    def __init__(self, name: str, title: str, settings: dict[str, Any]) -> None:
        """Name it.

        Args:
            name: As on the command line.
            title: For people.
            settings: What distinguishes it, for the log.
        """
        self.name = name
        self.title = title
        self.settings = settings

    recall = Recall.SEARCH
    calls_a_model = False
    """Whether building costs model calls, so that it is worth keeping."""

    def spans(self, material: Material) -> tuple[Span, ...]:
        """The spans that the system's memories name as their sources."""
        return material.spans

    def num_steps(self, material: Material) -> int:
        """Spans to read; 0 where building is nothing."""
        return 0

    @abstractmethod
    def key(self, material: Material) -> str:
        """Identify everything that the memories of a sample follow from."""

    @abstractmethod
    async def build(
        self, material: Material, start: Build, on_spans: OnSpans, on_save: OnSave
    ) -> Build:
        """Make the memories of a sample.

        Args:
            material: The sample.
            start: Where to go on, with the key set.
            on_spans: Reports progress.
            on_save: Keeps what there is.
        """


class NoMemory(System):
    """Answers without anything."""

    recall = Recall.EVERYTHING

    def __init__(self) -> None:
        """Nothing to set."""
        super().__init__("none", "no memory", {})

    def key(self, material: Material) -> str:
        """The same for all: nothing follows from anything."""
        return digest([self.name])

    async def build(
        self, material: Material, start: Build, on_spans: OnSpans, on_save: OnSave
    ) -> Build:
        """Nothing."""
        return start


class FullContext(System):
    """Shows the reader the whole history, or its latest part."""

    recall = Recall.EVERYTHING

    def __init__(self, context_tokens: int | None) -> None:
        """Show `context_tokens` at most; None shows everything."""
        super().__init__("full", "full context", {"context_tokens": context_tokens})
        self._tokens = context_tokens

    def key(self, material: Material) -> str:
        """Of the spans and the limit."""
        return digest([self.name, material.content_key, self._tokens])

    async def build(
        self, material: Material, start: Build, on_spans: OnSpans, on_save: OnSave
    ) -> Build:
        """The spans as they are."""
        spans = await asyncio.to_thread(self._latest, material.spans)
        return Build(key=start.key, num_spans=0, memories=tuple(map(raw_memory, spans)))

    def _latest(self, spans: Sequence[Span]) -> Sequence[Span]:
        if self._tokens is None:
            return spans
        tokenizer, left, first = default_tokenizer(), self._tokens, len(spans)
        while first > 0:
            left -= len(tokenizer.split(spans[first - 1].text))
            if left < 0:
                break
            first -= 1
        return spans[first:]


class RawChunks(System):
    """Plain retrieval over raw chunks."""

    def __init__(self, chunk_mode: str) -> None:
        """Chunks are cut by `chunk_mode`."""
        super().__init__("rag", "RAG over raw chunks", {"chunk_mode": chunk_mode})

    def spans(self, material: Material) -> tuple[Span, ...]:
        """The chunks themselves."""
        return material.chunks

    def key(self, material: Material) -> str:
        """Of the chunks."""
        return digest([self.name, [chunk.text for chunk in material.chunks]])

    async def build(
        self, material: Material, start: Build, on_spans: OnSpans, on_save: OnSave
    ) -> Build:
        """The chunks as they are."""
        chunks = tuple(map(raw_memory, material.chunks))
        return Build(key=start.key, num_spans=0, memories=chunks)


def raw_memory(span: Span) -> Memory:
    """A span as a memory, word for word."""
    source = Source(
        span_id=span.id,
        turn_ids=tuple(turn.id for turn in span.turns),
        session=span.session,
        time=span.time,
        speakers=tuple(dict.fromkeys(turn.speaker for turn in span.turns)),
    )
    return Memory(
        id=span.id,
        content=span.text,
        namespace=NAMESPACE,
        created_at=_BEGINNING,
        updated_at=_BEGINNING,
        sources=(source,),
    )
