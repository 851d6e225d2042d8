"""Formats on disk, and what is noted of the embedding model."""

from pathlib import Path
from typing import Any

import chromadb
import numpy as np
import pytest
from langgraph.store.base import PutOp

from langgraph_memskill.errors import EmbeddingMismatchError
from langgraph_memskill.stores.chroma import ChromaStore
from langgraph_memskill.stores.codec import (
    StoredItem,
    encode_namespace,
    item_of,
    namespace_digest,
    primary_id,
    split_id,
)

PLACE = ("users", "ann")
WIDTH = 4


def write_version_1(folder: Path) -> dict[str, str]:
    """Write a folder as the first version of this package did; returns its item records."""
    client = chromadb.PersistentClient(str(folder))
    catalog = client.create_collection(
        "memskill.catalog",
        metadata={
            "format_version": 1,
            "distance": "cosine",
            "dims": 3,
            "embedding_name": "letters",
        },
        embedding_function=None,
    )
    name = namespace_digest(PLACE)
    about = {"namespace": encode_namespace(PLACE)}
    catalog.upsert(
        ids=[f"made:{name}", f"filled:{name}:1"],
        embeddings=np.zeros((2, 1), np.float32),
        metadatas=[about, about],
    )
    vectors = client.create_collection(
        f"memskill.{name}.vectors",
        metadata=about | {"kind": "vectors"},
        configuration={"hnsw": {"space": "cosine"}},
        embedding_function=None,
    )
    plain = client.create_collection(
        f"memskill.{name}.plain", metadata=about | {"kind": "plain"}, embedding_function=None
    )
    records = {
        '"k1"': '1000000000123 1000000000123 1 1 {"text":"a"}',
        '"k2"': '1000000000456 2000000000789 2 1 {"text":"ab","more":"[1] c"}',
        '"k3"': '1000000000457 1000000000457 0 0 {"n":3}',
    }
    vectors.upsert(
        ids=['"k1"', '"k2"#2000000000789.1', '"k2"'],
        embeddings=np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0]], np.float32),
        metadatas=[{"item": records['"k1"']}, None, {"item": records['"k2"']}],
    )
    plain.upsert(ids=['"k3"'], embeddings=[[0.5]], metadatas=[{"item": records['"k3"']}])
    client.close()
    return records


def test_version_1_is_upgraded_by_a_note(tmp_path: Path, index: dict[str, Any]) -> None:
    records = write_version_1(tmp_path)
    with ChromaStore(tmp_path, index=index, embedding_name="letters") as store:
        found = store.search(PLACE)
        assert [(item.key, item.value) for item in found] == [
            ("k1", {"text": "a"}),
            ("k2", {"text": "ab", "more": "[1] c"}),
            ("k3", {"n": 3}),
        ]
        assert [item.key for item in store.search(PLACE, query="c")] == ["k2", "k1", "k3"]
        assert found[1].updated_at.microsecond == 0
        assert found[1].updated_at > found[1].created_at
        stats = store.describe()
        assert (stats.format_version, stats.generation, stats.num_items) == (2, 0, 3)
        room = store._catalog.room(PLACE)
        assert room is not None
        shelves = [room.vectors(), room.plain()]
        present = {
            record.id: record.metadata["item"]
            for shelf in shelves
            if shelf is not None
            for record in shelf.records()
            if record.metadata is not None
        }
        assert present == records
        store.put_if(PLACE, "k2", {"text": "b"}, expected=found[1].updated_at, ttl=5)
    with ChromaStore(tmp_path, index=index, embedding_name="letters") as store:
        assert store._catalog._shelf().metadata["format_version"] == 2
        assert [item.key for item in store.search(PLACE, query="b")] == ["k2", "k1", "k3"]


def test_records_of_version_2() -> None:
    item = StoredItem(
        key="k",
        value_json='{"a":"] x"}',
        created=5,
        revision=9,
        num_vectors=1,
        owns_vector=True,
        ttl=7,
        expires=12,
        paths=("a", 'b ["'),
    )
    assert item_of(split_id(primary_id("k")), item.metadata()) == item
    assert item.is_expired(12)
    assert not item.is_expired(11)


class Model:
    """Vectors of length 1, or of twice that."""

    def __init__(self, length: float) -> None:
        self.length = length

    def __call__(self, texts: list[str]) -> list[list[float]]:
        rows = [np.random.default_rng(len(text)).normal(size=WIDTH) for text in texts]
        return [(row / np.linalg.norm(row) * self.length).tolist() for row in rows]


def open_with(folder: Path, length: float) -> ChromaStore:
    index: Any = {"dims": WIDTH, "embed": Model(length), "fields": ["text"]}
    return ChromaStore(folder, index=index, embedding_name="model")


@pytest.mark.parametrize(("length", "other"), [(1.0, 2.0), (2.0, 1.0)])
def test_normalisation_is_noted_and_compared(tmp_path: Path, length: float, other: float) -> None:
    with open_with(tmp_path, length) as store:
        for n in range(1, 10):
            store.put(PLACE, f"k{n}", {"text": "x" * n})
        assert store.describe().is_normalised is (length == 1.0)
    with open_with(tmp_path, other) as store:
        assert len(store.search(PLACE, query="xx")) == 9
        ops = [PutOp(PLACE, f"k{n}", {"text": "x" * n}) for n in range(10, 20)]
        with pytest.raises(EmbeddingMismatchError, match="memskill memories reembed"):
            store.batch(ops)
        assert len(store.search(PLACE, limit=50)) == 9
    with open_with(tmp_path, length) as store:
        store.put(PLACE, "k", {"text": "x" * 30})


def test_a_few_vectors_of_length_1_say_nothing(tmp_path: Path, index: dict[str, Any]) -> None:
    with ChromaStore(tmp_path, index=index) as store:
        store.put(PLACE, "k1", {"text": "a"})
        assert store.describe().is_normalised is None
        store.put(PLACE, "k2", {"text": "ab"})
        assert store.describe().is_normalised is False


def test_mismatch_names_the_command(tmp_path: Path, index: dict[str, Any]) -> None:
    with ChromaStore(tmp_path, index=index, embedding_name="one"):
        pass
    with pytest.raises(EmbeddingMismatchError, match="'one', not with 'two'.*memories reembed"):
        ChromaStore(tmp_path, index=index, embedding_name="two")
    with pytest.raises(EmbeddingMismatchError, match="vectors of 3 numbers.*memories reembed"):
        ChromaStore(tmp_path, index={**index, "dims": 5}, embedding_name="one")


def test_stats_and_orphans(chroma: ChromaStore) -> None:
    chroma.put(PLACE, "k", {"text": "a", "more": "b"}, index=["text", "more"])
    chroma.put(PLACE, "plain", {"n": 1})
    chroma.put(("other",), "gone", {"text": "a"})
    chroma.delete(("other",), "gone")
    room = chroma._catalog.room(PLACE)
    assert room is not None
    with chroma._connection.session(write=True):
        from langgraph_memskill.stores.shelf import Row

        vector = np.array([1, 0, 0], np.float32)
        room.make_vectors().write([Row('"k"#17.1', vector, None), Row('"x"#1.0', vector, None)])
    stats = chroma.describe()
    assert (stats.num_namespaces, stats.num_items, stats.num_orphan_vectors) == (1, 2, 2)
    assert (stats.num_old_collections, stats.is_reembedding) == (0, False)
    assert (stats.dims, stats.embedding_name) == (3, None)
    assert chroma.remove_orphans() == 2
    assert chroma.describe().num_orphan_vectors == 0
    found = chroma.search(PLACE, query="b")
    assert [item.key for item in found] == ["k", "plain"]
    assert found[0].score == pytest.approx(1.0)
