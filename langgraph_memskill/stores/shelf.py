"""One Chroma collection: only the calls that the store needs, in portions that Chroma can take."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from chromadb.api.models.Collection import Collection
from chromadb.errors import NotFoundError
from numpy.typing import NDArray

from langgraph_memskill.errors import StoreError
from langgraph_memskill.stores.codec import EXPIRES, Metadata
from langgraph_memskill.stores.guards import translated

# A write holds Python's global lock, and so every event loop, about 5 ms and 0.4 ms a record.
_ROWS_A_WRITE = 48
_IDS_A_READ = 500
_SMALLEST_PAGE = 32
_LARGEST_PAGE = 2000

T = TypeVar("T")


class Row(NamedTuple):
    """A record to write."""

    id: str
    vector: NDArray[np.float32] | None
    """[dims]; None keeps the vector that the record has."""
    metadata: Metadata | None


class Hit(NamedTuple):
    """A record that a vector query found."""

    id: str
    score: float
    """Cosine similarity to the query."""
    metadata: Mapping[str, Any] | None


class Record(NamedTuple):
    """A record that was read without a query."""

    id: str
    metadata: Mapping[str, Any] | None


class Host(Protocol):
    """What a shelf needs of its connection."""

    place: str

    def touch(self, collection_id: str) -> None:
        """Prepare for a call on this collection."""

    def forget(self) -> None:
        """Drop everything remembered about which collections exist."""


class Shelf:
    """One Chroma collection."""

    def __init__(self, host: Host, collection: Collection) -> None:
        self._host = host
        self._collection = collection
        self._id = str(collection.id)

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The collection's own metadata, as of when it was opened."""
        return self._collection.metadata or {}

    def describe(self, metadata: Metadata) -> None:
        """Replace the collection's own metadata."""
        with self._call("describing a collection"):
            self._collection.modify(metadata=dict(metadata))

    def count(self) -> int:
        """Count the records."""
        with self._call("counting records"):
            return self._collection.count()

    def fetch(self, ids: Sequence[str]) -> list[Record]:
        """Read the records with these ids, those that exist, in no particular order."""
        found: list[Record] = []
        for some in _portions(ids, _IDS_A_READ):
            with self._call("reading records"):
                result = self._collection.get(ids=list(some), include=["metadatas"])
            found += map(Record, result["ids"], result["metadatas"] or [])
        return found

    def ending(self, time_ns: int, num_records: int) -> list[Record]:
        """Read primary records that end at this time (ns since 1970) or before, so many at most."""
        until: dict[str, Any] = {EXPIRES: {"$lte": time_ns}}
        with self._call("reading what has expired"):
            result = self._collection.get(where=until, limit=num_records, include=["metadatas"])
        return list(map(Record, result["ids"], result["metadatas"] or []))

    def records(self, offset: int = 0) -> Iterator[Record]:
        """Read all records in the order of their first writing, page by page, larger and larger."""
        size = _SMALLEST_PAGE
        while True:
            with self._call("reading records"):
                result = self._collection.get(limit=size, offset=offset, include=["metadatas"])
            yield from map(Record, result["ids"], result["metadatas"] or [])
            if len(result["ids"]) < size:
                return
            offset += size
            size = min(size * 4, _LARGEST_PAGE)

    def nearest(self, vector: NDArray[np.float32], num_hits: int) -> list[Hit]:
        """Find the records nearest to a vector, best first.

        Args:
            vector: float32 [dims], of unit length or zero.
            num_hits: How many, at most a few thousand: Chroma fails on more with metadata.
        """
        with self._call("searching"):
            result = self._collection.query(
                query_embeddings=vector,
                n_results=num_hits,
                include=["metadatas", "distances"],
            )
        distances = (result["distances"] or [[]])[0]
        metadatas = (result["metadatas"] or [[]])[0]
        return [
            Hit(record_id, 1.0 - distance, metadata)
            for record_id, distance, metadata in zip(
                result["ids"][0], distances, metadatas, strict=True
            )
        ]

    def scores(self, vector: NDArray[np.float32]) -> dict[str, float]:
        """Score every record against a vector; if the index lost some, without the index."""
        total = self.count()
        if not total:
            return {}
        with self._call("searching"):
            result = self._collection.query(
                query_embeddings=vector, n_results=total, include=["distances"]
            )
        distances = (result["distances"] or [[]])[0]
        found = {
            record_id: 1.0 - distance
            for record_id, distance in zip(result["ids"][0], distances, strict=True)
        }
        return found if len(found) >= total else self._computed_scores(vector)

    def _computed_scores(self, vector: NDArray[np.float32]) -> dict[str, float]:
        found: dict[str, float] = {}
        offset = 0
        while True:
            with self._call("reading vectors"):
                result = self._collection.get(
                    limit=_LARGEST_PAGE, offset=offset, include=["embeddings"]
                )
            rows = np.asarray(result["embeddings"], np.float32)
            if not len(rows):
                return found
            found |= zip(result["ids"], (rows @ vector).tolist(), strict=True)
            offset += len(rows)

    def write(self, rows: Sequence[Row]) -> None:
        """Write records in their order, a few at a time; each portion is written whole or not."""
        for keeps_vector, group in groupby(rows, key=lambda row: row.vector is None):
            for some in _portions(list(group), _ROWS_A_WRITE):
                ids = [row.id for row in some]
                metadatas: Any = [row.metadata for row in some]
                with self._call(f"writing {len(ids)} records"):
                    if keeps_vector:
                        self._collection.update(ids=ids, metadatas=metadatas)
                        continue
                    vectors: Any = [row.vector for row in some]
                    self._collection.upsert(ids=ids, embeddings=vectors, metadatas=metadatas)

    def add(self, rows: Sequence[Row]) -> None:
        """Write records whose ids do not exist; those that exist stay as they are."""
        for some in _portions(rows, _ROWS_A_WRITE):
            vectors: Any = [row.vector for row in some]
            metadatas: Any = [row.metadata for row in some]
            with self._call(f"adding {len(some)} records"):
                self._collection.add(
                    ids=[row.id for row in some], embeddings=vectors, metadatas=metadatas
                )

    def remove(self, ids: Sequence[str]) -> None:
        """Delete records in their order; ids that do not exist are no matter."""
        for some in _portions(ids, _ROWS_A_WRITE):
            with self._call(f"deleting {len(some)} records"):
                self._collection.delete(ids=list(some))

    @contextmanager
    def _call(self, doing: str) -> Iterator[None]:
        self._host.touch(self._id)
        with translated(self._host.place, doing):
            try:
                yield
            except NotFoundError as error:
                self._host.forget()
                raise StoreError(
                    f"a collection of {self._host.place} was deleted by somebody else while it "
                    "was in use: repeat the call"
                ) from error


def _portions(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
