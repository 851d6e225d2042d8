"""Embeddings that do not fit, writes that break off, collections that get lost."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import PutOp

from langgraph_memskill.errors import EmbeddingMismatchError, StoreError
from langgraph_memskill.stores import connection, shelf
from langgraph_memskill.stores.chroma import ChromaStore
from langgraph_memskill.stores.shelf import Shelf


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1.0, 2.0]], r"shape \(2,\).*dims=3"),
        ([], "0 vectors for 1 texts"),
        ([[1.0, 2.0, 3.0]] * 2, "2 vectors for 1 texts"),
        ([[1.0, float("nan"), 3.0]], "NaN or infinity"),
    ],
)
async def test_embedding_that_does_not_fit(rows: list[list[float]], message: str) -> None:
    with ChromaStore(index={"dims": 3, "embed": lambda texts: rows, "fields": ["text"]}) as store:
        ops = [PutOp(("x",), "plain", {"n": 1}), PutOp(("x",), "k", {"text": "a"})]
        with pytest.raises(EmbeddingMismatchError, match=message):
            store.batch(ops)
        with pytest.raises(EmbeddingMismatchError, match=message):
            await store.abatch(ops)
        assert store.list_namespaces() == []


async def test_embedding_that_fails(index: dict[str, Any]) -> None:
    def fail(texts: list[str]) -> list[list[float]]:
        raise ConnectionError("the endpoint is down")

    with ChromaStore(index={**index, "embed": fail}) as store:
        for _ in range(2):
            with pytest.raises(ConnectionError, match="endpoint is down"):
                store.put(("x",), "k", {"text": "a"})
            with pytest.raises(ConnectionError, match="endpoint is down"):
                await store.asearch(("x",), query="a")
        assert store.list_namespaces() == []


async def test_async_embedding_function(index: dict[str, Any]) -> None:
    async def embed(texts: list[str]) -> list[list[float]]:
        return [[float(len(text)), 1.0, 0.0] for text in texts]

    with ChromaStore(index={**index, "embed": embed}) as store:
        await store.aput(("x",), "k", {"text": "abc"})
        assert (await store.asearch(("x",), query="abc"))[0].score == pytest.approx(1.0)
        with pytest.raises(ValueError, match="async function"):
            store.put(("x",), "k", {"text": "abc"})


@pytest.mark.parametrize("num_portions", [0, 1, 2])
def test_write_that_breaks_off_leaves_every_item_whole(
    index: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, num_portions: int
) -> None:
    """The third item has more texts than one portion holds, so its put takes several calls."""
    notes = ["a" * (n + 1) for n in range(60)]
    index["fields"] = ["notes[*]"]
    with ChromaStore(tmp_path, index=index) as store:
        store.put(("x",), "1", {"notes": ["b"]})
        store.put(("x",), "2", {"notes": ["b", "ab"]})
        store.put(("x",), "3", {"notes": ["c", "b", "bc"]})
        portions = 0

        def upsert(collection: Any, **arguments: Any) -> None:
            nonlocal portions
            portions += 1
            if portions > num_portions:
                raise OSError(28, "No space left on device")
            real(collection, **arguments)

        from chromadb.api.models.Collection import Collection

        real = Collection.upsert
        with monkeypatch.context() as patch:
            patch.setattr(shelf, "_ROWS_A_WRITE", 24)
            patch.setattr(Collection, "upsert", upsert)
            with pytest.raises(StoreError, match=r"No space left.*free some disk space"):
                store.batch(
                    [
                        PutOp(("x",), key, {"notes": texts})
                        for key, texts in (("1", ["a"]), ("2", ["a"]), ("3", notes))
                    ]
                )
    with ChromaStore(tmp_path, index=index) as store:
        small = ["a"] if num_portions else None
        expected = [small or ["b"], small or ["b", "ab"], ["c", "b", "bc"]]
        items = [store.get(("x",), key) for key in "123"]
        assert [item and item.value["notes"] for item in items] == expected
        scores = {item.key: item.score for item in store.search(("x",), query="a")}
        by_letter = {"3": 0.0} | (
            {"1": 1.0, "2": 1.0} if num_portions else {"1": 0.0, "2": 0.5**0.5}
        )
        assert scores == pytest.approx(by_letter, abs=1e-6)
        # The next put mends what is left over.
        store.put(("x",), "3", {"notes": notes})
        assert store.search(("x",), query="a")[0].score == pytest.approx(1.0)
        assert len(store.search(("x",), query="a")) == 3


def test_collection_deleted_by_somebody_else(index: dict[str, Any]) -> None:
    import chromadb

    client = chromadb.EphemeralClient()
    with ChromaStore(client=client, index=index, prefix="doomed") as store:
        store.put(("x",), "k", {"text": "a"})
        for collection in client.list_collections():
            if collection.name.startswith("doomed."):
                client.delete_collection(collection.name)
        with pytest.raises(StoreError, match="deleted by somebody else.*repeat the call"):
            store.put(("x",), "k", {"text": "b"})
        store.put(("x",), "k", {"text": "b"})
        assert [item.value for item in store.search((), query="b")] == [{"text": "b"}]
        store.close()
        assert client.heartbeat() > 0


def test_embedded_client_that_would_lose_vectors(
    index: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import chromadb

    client = chromadb.EphemeralClient()
    limit = client.count_collections() + 3
    monkeypatch.setattr(connection, "open_files_limit", lambda: limit * 5)
    with ChromaStore(client=client, index=index, prefix="many") as store:
        store.put(("a",), "k", {"text": "a"})
        store.put(("b",), "k", {"text": "a"})
        with pytest.raises(StoreError, match="raise `ulimit -n`, give ChromaStore a folder"):
            store.put(("c",), "k", {"text": "a"})
        store.put(("b",), "k2", {"text": "a"})
        assert len(store.search((), query="a")) == 3


KILLED = textwrap.dedent(
    """
    import os, signal, sys
    from langgraph.store.base import PutOp
    from langgraph_memskill import ChromaStore

    def embed(texts):
        return [[float(text.count(letter)) for letter in "abc"] for text in texts]

    store = ChromaStore(sys.argv[1], index={"dims": 3, "embed": embed, "fields": ["notes[*]"]})
    for n in range(100000):
        notes = ["a" * (n % 7 + 1), "b" * (n % 5 + 1), "c"]
        store.batch([PutOp(("x", str(k)), "k", {"n": n, "notes": notes}) for k in range(3)])
        print(n, flush=True)
    """
)


@pytest.mark.parametrize("after", [1, 6])
def test_process_killed_while_it_writes(tmp_path: Path, index: dict[str, Any], after: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= after:
                break
        process.send_signal(signal.SIGKILL)
        written = [int(line), *map(int, process.stdout.read().split())][-1]
    index["fields"] = ["notes[*]"]
    with ChromaStore(tmp_path, index=index) as store:
        found = store.search(("x",), query="b")
        assert {item.namespace[1] for item in found} == {"0", "1", "2"}
        assert all(item.value["n"] >= written for item in found)
        assert [item.score for item in found] == pytest.approx([1.0] * 3)
        store.put(("x", "0"), "k", {"notes": ["c"]})
        assert len(store.search((), query="c")) == 3


def test_index_that_has_lost_records_is_not_believed(
    index: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ChromaStore(index=index) as store:
        for n in range(20):
            store.put(("x",), str(n), {"text": "a" * n + "b"})
        real = Shelf.nearest
        monkeypatch.setattr(Shelf, "nearest", lambda *arguments: real(*arguments)[:4])
        from chromadb.api.models.Collection import Collection

        query = Collection.query

        def forgetful(self: Any, **arguments: Any) -> Any:
            result = query(self, **arguments)
            for part in ("ids", "distances", "metadatas"):
                if result[part]:
                    result[part] = [result[part][0][:7]]
            return result

        monkeypatch.setattr(Collection, "query", forgetful)
        found = store.search(("x",), query="a", limit=20)
        assert [item.key for item in found] == [str(n) for n in range(19, -1, -1)]
        assert found[0].score == pytest.approx(19 / (19**2 + 1) ** 0.5)
