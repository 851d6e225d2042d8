"""Building memories with the construction graph, piece by piece, so that a kill loses little."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

from langchain_core.language_models import BaseChatModel
from langgraph.store.memory import InMemoryStore

from langgraph_memskill.benchmarks.running.builds import Build
from langgraph_memskill.benchmarks.running.filling import fill
from langgraph_memskill.benchmarks.running.material import Material, digest
from langgraph_memskill.benchmarks.running.models import number_format
from langgraph_memskill.benchmarks.running.saving import SavePace
from langgraph_memskill.benchmarks.running.systems import NAMESPACE, OnSave, OnSpans, System
from langgraph_memskill.construction_runs import ConstructionRuns
from langgraph_memskill.controller.selectors import Selector
from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.graphs.construction import ConstructionParts, build_construction_graph
from langgraph_memskill.prompts import extraction_messages
from langgraph_memskill.records import Memory, RememberResult, Span
from langgraph_memskill.settings import Settings
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.state import StepEvent
from langgraph_memskill.stores.applying import MemoryWriter
from langgraph_memskill.stores.in_process import in_process_store
from langgraph_memskill.stores.items import aread_items, memory_of
from langgraph_memskill.stores.pending import PendingSpans

_PIECE = 8
"""Spans of one run of the graph; between two of them memories can be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Executor:
    """What all rows with skills share."""

    model: BaseChatModel
    model_name: str
    """Name in provenance, and in the content key."""
    model_spec: str = ""
    """How it was named, without credentials: two servers may serve models of one name."""
    encoder: TextEncoder
    bank: SkillBank
    settings: Settings


class MemSkillSystem(System):
    """Memories written by the executor with the skills that a selector picks."""

    calls_a_model = True

    def __init__(self, name: str, title: str, selector: Selector, executor: Executor) -> None:
        """Make the row.

        Args:
            name: As on the command line.
            title: For people.
            selector: Picks the skills.
            executor: Everything else.
        """
        settings = executor.settings
        super().__init__(
            name,
            title,
            {
                "selector": selector.name,
                "selector_version": selector.version,
                "skills_per_span": settings.skills_per_span,
                "bank_version": executor.bank.version,
            },
        )
        self._selector = selector
        self._executor = executor

    def num_steps(self, material: Material) -> int:
        """All spans."""
        return len(material.spans)

    def key(self, material: Material) -> str:
        """Of data, bank, controller, model, prompts and settings."""
        executor = self._executor
        return digest(
            [
                "memskill",
                version("langgraph-memskill"),
                material.content_key,
                self.settings,
                executor.model_name,
                executor.model_spec,
                executor.encoder.name,
                number_format(executor.encoder),
                _prompts(),
                repr(executor.settings),
            ]
        )

    async def build(
        self, material: Material, start: Build, on_spans: OnSpans, on_save: OnSave
    ) -> Build:
        """Read the spans in order, from where `start` stopped."""
        store = in_process_store(self._executor.encoder)
        await fill(store, start.memories)
        runs = await asyncio.to_thread(self._runs, store)  # which opens a change log
        on_spans(start.done)
        build, pace, begun = start, SavePace(), time.perf_counter()
        for piece in _pieces(material.spans[start.done :], self._executor.settings.span_workers):
            result = await runs.arun(
                piece, NAMESPACE, episode_id=build.key, on_step=_reporter(on_spans)
            )
            build = _grown(build, piece, result)
            if build.is_complete or pace.is_due:
                with pace.saving():
                    seconds = start.seconds + time.perf_counter() - begun
                    build = replace(build, memories=await _memories(store), seconds=seconds)
                    await on_save(build)
        return build

    def _runs(self, store: InMemoryStore) -> ConstructionRuns:
        executor = self._executor
        parts = ConstructionParts(
            model=executor.model,
            model_name=executor.model_name,
            encoder=executor.encoder,
            bank=executor.bank,
            selector=self._selector,
            store=store,
            writer=MemoryWriter(store),
            namespace=NAMESPACE,
            settings=executor.settings,
        )
        graph = build_construction_graph(parts, checkpointer=False)
        return ConstructionRuns(graph=graph, store=store, pending=PendingSpans(store))


def _prompts() -> str:
    span = Span(id="", index=0, text="")
    return digest(
        [
            str(message.text)
            for structured in (False, True)
            for message in extraction_messages(span, [], [], structured=structured)
        ]
    )


def _pieces(spans: tuple[Span, ...], workers: int) -> list[tuple[Span, ...]]:
    # Whole batches, so that spans are merged with the same others wherever a run goes on.
    size = max(1, _PIECE // workers) * workers
    return [spans[start : start + size] for start in range(0, len(spans), size)]


def _reporter(on_spans: OnSpans) -> Callable[[StepEvent], None]:
    def report(event: StepEvent) -> None:
        on_spans(1)

    return report


def _grown(build: Build, piece: tuple[Span, ...], result: RememberResult) -> Build:
    uses = Counter(build.skill_uses)
    uses.update(skill for selection in result.selections for skill in selection.skills)
    actions = Counter(build.actions)
    actions.update(action.type.value for action in result.actions)
    return replace(
        build,
        done=build.done + len(piece),
        skill_uses=_sorted(uses),
        actions=_sorted(actions),
        failed=build.failed | {_own_id(entry.span): entry.reason for entry in result.failed},
        usage=build.usage + result.usage,
    )


def _own_id(span: Span) -> str:
    """The id without the episode that the construction graph writes in front of it."""
    return span.id.rpartition("/")[2]


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return {name: counts[name] for name in sorted(counts)}


async def _memories(store: InMemoryStore) -> tuple[Memory, ...]:
    items: list[Any] = await aread_items(store, NAMESPACE)
    return tuple(memory_of(item) for item in items if item.namespace == NAMESPACE)
