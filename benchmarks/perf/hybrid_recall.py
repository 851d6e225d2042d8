"""What hybrid recall costs beside recall by meaning alone, in one namespace of many memories.

Run `python -m langgraph_memskill.benchmarks.perf.hybrid_recall`. Both searches ask the same
questions of the same folder, in turn, so a busy machine slows both. Texts are made of words whose
frequencies fall off as those of a language do, and vectors of hashes: embedding is not measured.
"""

import argparse
import json
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import numpy as np
from langchain_core.embeddings import Embeddings

from langgraph_memskill.embedding import load_encoder
from langgraph_memskill.memory_folder import store_index
from langgraph_memskill.records import Memory, Source
from langgraph_memskill.search.settings import DENSE, SearchSettings
from langgraph_memskill.stored_memories import StoredMemories
from langgraph_memskill.stores.chroma import ChromaStore
from langgraph_memskill.stores.items import put_memory

_NAMESPACE = ("memories",)
_VOCABULARY = 20_000
_EXPONENT = 1.1
_WORDS = (18, 8)
"""Words of a memory and of a question."""
_BULK = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Both searches over one number of memories; medians in ms."""

    memories: int
    dense_ms: float
    hybrid_ms: float
    ratio: float
    """Hybrid over dense."""
    build_s: float
    """Making the lexical index at the first search, in seconds."""
    after_write_ms: float
    """A hybrid search that has one new memory to take in."""


class HashEmbeddings(Embeddings):
    """Vectors that depend on the text only and cost nothing."""

    model = "hash"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts; float [len(texts), 384]."""
        return [np.random.default_rng(list(t.encode())).normal(size=384).tolist() for t in texts]

    def embed_query(self, text: str) -> list[float]:
        """Embed one text."""
        return self.embed_documents([text])[0]


def measure(folder: Path, memories: int, rounds: int) -> Cost:
    """Fill a folder and time both searches.

    Args:
        folder: An empty folder.
        memories: How many there are.
        rounds: Searches of each kind, for the median.
    """
    random = np.random.default_rng(0)
    encoder = load_encoder(HashEmbeddings())
    with ChromaStore(folder / "chroma", index=store_index(encoder)) as store:
        for start in range(0, memories, _BULK):
            numbers = range(start, min(start + _BULK, memories))
            store.batch([put_memory(_memory(number, random)) for number in numbers])
        stored = StoredMemories(store, encoder, _NAMESPACE, 20, change_log=folder / "changes.db")
        questions = [_text(random, _WORDS[1]) for _ in range(rounds)]
        encoder.encode(questions)
        began = time.perf_counter()
        stored.recall(questions[0])
        build_s = time.perf_counter() - began
        dense, hybrid, after = [], [], []
        for question in questions:
            dense.append(_timed(stored, question, DENSE))
            hybrid.append(_timed(stored, question, SearchSettings()))
        for question in questions[: rounds // 4]:
            stored.save(_text(random, _WORDS[0]))
            after.append(_timed(stored, question, SearchSettings()))
        stored.close()
    return Cost(
        memories=memories,
        dense_ms=median(dense),
        hybrid_ms=median(hybrid),
        ratio=median(hybrid) / median(dense),
        build_s=build_s,
        after_write_ms=median(after),
    )


def _memory(number: int, random: np.random.Generator) -> Memory:
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number)
    return Memory(
        id=f"m{number}",
        content=_text(random, _WORDS[0]),
        namespace=_NAMESPACE,
        created_at=at,
        updated_at=at,
        sources=(Source(span_id=f"e/{number}", session=f"s{number // 20}"),),
    )


def _text(random: np.random.Generator, num_words: int) -> str:
    ranks = random.zipf(_EXPONENT, num_words) % _VOCABULARY
    return " ".join(f"w{rank}" for rank in ranks)


def _timed(stored: StoredMemories, question: str, search: SearchSettings) -> float:
    began = time.perf_counter()
    stored.recall(question, search=search)
    return 1000 * (time.perf_counter() - began)


def main() -> None:
    """Measure as the command line says, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--memories", type=int, nargs="+", default=[500, 5000, 50_000])
    parser.add_argument("--rounds", type=int, default=100, help="searches of each kind")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    costs = []
    for memories in options.memories:
        with tempfile.TemporaryDirectory() as folder:
            costs.append(measure(Path(folder), memories, options.rounds))
    if options.json:
        print(json.dumps([asdict(cost) for cost in costs], indent=2))
        return
    print("memories  dense ms  hybrid ms  ratio  after a write ms  first search s")
    for cost in costs:
        print(
            f"{cost.memories:8} {cost.dense_ms:9.1f} {cost.hybrid_ms:10.1f} {cost.ratio:6.2f} "
            f"{cost.after_write_ms:17.1f} {cost.build_s:15.2f}"
        )


if __name__ == "__main__":
    main()
