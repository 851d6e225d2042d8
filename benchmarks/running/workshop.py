"""Where the work of a benchmark run is done: here, unless it is spread over a cluster."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from langchain_core.language_models import BaseChatModel

from langgraph_memskill.benchmarks.running.answering import Desk, DeskParts, LocalDesk
from langgraph_memskill.benchmarks.running.material import Material
from langgraph_memskill.benchmarks.running.systems import RawChunks, System
from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.extractive.model import ExtractiveChatModel


class Workshop(Protocol):
    """Reads spans and answers questions; whoever asks for it keeps what comes of it."""

    async def start(self, systems: Sequence[System], materials: Sequence[Material]) -> None:
        """Get ready to play these; called if anything is left to play."""

    def system(self, system: System) -> System:
        """The same row, whose `build` works in the workshop."""

    def desk(self, system: System, material: Material) -> Desk:
        """A desk for one row with one sample."""

    async def aclose(self) -> None:
        """Let go of the run; called once, when it ends."""


class LocalWorkshop:
    """This process; see `Workshop`."""

    def __init__(self, executor: BaseChatModel, encoder: TextEncoder, parts: DeskParts) -> None:
        """Work with these.

        Args:
            executor: Reads spans.
            encoder: Embeds everything.
            parts: Of all desks.
        """
        self._executor = executor
        self._encoder = encoder
        self._parts = parts

    async def start(self, systems: Sequence[System], materials: Sequence[Material]) -> None:
        """Embed in large batches what will be asked for piece by piece."""
        await asyncio.to_thread(embed_ahead, systems, materials, self._executor, self._encoder)

    def system(self, system: System) -> System:
        """The row itself."""
        return system

    def desk(self, system: System, material: Material) -> Desk:
        """See `Workshop.desk`."""
        return LocalDesk(system, material, self._parts)

    async def aclose(self) -> None:
        """Nothing is running."""


def embed_ahead(
    systems: Sequence[System],
    materials: Sequence[Material],
    executor: BaseChatModel,
    encoder: TextEncoder,
) -> None:
    """Embed in large batches what rows will ask for piece by piece.

    Args:
        systems: The rows.
        materials: Their samples.
        executor: Reads spans.
        encoder: Keeps the vectors.
    """
    texts = [question.text for material in materials for question in material.questions]
    if any(isinstance(system, RawChunks) for system in systems):
        texts += [chunk.text for material in materials for chunk in material.chunks]
    if any(system.calls_a_model for system in systems):
        texts += [span.text for material in materials for span in material.spans]
        if isinstance(executor, ExtractiveChatModel):
            executor.read_ahead([span for material in materials for span in material.spans])
    encoder.encode(texts)
