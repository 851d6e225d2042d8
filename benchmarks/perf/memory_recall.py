"""Evidence recall of memories and of raw turns on LoCoMo, for several ways to search.

Run `python -m langgraph_memskill.benchmarks.perf.memory_recall`. The questions are all but the
adversarial ones; the memories are built with the extractive model from pairs of turns, by METHOD's
construction step. A memory's evidence is the turns that its words come from.
"""

import argparse
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import numpy as np
from langgraph.store.memory import InMemoryStore

from langgraph_memskill import MemSkillMemory
from langgraph_memskill.benchmarks.locomo import cut_spans, load_locomo, scorable
from langgraph_memskill.benchmarks.samples import Sample
from langgraph_memskill.benchmarks.scorers import evidence_recall
from langgraph_memskill.embedding import TextEncoder, load_encoder
from langgraph_memskill.namespaces import Namespace
from langgraph_memskill.records import Memory, Source
from langgraph_memskill.search.hybrid import HybridSearch
from langgraph_memskill.search.settings import DENSE, SearchMode, SearchSettings
from langgraph_memskill.settings import METHOD
from langgraph_memskill.spans import SpanMode
from langgraph_memskill.state import dump, load
from langgraph_memskill.stores.items import put_memory
from langgraph_memskill.tokens import default_tokenizer

DEPTHS = (5, 10, 20)
WAYS: Mapping[str, SearchSettings] = MappingProxyType(
    {
        "dense": DENSE,
        "lexical": SearchSettings(mode=SearchMode.LEXICAL, neighbours=False),
        "hybrid": SearchSettings(neighbours=False),
        "hybrid, neighbours": SearchSettings(),
    }
)
_TIME_BOOST = SearchSettings(time_weight=0.5)
_WRITTEN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """How one way of searching does on one kind of text."""

    texts: str
    """"turns" or "memories"."""
    way: str
    recall: tuple[float, ...]
    """Mean evidence recall at `DEPTHS`, in [0, 1]."""
    context_tokens: float
    """Mean tokens of the first 20 texts."""


def turn_memories(sample: Sample, namespace: Namespace) -> list[Memory]:
    """Every turn of a conversation, with its date, as a memory of its own."""
    spans = cut_spans(sample, SpanMode.TURN)
    return [
        Memory(
            id=span.id,
            content=span.text,
            namespace=namespace,
            created_at=_WRITTEN,
            updated_at=_WRITTEN,
            sources=(
                Source(
                    span_id=span.id,
                    turn_ids=tuple(turn.id for turn in span.turns),
                    session=span.session,
                    time=span.time,
                ),
            ),
        )
        for span in spans
    ]


def built_memories(
    sample: Sample, namespace: Namespace, encoder: TextEncoder, cache: Path | None
) -> list[Memory]:
    """Build the memories of a conversation, or read those that an earlier run has kept.

    Args:
        sample: The conversation.
        namespace: Where the memories belong.
        encoder: Embeds everything.
        cache: Folder of earlier runs' memories; None keeps nothing. Empty it when the way in which
            memories are written has changed.
    """
    path = None if cache is None else cache / f"{sample.id}.json"
    if path is not None and path.exists():
        return [load(Memory, one) for one in json.loads(path.read_text(encoding="utf-8"))]
    with MemSkillMemory(
        "extractive", encoder=encoder, namespace=namespace, settings=METHOD
    ) as memory:
        memory.remember(cut_spans(sample, SpanMode.TURN_PAIR))
        memories = memory.memories()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([dump(one) for one in memories]), encoding="utf-8")
    return memories


def measure(
    sample: Sample,
    memories: Sequence[Memory],
    namespace: Namespace,
    encoder: TextEncoder,
    settings: SearchSettings,
) -> Iterator[tuple[float, ...]]:
    """Search for every scorable question of a conversation that names evidence.

    Returns:
        A row a question: recall at `DEPTHS`, then the tokens of the first 20 texts.
    """
    store, tokens = InMemoryStore(), default_tokenizer()
    store.batch([put_memory(memory) for memory in memories])
    search = HybridSearch(store, encoder, settings)
    for question in scorable(sample.questions):
        if not question.evidence:
            continue
        found = search.search(namespace, question.text, max(DEPTHS))
        recalls = [evidence_recall(_turns(found[:depth]), question.evidence) for depth in DEPTHS]
        yield (
            *(r for r in recalls if r is not None),
            sum(len(tokens.split(m.content)) for m in found),
        )


def run(
    samples: Sequence[Sample], cache: Path | None, *, time_boost: bool = False
) -> list[Finding]:
    """Measure all ways of searching on turns and on memories.

    Args:
        samples: LoCoMo conversations.
        cache: As in `built_memories`.
        time_boost: Whether to try the time boost, too; slow, for it reads dates.
    """
    encoder = load_encoder(None)
    ways = {**WAYS, **({"hybrid, neighbours, time": _TIME_BOOST} if time_boost else {})}
    rows: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    for sample in samples:
        namespace = ("recall", sample.id)
        kinds = {
            "turns": turn_memories(sample, namespace),
            "memories": built_memories(sample, namespace, encoder, cache),
        }
        for kind, memories in kinds.items():
            for way, settings in ways.items():
                measured = measure(sample, memories, namespace, encoder, settings)
                rows.setdefault((kind, way), []).extend(measured)
    return [_finding(kind, way, rows[kind, way]) for kind in ("turns", "memories") for way in ways]


def _finding(kind: str, way: str, rows: Sequence[tuple[float, ...]]) -> Finding:
    *recall, tokens = (float(mean) for mean in np.mean(rows, axis=0))
    return Finding(texts=kind, way=way, recall=tuple(recall), context_tokens=tokens)


def _turns(memories: Sequence[Memory]) -> list[str]:
    return [turn for m in memories for source in m.sources for turn in source.turn_ids]


def main() -> None:
    """Measure as the command line says, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    folder = Path(os.environ.get("MEMSKILL_DATA_DIR", "."))
    parser.add_argument("--file", type=Path, default=folder / "locomo" / "locomo8.json")
    parser.add_argument("--conversations", type=int, nargs="*", help="positions; all by default")
    parser.add_argument("--cache", type=Path, help="folder that keeps the built memories")
    parser.add_argument("--time-boost", action="store_true", help="try the time boost, too")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    samples = load_locomo(options.file)
    if options.conversations:
        samples = [samples[position] for position in options.conversations]
    findings = run(samples, options.cache, time_boost=options.time_boost)
    if options.json:
        print(json.dumps([asdict(one) for one in findings], indent=2))
        return
    print("texts      search                      @5   @10   @20  tokens")
    for one in findings:
        recall = " ".join(f"{value:.3f}" for value in one.recall)
        print(f"{one.texts:10} {one.way:25} {recall} {one.context_tokens:7.0f}")


if __name__ == "__main__":
    main()
