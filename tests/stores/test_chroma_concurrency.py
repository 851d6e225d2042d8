"""Threads, tasks and processes at one store; the event loop is never held up."""

import asyncio
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain_core.embeddings import Embeddings
from langgraph.store.base import GetOp, PutOp

from langgraph_memskill.stores import embedded
from langgraph_memskill.stores.chroma import ChromaStore
from langgraph_memskill.stores.shelf import Shelf
from tests.loops import Rounds


def num_records(store: ChromaStore, namespace: tuple[str, ...]) -> int:
    """All records of a namespace's vector collection, superseded ones included."""
    with store._connection.session(write=False):
        room = store._catalog.room(namespace)
        shelf = room.vectors() if room else None
        return shelf.count() if shelf else 0


def test_threads_write_different_keys(chroma: ChromaStore) -> None:
    def work(worker: int) -> None:
        for n in range(10):
            chroma.put(("x", str(n % 2)), f"{worker}-{n}", {"text": "a" * (n + 1)})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(chroma.search(("x",), limit=1000)) == 80
    assert len(chroma.search(("x",), query="a", limit=1000)) == 80


def test_threads_write_one_key(chroma: ChromaStore) -> None:
    def work(worker: int) -> None:
        for n in range(6):
            notes = ["a", "b", "c"][: (worker + n) % 3 + 1]
            chroma.put(("x",), "k", {"notes": notes, "by": [worker, n]}, index=["notes[*]"])

    chroma.put(("x",), "k", {"text": "a"})
    first = chroma.get(("x",), "k")
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    item = chroma.get(("x",), "k")
    assert first is not None
    assert item is not None
    assert item.created_at == first.created_at
    # Only the last put's vectors are left.
    assert num_records(chroma, ("x",)) == len(item.value["notes"])


def test_tasks_and_threads_at_once(chroma: ChromaStore) -> None:
    async def tasks() -> list[Any]:
        await asyncio.gather(*(chroma.aput(("t",), str(n), {"text": "ab"}) for n in range(40)))
        return await asyncio.gather(
            *(chroma.asearch(("t",), query="a", limit=100) for _ in range(20)),
            *(chroma.adelete(("t",), str(n)) for n in range(20)),
        )

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(lambda: [chroma.put(("o",), str(n), {"text": "c"}) for n in range(30)])
        results = asyncio.run(tasks())
        other.result()
    assert all(20 <= len(found) <= 40 for found in results[:20])
    assert len(chroma.search((), limit=100)) == 50


def test_batch_is_seen_whole_or_not_at_all(chroma: ChromaStore) -> None:
    stop = threading.Event()
    seen: set[tuple[Any, ...]] = set()

    def read() -> None:
        while not stop.is_set():
            items = chroma.batch([GetOp(("x",), "1"), GetOp(("y",), "2")])
            seen.add(tuple(item and item.value["n"] for item in items))  # type: ignore[union-attr]

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read)
        for n in range(20):
            chroma.batch([PutOp(("x",), "1", {"n": n}), PutOp(("y",), "2", {"n": n})])
        stop.set()
        reader.result()
    assert all(one == other for one, other in seen)


def test_loop_runs_while_the_place_is_busy(chroma: ChromaStore) -> None:
    rounds = Rounds()

    async def run() -> None:
        entered = threading.Event()

        def hold() -> None:
            with chroma._connection.session(write=True):
                entered.set()
                rounds.hold_up()

        holder = threading.Thread(target=hold)
        holder.start()
        await asyncio.to_thread(entered.wait)
        await rounds.during(chroma.aput(("x",), "k", {"text": "a"}))
        holder.join()

    asyncio.run(run())
    assert rounds.held_up == [True]


class SlowEmbeddings(Embeddings):
    """Blocks its thread; its async methods would do the same if they were not run in one."""

    def __init__(self, rounds: Rounds) -> None:
        self._rounds = rounds

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self._rounds.hold_up()
        return [[1.0, 0.0, 0.0] for _ in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def test_loop_runs_while_texts_are_embedded(open_store: Callable[..., ChromaStore]) -> None:
    rounds = Rounds()
    store = open_store(index={"dims": 3, "embed": SlowEmbeddings(rounds), "fields": ["text"]})

    async def run() -> None:
        await rounds.during(store.aput(("x",), "k", {"text": "a"}))
        await rounds.during(store.asearch(("x",), query="a"))

    asyncio.run(run())
    assert rounds.held_up == [True, True]


def test_large_write_lets_the_loop_run(
    open_store: Callable[..., ChromaStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, rounds = open_store(), Rounds()
    ops = [PutOp(("x",), str(n), {"text": "a" * (n % 9) + "b"}) for n in range(600)]
    monkeypatch.setattr(Shelf, "write", rounds.holding_up(Shelf.write))
    asyncio.run(rounds.during(store.abatch(ops)))
    assert set(rounds.held_up) == {True}


def test_cancelled_batch_is_whole_and_the_store_goes_on(
    open_store: Callable[..., ChromaStore],
) -> None:
    started = asyncio.Event()

    async def embed(texts: list[str]) -> list[list[float]]:
        started.set()
        await asyncio.sleep(0 if "quick" in texts[0] else 30)
        return [[1.0, 2.0, 3.0] for _ in texts]

    store = open_store(index={"dims": 3, "embed": embed, "fields": ["text"]})
    store.put(("x",), "before", {"text": "a"}, index=False)

    async def run() -> None:
        embedding = asyncio.ensure_future(store.aput(("x",), "never", {"text": "slow"}))
        await started.wait()
        embedding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await embedding
        writing = [
            asyncio.ensure_future(store.aput(("x",), str(n), {"text": f"quick {n}"}))
            for n in range(20)
        ]
        await asyncio.sleep(0.02)
        for task in writing:
            task.cancel()
        await asyncio.gather(*writing, return_exceptions=True)
        await store.aput(("x",), "after", {"text": "quick"})

    asyncio.run(run())
    found = {item.key for item in store.search(("x",), limit=100)}
    assert "never" not in found
    assert {"before", "after"} <= found
    for key in found - {"before"}:
        assert store.get(("x",), key) is not None
    assert num_records(store, ("x",)) == len(found - {"before"})


def test_two_objects_on_one_place(open_place: Callable[..., ChromaStore]) -> None:
    one, other = open_place(), open_place()
    one.put(("x",), "k", {"text": "a"})
    assert [item.key for item in other.search((), query="a")] == ["k"]
    other.put(("y", "z"), "k2", {"text": "ab"}, index=False)
    other.put(("x",), "k", {"text": "b"})
    assert one.list_namespaces() == [("x",), ("y", "z")]
    assert [(item.key, item.score) for item in one.search((), query="b")] == [
        ("k", pytest.approx(1.0)),
        ("k2", None),
    ]
    other.delete(("y", "z"), "k2")
    assert one.list_namespaces() == [("x",)]
    other.close()
    one.put(("x",), "k3", {"text": "c"})
    assert len(one.search((), query="c")) == 2


def test_stores_in_memory_are_apart(index: dict[str, Any]) -> None:
    with ChromaStore(index=index) as one, ChromaStore(index=index) as other:
        one.put(("x",), "k", {"text": "a"})
        assert other.list_namespaces() == []


def test_prefixes_keep_stores_in_one_place_apart(tmp_path: Path, index: dict[str, Any]) -> None:
    with (
        ChromaStore(tmp_path, index=index, prefix="one") as one,
        ChromaStore(tmp_path, index={**index, "dims": 3}, prefix="other") as other,
    ):
        one.put(("x",), "k", {"text": "a"})
        assert other.get(("x",), "k") is None
        assert other.list_namespaces() == []


WORKER = textwrap.dedent(
    """
    import sys
    from langgraph_memskill import ChromaStore

    def embed(texts):
        return [[float(text.count(letter)) for letter in "abc"] for text in texts]

    folder, name, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with ChromaStore(folder, index={"dims": 3, "embed": embed, "fields": ["text"]}) as store:
        for n in range(rounds):
            store.put(("shared",), f"{name}-{n}", {"text": "a" * (n + 1)})
            store.put((name,), "last", {"text": "b"})
            found = store.search(("shared",), query="a", limit=1000)
            mine = [item for item in found if item.key.startswith(name)]
            assert len(mine) == n + 1, (len(mine), n)
            assert all(abs(item.score - 1) < 1e-5 for item in found)
    """
)


def test_processes_take_turns_in_one_folder(tmp_path: Path, index: dict[str, Any]) -> None:
    folder = tmp_path / "shared"
    with ChromaStore(folder, index=index) as store:
        workers = [
            subprocess.Popen(
                [sys.executable, "-c", WORKER, str(folder), name, "8"],
                stderr=subprocess.PIPE,
                text=True,
            )
            for name in ("one", "two")
        ]
        for n in range(8):
            store.put(("shared",), f"parent-{n}", {"text": "a"})
            assert len(store.search(("shared",), query="a", limit=1000)) >= n + 1
        for worker in workers:
            _, errors = worker.communicate(timeout=500)
            assert worker.returncode == 0, errors
        assert len(store.search(("shared",), query="a", limit=1000)) == 24
        assert store.list_namespaces() == [("one",), ("shared",), ("two",)]


def test_folder_holds_more_namespaces_than_chroma_keeps_indexes(
    tmp_path: Path, index: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_FEWEST_INDEXES", 4)
    monkeypatch.setattr(embedded, "_MOST_INDEXES", 4)
    with ChromaStore(tmp_path, index=index) as store:
        for round_ in range(3):
            for n in range(12):
                store.put((f"n{n}",), str(round_), {"text": "ab"[: round_ % 2 + 1]})
        for n in range(12):
            assert len(store.search((f"n{n}",), query="a")) == 3
        assert len(store.search((), query="a", limit=100)) == 36
        assert len(store.list_namespaces()) == 12
