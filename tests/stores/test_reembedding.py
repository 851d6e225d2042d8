"""Embedding anew: whatever breaks and whoever writes meanwhile, nothing is lost."""

import asyncio
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import PutOp

from langgraph_memskill.errors import ConfigError, EmbeddingMismatchError
from langgraph_memskill.stores.catalog import Catalog
from langgraph_memskill.stores.chroma import ChromaStore
from langgraph_memskill.stores.embedded import EmbeddedConnection
from langgraph_memskill.stores.generations import Reembedding
from langgraph_memskill.stores.reembedding import ReembedProgress, areembed, reembed

PLACE = ("users", "ann")
OTHER = ("users", "bob")


def embed_words(texts: list[str]) -> list[list[float]]:
    """Counts d, c, b, a and one more: other numbers than the letters' model, and more of them."""
    return [[*(float(text.count(letter)) for letter in "dcba"), 0.5] for text in texts]


NEW: Any = {"dims": 5, "embed": embed_words, "fields": ["text"]}


def fill(store: ChromaStore) -> None:
    for n in range(7):
        store.put(PLACE, f"k{n}", {"text": "abcd"[n % 4] * (n + 1), "n": n})
    store.put(PLACE, "named", {"text": "a", "title": "d"}, index=["title"])
    store.put(PLACE, "two", {"text": "b", "title": "dd"}, index=["title", "text"])
    store.put(PLACE, "plain", {"text": "a"}, index=False)
    store.put(PLACE, "late", {"text": "c"}, index=False)
    store.put(PLACE, "late", {"text": "cc", "title": "d"}, index=["title", "text"])
    store.put(PLACE, "lost", {"text": "c"})
    store.put(PLACE, "lost", {"text": "cc"}, index=False)
    store.put(OTHER, "k", {"text": "ad"})


def assert_equal(store: ChromaStore, reference: ChromaStore) -> None:
    for namespace in ((), PLACE, OTHER):
        found, expected = (
            [(item.key, item.value) for item in one.search(namespace, limit=100)]
            for one in (store, reference)
        )
        assert found == expected, namespace
        for query in ("a", "cd", "dddd", "b"):
            # Sorted, because Chroma's last bits break ties now this way, now that.
            ranked, wanted = (
                sorted(
                    (item.score is None, -round(item.score or 0.0, 4), item.namespace, item.key)
                    for item in one.search(namespace, query=query, limit=100)
                )
                for one in (store, reference)
            )
            assert ranked == wanted, (namespace, query)
    assert store.list_namespaces() == reference.list_namespaces()
    assert store.describe().num_orphan_vectors == 0


@pytest.fixture
def expected() -> Iterator[ChromaStore]:
    """A store that has had the new model from the start."""
    with ChromaStore(index=NEW) as store:
        yield store


def test_everything_is_embedded_anew(
    open_place: Callable[..., ChromaStore], expected: ChromaStore
) -> None:
    store = open_place(embedding_name="old")
    fill(store)
    before = {item.key: item for item in store.search(PLACE, limit=100)}
    store.close()
    seen: list[ReembedProgress] = []
    report = reembed(
        **place_of(store), embedding_name="new", batch_items=2, on_progress=seen.append
    )
    assert (report.was_needed, report.num_items, report.num_reused) == (True, 12, 0)
    assert (report.num_namespaces, report.generation) == (2, 1)
    assert [one.num_done for one in seen] == [2, 4, 6, 8, 10, 11, 12]
    assert {one.num_items for one in seen} == {12}
    with pytest.raises(EmbeddingMismatchError):
        open_place(embedding_name="old")
    new = open_place(index=NEW, embedding_name="new")
    fill(expected)
    assert_equal(new, expected)
    after = {item.key: item for item in new.search(PLACE, limit=100)}
    assert after == before
    stats = new.describe()
    assert (stats.generation, stats.dims, stats.embedding_name) == (1, 5, "new")
    assert (stats.num_old_collections, stats.is_reembedding) == (0, False)
    # It is a store like any other.
    for one in (new, expected):
        one.put(PLACE, "k1", {"text": "d"})
        one.put(PLACE, "late", {"text": "d"})
        one.delete(PLACE, "two")
        one.put(("users", "new"), "k", {"text": "dc"})
    assert_equal(new, expected)
    report = reembed(**place_of(store), embedding_name="new")
    assert (report.was_needed, report.num_items) == (False, 0)
    back = reembed(**place_of(store) | {"index": {**NEW, "fields": ["title"]}}, force=True)
    assert (back.was_needed, back.generation) == (True, 2)


def place_of(store: ChromaStore) -> dict[str, Any]:
    """Say where a store is, for `reembed`."""
    place: dict[str, Any] = {"index": NEW, "prefix": store._catalog._prefix}
    connection: Any = store._connection
    if isinstance(connection, EmbeddedConnection):
        return place | {"location": connection._folder}
    if hasattr(connection, "_client"):
        return place | {"client": connection._client}
    return place | {"location": connection.place.rpartition(" ")[2]}


@pytest.mark.parametrize("seed", range(3))
def test_writes_meanwhile_are_not_lost(
    tmp_path: Path, index: dict[str, Any], expected: ChromaStore, seed: int
) -> None:
    chance = random.Random(seed)
    store = ChromaStore(tmp_path, index=index, embedding_name="old")

    def write(_: object = None) -> None:
        ops = []
        for _ in range(chance.randrange(4)):
            key = f"k{chance.randrange(12)}"
            text = "".join(chance.choices("abcd", k=3))
            value = None if chance.random() < 0.25 else {"text": text, "title": text[0]}
            chosen = chance.choice([None, None, None, False, ["title"], ["title", "text"]])
            ops.append(PutOp(chance.choice([PLACE, OTHER]), key, value, index=chosen))
        store.batch(ops)
        expected.batch(ops)

    for _ in range(12):
        write()
    num_batches = 0

    def write_meanwhile(progress: ReembedProgress) -> None:
        nonlocal num_batches
        num_batches += 1
        if num_batches < 25:
            write()
        assert_reads(store, expected)

    report = reembed(
        tmp_path,
        index=NEW,
        embedding_name="new",
        batch_items=3,
        on_progress=write_meanwhile,
    )
    assert report.was_needed
    with pytest.raises(EmbeddingMismatchError, match="embedded anew with the model 'new'"):
        store.search(PLACE, query="a")
    with pytest.raises(EmbeddingMismatchError, match="open it again"):
        store.put(PLACE, "k", {"text": "a"})
    assert_reads(store, expected)
    store.close()
    with ChromaStore(tmp_path, index=NEW, embedding_name="new") as new:
        assert_equal(new, expected)


def assert_reads(store: ChromaStore, expected: ChromaStore) -> None:
    found, wanted = (
        {(item.namespace, item.key): item.value for item in one.search((), limit=100)}
        for one in (store, expected)
    )
    assert found == wanted


class Broken(Exception):
    """Ends a run."""


def break_after(num_batches: int) -> Callable[[ReembedProgress], None]:
    left = [num_batches]

    def count(_: ReembedProgress) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Broken

    return count


def test_a_run_that_is_broken_off_goes_on(
    tmp_path: Path, index: dict[str, Any], expected: ChromaStore
) -> None:
    fill(expected)
    with ChromaStore(tmp_path, index=index, embedding_name="old") as store:
        fill(store)
        for num_batches in range(3):
            with pytest.raises(Broken):
                reembed(
                    tmp_path,
                    index=NEW,
                    embedding_name="new",
                    batch_items=2,
                    on_progress=break_after(num_batches),
                )
            assert store.describe().is_reembedding
            store.put(PLACE, "k0", {"text": "b"})
            assert store.search(PLACE, query="b", limit=1)[0].score == pytest.approx(1.0)
    expected.put(PLACE, "k0", {"text": "b"})
    report = asyncio.run(areembed(tmp_path, index=NEW, embedding_name="new"))
    assert report.num_reused + report.num_items == 12
    assert report.num_reused >= 8
    with ChromaStore(tmp_path, index=NEW, embedding_name="new") as new:
        assert_equal(new, expected)


KILLED = """
import os, sys
sys.path.insert(0, sys.argv[3])
from test_reembedding import NEW, reembed
left = [int(sys.argv[2])]
def progress(_):
    left[0] -= 1
    if left[0] < 0:
        os._exit(9)
reembed(sys.argv[1], index=NEW, embedding_name="new", batch_items=2, on_progress=progress)
"""


@pytest.mark.parametrize("num_batches", [3])
def test_a_killed_process_loses_nothing(
    tmp_path: Path, index: dict[str, Any], expected: ChromaStore, num_batches: int
) -> None:
    fill(expected)
    with ChromaStore(tmp_path, index=index, embedding_name="old") as store:
        fill(store)
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(num_batches), here]
    assert subprocess.run(command, timeout=500, check=False).returncode == 9
    with ChromaStore(tmp_path, index=index, embedding_name="old") as store:
        assert_reads(store, expected)
    report = reembed(tmp_path, index=NEW, embedding_name="new")
    assert report.num_reused == 2 * (num_batches + 1)
    with ChromaStore(tmp_path, index=NEW, embedding_name="new") as new:
        assert_equal(new, expected)


def test_killed_right_after_the_switch(
    tmp_path: Path,
    index: dict[str, Any],
    expected: ChromaStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(expected)
    with ChromaStore(tmp_path, index=index, embedding_name="old") as store:
        fill(store)

    def stop(*_: object) -> None:
        raise Broken

    append = Catalog._append_fingerprint

    def append_and_stop(catalog: Catalog, kind: str, made: Any) -> None:
        append(catalog, kind, made)
        if kind == "switched":
            raise Broken

    with monkeypatch.context() as patch:
        patch.setattr(Catalog, "_append_fingerprint", append_and_stop)
        with pytest.raises(Broken):
            reembed(tmp_path, index=NEW, embedding_name="new")
    with pytest.raises(EmbeddingMismatchError, match="'new'"):
        ChromaStore(tmp_path, index=index, embedding_name="old")
    with ChromaStore(tmp_path, index=NEW, embedding_name="new") as new:
        assert_equal(new, expected)
        assert new.describe().num_old_collections == 2
        new.remove_orphans()
        assert new.describe().num_old_collections == 0
        assert_equal(new, expected)


def test_killed_before_the_old_vectors_are_dropped(
    tmp_path: Path,
    index: dict[str, Any],
    expected: ChromaStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(expected)
    with ChromaStore(tmp_path, index=index, embedding_name="old") as store:
        fill(store)

    def stop(_: Reembedding) -> None:
        raise Broken

    with monkeypatch.context() as patch:
        patch.setattr(Reembedding, "_drop_old", stop)
        with pytest.raises(Broken):
            reembed(tmp_path, index=NEW, embedding_name="new")
    assert not reembed(tmp_path, index=NEW, embedding_name="new").was_needed
    with ChromaStore(tmp_path, index=NEW, embedding_name="new") as new:
        assert new.describe().num_old_collections == 0
        assert_equal(new, expected)


def test_another_model_starts_anew_and_the_old_one_gives_up(
    tmp_path: Path, index: dict[str, Any]
) -> None:
    with ChromaStore(tmp_path, index=index, embedding_name="old") as store:
        fill(store)
        for name in ("one", "two", "one"):
            with pytest.raises(Broken):
                reembed(tmp_path, index=NEW, embedding_name=name, on_progress=break_after(0))
        report = reembed(tmp_path, index=index, embedding_name="old")
        assert (report.was_needed, report.generation) == (False, 0)
        stats = store.describe()
        assert (stats.is_reembedding, stats.num_old_collections) == (False, 0)
        assert store.search(PLACE, query="a")[0].score == pytest.approx(1.0)
    report = reembed(tmp_path, index=NEW, embedding_name="one")
    assert (report.generation, report.num_reused, report.num_items) == (4, 0, 12)


def test_times_to_live_are_kept(tmp_path: Path, index: dict[str, Any]) -> None:
    with ChromaStore(tmp_path, index=index, embedding_name="old") as store:
        store.put(PLACE, "k1", {"text": "a"}, ttl=60)
        store.put(PLACE, "k2", {"text": "a"})
        store.put(PLACE, "k3", {"text": "a"}, ttl=1 / 60_000)
        ends = []

        def read(_: ReembedProgress) -> None:
            store.get(PLACE, "k1")
            room = store._catalog.room(PLACE)
            assert room is not None
            ends[:] = [item.expires for item in room.fetch(["k1", "k2"], 0).values()]

        reembed(tmp_path, index=NEW, embedding_name="new", on_progress=read)
        room = store._catalog.room(PLACE)
        assert room is not None
        assert [item.expires for item in room.fetch(["k1", "k2"], 0).values()] == ends
        assert [item.key for item in store.search(PLACE)] == ["k1", "k2"]


def test_others_that_never_stop_writing_wait_in_the_end(
    tmp_path: Path, index: dict[str, Any], expected: ChromaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ChromaStore(tmp_path, index=index, embedding_name="old") as store:
        fill(store)
        rounds = []
        go_round = Reembedding._go_round

        def write_after(run: Reembedding) -> None:
            go_round(run)
            rounds.append(1)
            store.put(PLACE, "k0", {"text": "a" * len(rounds)})

        monkeypatch.setattr(Reembedding, "_go_round", write_after)
        reembed(tmp_path, index=NEW, embedding_name="new")
        assert len(rounds) == 5
    with ChromaStore(tmp_path, index=NEW, embedding_name="new") as new:
        assert new.get(PLACE, "k0").value == {"text": "aaaaa"}  # type: ignore[union-attr]
        assert {item.key: item.score for item in new.search(PLACE, query="aaaaa")}[
            "k0"
        ] == pytest.approx(1.0)


def test_what_cannot_be_embedded_anew(tmp_path: Path, index: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="give a location or a client"):
        reembed(index=NEW)
    with pytest.raises(ConfigError, match="batch_items is 0"):
        reembed(tmp_path, index=NEW, batch_items=0)
    with ChromaStore(tmp_path) as store:
        store.put(PLACE, "k", {"text": "a"})
    assert not reembed(tmp_path, index=NEW).was_needed
    with ChromaStore(tmp_path, index=index, embedding_name="old") as store:
        store.put(PLACE, "k", {"text": "a"})
    with pytest.raises(EmbeddingMismatchError, match="dims=7"):
        reembed(tmp_path, index={**NEW, "dims": 7}, embedding_name="new")
    with ChromaStore(tmp_path, index=index, embedding_name="old") as store:
        assert store.search(PLACE, query="a")[0].score == pytest.approx(1.0)
