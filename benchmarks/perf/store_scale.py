"""A large ChromaStore beside bare Chroma: many small namespaces, and one large one.

Run `python -m langgraph_memskill.benchmarks.perf.store_scale`; by default that is 1,000 namespaces
of 100 items and one of 50,000, and takes about ten minutes, most of it filling. On the bare side
each namespace is a collection of its own. Both sides work in folders of their own, in one process,
on the same vectors, and take turns call by call; embedding is not measured. `recall` is that of a
MemSkillMemory on the store, beside the same bare query.
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
from langchain_core.embeddings import Embeddings
from langgraph.store.base import IndexConfig
from numpy.typing import NDArray

from langgraph_memskill.benchmarks.perf.store_search import (
    Comparison,
    bare_client,
    compare,
    fill_bare,
    fill_store,
    make_collection,
    make_value,
    make_vectors,
    print_table,
)
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.stores.chroma import ChromaStore

_HOT = 20
"""Namespaces that are used again and again."""
_OPENINGS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is stored and measured."""

    namespaces: int = 1000
    items_each: int = 100
    items: int = 50_000
    """Items in the one large namespace."""
    dims: int = 384
    limit: int = 10
    rounds: int = 200
    """Calls on each side, for the median."""


class ReadyVectors(Embeddings):
    """The vectors of numbers, made beforehand."""

    name = "ready"

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        """Take the vectors, float32 [n, dim]."""
        self._vectors = vectors
        self.dim = vectors.shape[1]

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """Look the vectors up: float32 [len(texts), dim]."""
        rows: NDArray[np.float32] = self._vectors[[int(text) for text in texts]]
        return rows

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Look the vectors up."""
        return list(self.encode(texts))

    def embed_query(self, text: str) -> list[float]:
        """Look a vector up."""
        return self.embed_documents([text])[0]


class Sides:
    """Both sides, open: the store, a memory on it, and a bare client with its collections."""

    def __init__(self, folder: Path, vectors: NDArray[np.float32], client: Any) -> None:
        """Open the store."""
        self.vectors = vectors
        embed = ReadyVectors(vectors)
        index = IndexConfig(dims=embed.dim, embed=embed, fields=["text"])
        self.store = ChromaStore(folder / "store", index=index)
        self.memory = MemSkillMemory("extractive", store=self.store, encoder=embed)
        self.client = client
        self.collections: dict[str, Any] = {}

    def close(self) -> None:
        """Close the store; the client is its opener's to close."""
        self.memory.close()
        self.store.close()

    def namespace(self, user: str) -> tuple[str, ...]:
        """The namespace of a user."""
        return self.memory.namespace_for(user)

    def collection(self, user: str) -> Any:
        """The bare collection of a user, kept after the first time, as our store keeps it."""
        if user not in self.collections:
            self.collections[user] = self.client.get_collection(user, embedding_function=None)
        return self.collections[user]

    def fill(self, name: str, users: dict[str, range]) -> Comparison:
        """Fill the namespaces of users with the values of these numbers, on both sides in turn."""
        times = [0.0, 0.0]
        for user, numbers in users.items():
            start = time.perf_counter()
            fill_store(self.store, self.namespace(user), numbers.start, len(numbers))
            middle = time.perf_counter()
            self.collections[user] = make_collection(self.client, user)
            fill_bare(self.collections[user], self.vectors, numbers.start, len(numbers))
            times[0] += middle - start
            times[1] += time.perf_counter() - middle
        total = sum(map(len, users.values()))
        store_ms, bare_ms = (1000 * spent / total for spent in times)
        return Comparison(name=name, store_ms=store_ms, bare_ms=bare_ms, ratio=store_ms / bare_ms)


@contextmanager
def _opened(folder: Path, vectors: NDArray[np.float32]) -> Iterator[Sides]:
    with bare_client(folder / "bare") as client:
        sides = Sides(folder, vectors, client)
        try:
            yield sides
        finally:
            sides.close()


def _calls(
    sides: Sides, where: str, users: list[str], key: Callable[[int], str], scale: Scale
) -> list[Comparison]:
    """Compare search, recall, get and put; the rounds go round the users."""

    def user(number: int) -> str:
        return users[number % len(users)]

    def space(number: int) -> tuple[str, ...]:
        return sides.namespace(user(number))

    def query(number: int, limit: int) -> object:
        return sides.collection(user(number)).query(
            query_embeddings=sides.vectors[number], n_results=limit
        )

    def bare_put(number: int) -> None:
        sides.collection(user(number)).upsert(
            ids=[f"new {number}"],
            embeddings=sides.vectors[number],
            metadatas=[dict(make_value(number))],
        )

    limit, store = scale.limit, sides.store
    for number in range(min(len(users), _HOT)):  # a first search makes Chroma read the index
        store.search(space(number), query="0", limit=limit)
        query(number, limit)
    return [
        compare(
            f"search, {where}",
            scale.rounds,
            lambda n: store.search(space(n), query=str(n), limit=limit),
            lambda n: query(n, limit),
        ),
        compare(
            f"recall, {where}",
            scale.rounds,
            lambda n: sides.memory.recall(str(n), user_id=user(n), k=limit),
            lambda n: query(n, limit),
        ),
        compare(
            f"get, {where}",
            scale.rounds,
            lambda n: store.get(space(n), key(n)),
            lambda n: sides.collection(user(n)).get(ids=[key(n)]),
        ),
        compare(
            f"put, {where}",
            scale.rounds,
            lambda n: store.put(space(n), f"new {n}", dict(make_value(n))),
            bare_put,
        ),
    ]


def _openings(folder: Path, vectors: NDArray[np.float32], users: list[str]) -> Comparison:
    """Compare opening the folder and getting one item."""

    def ours(number: int) -> object:
        index = IndexConfig(dims=vectors.shape[1], embed=ReadyVectors(vectors), fields=["text"])
        with ChromaStore(folder / "store", index=index) as store:
            return store.get(("memories", users[number]), "new 0")

    def bare(number: int) -> object:
        with bare_client(folder / "bare") as client:
            return client.get_collection(users[number], embedding_function=None).get(ids=["new 0"])

    return compare("open the folder and get one item", _OPENINGS, ours, bare)


def run(scale: Scale, folder: Path) -> Iterator[Comparison]:
    """Fill both sides and compare them.

    Args:
        scale: How much.
        folder: Where the files go.

    Yields:
        The comparisons, as they are measured.
    """
    small = scale.namespaces * scale.items_each
    vectors = make_vectors(small + scale.items, scale.dims)
    users = {
        f"user-{n}": range(n * scale.items_each, (n + 1) * scale.items_each)
        for n in range(scale.namespaces)
    }
    names = list(users)

    def small_key(number: int) -> str:
        return str(users[names[number % len(names)]].start)

    with _opened(folder, vectors) as sides:
        many = f"{scale.namespaces} namespaces x {scale.items_each}"
        one = f"one namespace x {scale.items}"
        yield sides.fill(f"fill {many}, per item", users)
        yield sides.fill(f"fill {one}, per item", {"large": range(small, small + scale.items)})
        yield from _calls(sides, f"{_HOT} of {many}", names[:_HOT], small_key, scale)
        yield from _calls(sides, f"all of {many} in turn", names, small_key, scale)
        yield from _calls(sides, one, ["large"], lambda n: str(small + n), scale)
        yield compare(
            "list all namespaces",
            _OPENINGS,
            lambda _: sides.store.list_namespaces(limit=scale.namespaces),
            lambda _: sides.client.list_collections(limit=scale.namespaces),
        )
    yield _openings(folder, vectors, names)


def main() -> None:
    """Measure as the command line says, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    for field, default in asdict(Scale()).items():
        parser.add_argument(f"--{field.replace('_', '-')}", type=int, default=default)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = vars(parser.parse_args())
    as_json = options.pop("json")
    with tempfile.TemporaryDirectory() as folder:
        results = list(run(Scale(**options), Path(folder)))
    if as_json:
        print(json.dumps([asdict(one) for one in results], indent=2))
    else:
        print_table(results)


if __name__ == "__main__":
    main()
