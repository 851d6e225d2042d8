"""The memories of a row and sample: from the cache, or built and kept there."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from langgraph_memskill.benchmarks.run_log import BuildLog, ItemLog, MemoryLog
from langgraph_memskill.benchmarks.running.builds import Build, BuildCache
from langgraph_memskill.benchmarks.running.material import Material
from langgraph_memskill.benchmarks.running.prices import PriceTable, cost_of
from langgraph_memskill.benchmarks.running.progress import FailureLimit, Tally
from langgraph_memskill.benchmarks.running.systems import System
from langgraph_memskill.records import Memory, Usage

EvidenceOf = Callable[[Memory], tuple[str, ...]]


@dataclass(slots=True, kw_only=True)
class Builder:
    """Makes the memories of a run's rows and samples."""

    run_id: str
    cache: BuildCache
    tally: Tally
    failures: FailureLimit
    executor: str
    """Name of the model that reads spans, for the price table."""
    prices: PriceTable | None
    num_spans: int
    """Of a row."""
    rebuild: bool
    """Whether to build anew what the cache has."""
    reused: int = 0
    """Builds that came whole from the cache."""
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)
    """By content key, so that a history which several samples share is read once."""
    _made: set[str] = field(default_factory=set)
    """Keys of the memories that this process has built."""

    async def build(self, system: System, material: Material, *, is_used: bool) -> Build:
        """The memories of one row and sample.

        Args:
            system: The row.
            material: The sample.
            is_used: Whether an earlier part of the run has played items with these memories; they
                must stay what the log shows, although spans may be missing.

        Raises:
            BenchmarkError: If more spans have failed than may fail.
            DataError: If the cache cannot be written.
        """
        key = await asyncio.to_thread(system.key, material)
        fresh = Build(key=key, num_spans=system.num_steps(material), run=self.run_id)
        if not system.calls_a_model:
            return await system.build(material, fresh, self.tally.step, _keep_nothing)
        async with self._locks.setdefault(key, asyncio.Lock()):
            start = await asyncio.to_thread(self._cached, fresh, is_used)
            if start.is_complete:
                self.reused += 1
                self.tally.step(start.num_spans)
                self._check_spans(system, material, start)
                return start
            build = await system.build(material, start, self.tally.step, self._keep)
            self._made.add(key)
            usage = _less(build.usage, start.usage)
            self.tally.spend(usage, cost_of(self.prices, self.executor, usage))
            self._check_spans(system, material, build)
            return build

    def _cached(self, fresh: Build, is_used: bool) -> Build:
        if self.rebuild and fresh.key not in self._made:
            return fresh
        found = self.cache.load(fresh.key)
        is_ours = fresh.key in self._made
        if found is None or not (is_ours or found.can_go_on(self.run_id, is_used=is_used)):
            return fresh
        return replace(found, run=self.run_id)

    async def _keep(self, build: Build) -> None:
        await asyncio.to_thread(self.cache.save, build)

    def _check_spans(self, system: System, material: Material, build: Build) -> None:
        if build.failed:
            name, reason = next(reversed(build.failed.items()))
            self.failures.add(
                system.name,
                "spans",
                self.num_spans,
                f"span {name} of {material.sample.id}: {reason}",
                count=len(build.failed),
            )


async def _keep_nothing(build: Build) -> None:
    """For what costs nothing to build anew."""


def build_log(
    build: Build,
    material: Material,
    items: Iterable[ItemLog],
    *,
    evidence_of: EvidenceOf | None = None,
    error: str | None = None,
) -> BuildLog:
    """What the log says of a build.

    Args:
        build: The memories.
        material: The sample.
        items: What was played with them; the memories that they recalled are written down.
        evidence_of: Says what a memory comes from, as ids of the task; None leaves that out.
        error: Why there are no memories.
    """
    recalled = {entry.memory_id for item in items for entry in item.recalled}
    memories = sorted((m for m in build.memories if m.id in recalled), key=lambda m: m.id)
    spans = {span.id: span.text for span in material.spans}
    return BuildLog(
        sample=material.sample.id,
        key=build.key,
        memories=tuple(
            _memory_log(m, spans, () if evidence_of is None else evidence_of(m)) for m in memories
        ),
        num_memories=len(build.memories),
        skill_uses=build.skill_uses,
        actions=build.actions,
        failed_spans=len(build.failed),
        usage=build.usage,
        error=error,
        seconds=build.seconds,
    )


def _memory_log(memory: Memory, spans: Mapping[str, str], evidence: tuple[str, ...]) -> MemoryLog:
    # The construction graph writes its episode in front of a span's own id.
    sources = dict.fromkeys(source.span_id.rpartition("/")[2] for source in memory.sources)
    known = tuple(span_id for span_id in sources if span_id in spans)
    is_span = len(known) == 1 and spans[known[0]] == memory.content
    return MemoryLog(
        id=memory.id,
        content=None if is_span else memory.content,
        skills=memory.skills,
        span_ids=known,
        evidence_ids=evidence,
    )


def _less(whole: Usage, part: Usage) -> Usage:
    return Usage(
        calls=whole.calls - part.calls,
        input_tokens=whole.input_tokens - part.input_tokens,
        output_tokens=whole.output_tokens - part.output_tokens,
        estimated_calls=whole.estimated_calls - part.estimated_calls,
    )
