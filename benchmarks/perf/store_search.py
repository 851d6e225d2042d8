"""ChromaStore beside bare Chroma collections: what a search, a put and a get cost, and the ratio.

Run `python -m langgraph_memskill.benchmarks.perf.store_search`. Both sides work in folders of their
own, in one process, on the same vectors, and take turns call by call, so a busy machine slows both.
The vectors are ready made: embedding is not measured.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from langgraph.store.base import IndexConfig, PutOp
from numpy.typing import NDArray

from langgraph_memskill.stores.chroma import ChromaStore

_CLUSTERS = 200
_SPREAD = 0.7
_PADDING = "x" * 150
_BULK = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One kind of call on both sides; times are medians in ms."""

    name: str
    store_ms: float
    bare_ms: float
    ratio: float
    """Store over bare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is stored and measured."""

    items: int = 5000
    """Items in the one large namespace."""
    namespaces: int = 50
    """Small namespaces beside it."""
    items_each: int = 100
    """Items in each of them."""
    dims: int = 384
    limit: int = 10
    rounds: int = 100
    """Calls on each side, for the median."""


def compare(
    name: str, rounds: int, ours: Callable[[int], object], bare: Callable[[int], object]
) -> Comparison:
    """Time both sides in turn.

    Args:
        name: What is compared.
        rounds: Calls on each side.
        ours: The call on the store; it gets the number of the round.
        bare: The call on Chroma.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        for call, spent in zip((ours, bare), times, strict=True):
            start = time.perf_counter()
            call(number)
            spent.append(time.perf_counter() - start)
    store_ms, bare_ms = (float(np.median(spent)) * 1000 for spent in times)
    return Comparison(name=name, store_ms=store_ms, bare_ms=bare_ms, ratio=store_ms / bare_ms)


def make_vectors(count: int, dims: int) -> NDArray[np.float32]:
    """Make clustered vectors, as embeddings are: float32 [count, dims], the same at every run."""
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(_CLUSTERS, dims))
    chosen = centres[generator.integers(0, _CLUSTERS, count)]
    return (chosen + _SPREAD * generator.normal(size=(count, dims))).astype(np.float32)


@contextmanager
def bare_client(folder: Path) -> Iterator[Any]:
    """Open Chroma's own client on a folder."""
    import chromadb
    from chromadb.config import Settings

    client: Any = chromadb.PersistentClient(folder, Settings(anonymized_telemetry=False))
    try:
        yield client
    finally:
        client.close()


def make_collection(client: Any, name: str) -> Any:
    """Make a bare collection, as its documentation says."""
    return client.create_collection(
        name, embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
    )


def make_value(number: int) -> dict[str, str]:
    """Make an item's value, about 200 bytes: "text" is the number of its vector."""
    return {"text": str(number), "padding": _PADDING}


def fill_bare(collection: Any, vectors: NDArray[np.float32], first: int, count: int) -> None:
    """Upsert the values with these numbers and their vectors."""
    for start in range(first, first + count, _BULK):
        numbers = range(start, min(start + _BULK, first + count))
        collection.upsert(
            ids=[str(number) for number in numbers],
            embeddings=vectors[numbers.start : numbers.stop],
            metadatas=[make_value(number) for number in numbers],
        )


def fill_store(store: ChromaStore, namespace: tuple[str, ...], first: int, count: int) -> None:
    """Put the values with these numbers."""
    store.batch(
        [
            PutOp(namespace, str(number), dict(make_value(number)))
            for number in range(first, first + count)
        ]
    )


def run(sizes: Sizes, folder: Path) -> list[Comparison]:
    """Fill both sides and compare them.

    Args:
        sizes: How much.
        folder: Where the files go.

    Returns:
        The comparisons, in the order in which they were measured.
    """
    total = sizes.items + sizes.namespaces * sizes.items_each
    vectors = make_vectors(total, sizes.dims)

    def embed(texts: list[str]) -> list[Any]:
        return [vectors[int(text) % total] for text in texts]

    index = IndexConfig(dims=sizes.dims, embed=embed, fields=["text"])  # type: ignore[typeddict-item]  # rows of an array do as vectors
    with (
        ChromaStore(folder / "store", index=index) as store,
        bare_client(folder / "bare") as client,
    ):
        large = make_collection(client, "large")
        shared = make_collection(client, "shared")
        start = time.perf_counter()
        fill_store(store, ("large",), 0, sizes.items)
        middle = time.perf_counter()
        fill_bare(large, vectors, 0, sizes.items)
        end = time.perf_counter()
        results = [
            Comparison(
                name="fill, per item",
                store_ms=(middle - start) * 1000 / sizes.items,
                bare_ms=(end - middle) * 1000 / sizes.items,
                ratio=(middle - start) / (end - middle),
            )
        ]
        results += _compare_large(store, large, vectors, sizes)
        small = []
        for number in range(sizes.namespaces):
            first = sizes.items + number * sizes.items_each
            fill_store(store, (f"small-{number}",), first, sizes.items_each)
            small.append(make_collection(client, f"small-{number}"))
            fill_bare(small[-1], vectors, first, sizes.items_each)
            shared.upsert(
                ids=[str(first + one) for one in range(sizes.items_each)],
                embeddings=vectors[first : first + sizes.items_each],
                metadatas=[{"namespace": f"small-{number}"}] * sizes.items_each,
            )
        results += _compare_small(store, small, shared, vectors, sizes)
    return results


def _compare_large(
    store: ChromaStore, large: Any, vectors: NDArray[np.float32], sizes: Sizes
) -> list[Comparison]:
    new = "new-{}".format
    return [
        compare(
            f"search, {sizes.items} items",
            sizes.rounds,
            lambda n: store.search(("large",), query=str(n), limit=sizes.limit),
            lambda n: large.query(query_embeddings=vectors[n], n_results=sizes.limit),
        ),
        compare(
            f"get, {sizes.items} items",
            sizes.rounds,
            lambda n: store.get(("large",), str(n)),
            lambda n: large.get(ids=[str(n)]),
        ),
        compare(
            f"put, {sizes.items} items",
            sizes.rounds,
            lambda n: store.put(("large",), new(n), dict(make_value(n))),
            lambda n: large.upsert(
                ids=[new(n)], embeddings=vectors[n], metadatas=[dict(make_value(n))]
            ),
        ),
        compare(
            f"overwrite, {sizes.items} items",
            sizes.rounds,
            lambda n: store.put(("large",), new(n), dict(make_value(n + 1))),
            lambda n: large.upsert(
                ids=[new(n)], embeddings=vectors[n + 1], metadatas=[dict(make_value(n + 1))]
            ),
        ),
    ]


def _compare_small(
    store: ChromaStore,
    small: list[Any],
    shared: Any,
    vectors: NDArray[np.float32],
    sizes: Sizes,
) -> list[Comparison]:
    def search(number: int) -> object:
        namespace = f"small-{number % sizes.namespaces}"
        return store.search((namespace,), query=str(number), limit=sizes.limit)

    # A first search makes Chroma read the index, on both sides.
    for number, one in enumerate(small):
        search(number)
        one.query(query_embeddings=vectors[0], n_results=sizes.limit)
    return [
        compare(
            f"search, one of {sizes.namespaces} namespaces x {sizes.items_each}",
            sizes.rounds,
            search,
            lambda n: small[n % sizes.namespaces].query(
                query_embeddings=vectors[n], n_results=sizes.limit
            ),
        ),
        compare(
            "the same, bare side in one collection with a metadata filter",
            sizes.rounds,
            search,
            lambda n: shared.query(
                query_embeddings=vectors[n],
                n_results=sizes.limit,
                where={"namespace": f"small-{n % sizes.namespaces}"},
            ),
        ),
        compare(
            f"search over all {sizes.namespaces} namespaces, bare side one by one",
            max(1, sizes.rounds // 20),
            lambda n: store.search((), query=str(n), limit=sizes.limit),
            lambda n: [
                one.query(query_embeddings=vectors[n], n_results=sizes.limit) for one in small
            ],
        ),
    ]


def print_table(results: list[Comparison]) -> None:
    """Print comparisons, a line each."""
    print(f"{'':62}{'store ms':>10}{'bare ms':>10}{'ratio':>8}")
    for one in results:
        print(f"{one.name:62}{one.store_ms:10.2f}{one.bare_ms:10.2f}{one.ratio:8.2f}", flush=True)


def main() -> None:
    """Measure as the command line says, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    for field, default in asdict(Sizes()).items():
        parser.add_argument(f"--{field.replace('_', '-')}", type=int, default=default)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = vars(parser.parse_args())
    as_json = options.pop("json")
    with tempfile.TemporaryDirectory() as folder:
        results = run(Sizes(**options), Path(folder))
    if as_json:
        print(json.dumps([asdict(one) for one in results], indent=2))
        return
    print_table(results)


if __name__ == "__main__":
    main()
