"""Times to live, by a clock that the test moves."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import GetOp, PutOp

from langgraph_memskill.errors import ConfigError, StoreError
from langgraph_memskill.stores.chroma import ChromaStore
from langgraph_memskill.stores.shelf import Row, Shelf
from langgraph_memskill.stores.ttl import lifetime

MINUTE = 60 * 10**9
PLACE = ("users", "ann")


class Hands:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_800_000_000 * 10**9

    def __call__(self) -> int:
        return self.now

    def move(self, minutes: float) -> None:
        self.now += int(minutes * MINUTE)


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def store(open_store: Callable[..., ChromaStore], hands: Hands) -> ChromaStore:
    return open_store(clock=hands)


def found(store: ChromaStore, **more: Any) -> list[str]:
    return [item.key for item in store.search(PLACE, refresh_ttl=False, **more)]


def test_what_has_expired_is_nowhere(store: ChromaStore, hands: Hands) -> None:
    store.put(PLACE, "short", {"text": "a", "n": 1}, ttl=10)
    store.put(PLACE, "plain", {"text": "a", "n": 2}, ttl=10, index=False)
    store.put(PLACE, "long", {"text": "ab", "n": 3}, ttl=20)
    store.put(("others",), "k", {"text": "a"}, ttl=10)
    hands.move(9.999)
    assert found(store) == ["short", "plain", "long"]
    assert found(store, query="a") == ["short", "long", "plain"]
    hands.move(0.001)
    assert store.get(PLACE, "short", refresh_ttl=False) is None
    assert store.get(PLACE, "plain", refresh_ttl=False) is None
    assert found(store) == found(store, query="a") == found(store, filter={"n": 3}) == ["long"]
    assert found(store, query="a", filter={"n": {"$lt": 9}}) == ["long"]
    assert store.list_namespaces() == [PLACE]
    hands.move(10)
    assert found(store) == found(store, query="a") == []
    assert store.list_namespaces() == []


def test_put_over_an_expired_item_makes_a_new_one(store: ChromaStore, hands: Hands) -> None:
    store.put(PLACE, "k", {"text": "a"}, ttl=1)
    store.put(PLACE, "other", {"text": "b"})
    first = store.get(PLACE, "k")
    hands.move(2)
    store.put(PLACE, "k", {"text": "c"}, index=False)
    second = store.get(PLACE, "k")
    assert first is not None
    assert second is not None
    assert second.created_at == second.updated_at > first.updated_at
    assert found(store) == ["other", "k"]
    assert found(store, query="a") == ["other", "k"]
    assert store.search(PLACE, query="c")[1].score is None
    assert store.sweep_ttl() == 0
    hands.move(1000)
    assert found(store) == ["other", "k"]


def test_put_sets_and_takes_away_the_time_to_live(store: ChromaStore, hands: Hands) -> None:
    for index in (None, False):
        store.put(PLACE, "k", {"text": "a"}, ttl=1, index=index)
        store.put(PLACE, "k", {"text": "a"}, index=index)
        hands.move(5)
        assert found(store) == ["k"]
        store.put(PLACE, "k", {"text": "a"}, ttl=3, index=index)
        hands.move(2)
        assert found(store) == ["k"]
        assert store.sweep_ttl() == 0
        hands.move(2)
        assert found(store) == []
        assert store.sweep_ttl() == 1
        assert store.sweep_ttl() == 0


def test_reading_refreshes(store: ChromaStore, hands: Hands) -> None:
    reads: list[Callable[[], Any]] = [
        lambda: store.get(PLACE, "k"),
        lambda: store.search(PLACE),
        lambda: store.search(PLACE, query="a"),
        lambda: asyncio.run(store.aget(PLACE, "k")),
    ]
    for index in (None, False):
        store.put(PLACE, "k", {"text": "a"}, ttl=10, index=index)
        revision = store.get(PLACE, "k")
        for read in reads:
            hands.move(9)
            read()
        hands.move(9)
        assert store.get(PLACE, "k", refresh_ttl=False) == revision
        hands.move(1)
        assert store.get(PLACE, "k") is None
        assert store.sweep_ttl() == 1


def test_only_what_a_search_returned_is_refreshed(store: ChromaStore, hands: Hands) -> None:
    for key in ("k1", "k2"):
        store.put(PLACE, key, {"text": "a", "key": key}, ttl=10)
    hands.move(9)
    assert len(store.search(PLACE, filter={"key": "k2"})) == 1
    hands.move(9)
    assert found(store) == ["k2"]


def test_configuration(open_store: Callable[..., ChromaStore], hands: Hands) -> None:
    store = open_store(clock=hands, ttl={"default_ttl": 10, "refresh_on_read": False})
    store.put(PLACE, "default", {"text": "a"})
    store.put(PLACE, "ever", {"text": "a"}, ttl=None)
    asyncio.run(store.aput(PLACE, "own", {"text": "a"}, ttl=5))
    store.batch([PutOp(PLACE, "batched", {"text": "a"})])
    store.put_if(PLACE, "new", {"text": "a"}, expected=None)
    store.put_if(PLACE, "new ever", {"text": "a"}, expected=None, ttl=None)
    hands.move(6)
    assert found(store) == ["default", "ever", "batched", "new", "new ever"]
    store.get(PLACE, "default", refresh_ttl=True)
    store.get(PLACE, "new")
    hands.move(6)
    assert found(store) == ["default", "ever", "batched", "new ever"]


def test_reads_without_time_to_live_write_nothing(
    store: ChromaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(PLACE, "k", {"text": "a"})
    store.put(PLACE, "timed", {"text": "a"}, ttl=10)
    written: list[Row] = []
    write = Shelf.write

    def spy(shelf: Shelf, rows: list[Row]) -> None:
        written.extend(rows)
        write(shelf, rows)

    monkeypatch.setattr(Shelf, "write", spy)
    store.get(PLACE, "k")
    store.search(PLACE, query="a", limit=1)
    store.search(PLACE, refresh_ttl=False)
    store.batch([GetOp(PLACE, "timed", refresh_ttl=False)])
    assert written == []
    store.get(PLACE, "timed")
    assert written == []  # The clock stands still, so it lives no longer.


def test_refresh_writes_only_the_end(
    store: ChromaStore, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(PLACE, "timed", {"text": "a"}, ttl=10)
    hands.move(1)
    written: list[Row] = []
    monkeypatch.setattr(Shelf, "write", lambda _, rows: written.extend(rows))
    store.get(PLACE, "timed")
    assert written == [Row('"timed"', None, {"expires": hands.now + 10 * MINUTE})]


def test_sweep(store: ChromaStore, hands: Hands) -> None:
    assert store.sweep_ttl() == 0
    ops = [PutOp(PLACE, f"k{n}", {"text": "a" * n}, ttl=1 + n % 2) for n in range(450)]
    store.batch(ops)
    store.put(PLACE, "ever", {"text": "b"})
    store.put(("empty",), "k", {"text": "b"}, ttl=1)
    assert store.describe().num_items == 452
    hands.move(1)
    assert store.describe().num_expired == 226
    assert store.sweep_ttl() == 226
    hands.move(1)
    assert asyncio.run(store.asweep_ttl()) == 225
    stats = store.describe()
    assert (stats.num_namespaces, stats.num_items, stats.num_expired) == (1, 1, 0)
    assert stats.num_orphan_vectors == 0
    assert store.list_namespaces() == [PLACE]


def test_sweep_asks_nothing_while_nothing_can_have_expired(
    tmp_path: Path, index: dict[str, Any], hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    ending = Shelf.ending

    def spy(shelf: Shelf, time_ns: int, num_records: int) -> Any:
        asked.append(time_ns)
        return ending(shelf, time_ns, num_records)

    monkeypatch.setattr(Shelf, "ending", spy)
    with ChromaStore(tmp_path, index=index, clock=hands) as store:
        store.put(PLACE, "k", {"text": "a"}, ttl=60)
        store.put(("others",), "k", {"text": "a"})
        hands.move(59)
        assert store.sweep_ttl() == 0
        assert asked == []
        store.get(PLACE, "k")
        hands.move(2)
        assert store.sweep_ttl() == 0
        assert asked
        asked.clear()
        assert store.sweep_ttl() == 0
        assert asked == []
    with ChromaStore(tmp_path, index=index, clock=hands) as store:
        hands.move(58)
        assert store.sweep_ttl() == 1


def test_sweep_after_another_process(tmp_path: Path, index: dict[str, Any], hands: Hands) -> None:
    with ChromaStore(tmp_path, index=index, clock=hands) as store:
        store.put(PLACE, "long", {"text": "a"}, ttl=600)
        assert store.sweep_ttl() == 0
        # What a second process would do: its engine, its catalog, its note in the folder.
        from langgraph_memskill.stores.embedded import EmbeddedConnection

        folders = EmbeddedConnection._folders.copy()
        EmbeddedConnection._folders.clear()
        with ChromaStore(tmp_path, index=index, clock=hands) as other:
            other.put(PLACE, "short", {"text": "a"}, ttl=1)
        EmbeddedConnection._folders.update(folders)
        hands.move(2)
        assert found(store) == ["long"]
        assert store.sweep_ttl() == 1


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf"), "5", True, 1e12])
def test_times_that_are_none(store: ChromaStore, minutes: Any) -> None:
    with pytest.raises(ConfigError, match="ttl is .*: give minutes above 0"):
        store.batch([PutOp(PLACE, "k", {"text": "a"}, ttl=minutes)])
    assert store.search(()) == []


def test_configuration_that_cannot_be_used(index: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"ttl\['default_ttl'\] is -1"):
        ChromaStore(index=index, ttl={"default_ttl": -1})
    with pytest.raises(ConfigError, match=r"ttl\['sweep_interval_minutes'\] is 0"):
        ChromaStore(index=index, ttl={"sweep_interval_minutes": 0})
    assert lifetime(None) == 0
    assert lifetime(0.5) == 30 * 10**9


def test_sweeper_sweeps_until_it_is_stopped(index: dict[str, Any], hands: Hands) -> None:
    ttl: Any = {"sweep_interval_minutes": 0.001}
    with ChromaStore(index=index, clock=hands, ttl=ttl) as store:
        store.put(PLACE, "k", {"text": "a"}, ttl=1)
        future = store.start_ttl_sweeper()
        assert store.start_ttl_sweeper() is future
        hands.move(2)
        wait_until(lambda: not store.describe().num_expired)
        assert store.stop_ttl_sweeper()
        assert future.result(timeout=30) is None
        assert store.stop_ttl_sweeper()
        store.put(PLACE, "k", {"text": "a"}, ttl=1)
        hands.move(2)
        assert store.start_ttl_sweeper(0.001) is not future
        wait_until(lambda: not store.describe().num_expired)
    assert sweepers() == []


def test_sweeper_ends_by_its_future_and_with_its_store(index: dict[str, Any]) -> None:
    store = ChromaStore(index=index)
    future = store.start_ttl_sweeper(0.001)
    future.cancel()
    wait_until(lambda: not sweepers())
    store.start_ttl_sweeper(0.001)
    gone = weakref.ref(store)
    del store
    wait_until(lambda: bool(gc.collect() + 1) and gone() is None and not sweepers())


def test_sweeper_goes_on_after_an_error(
    index: dict[str, Any],
    hands: Hands,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[int] = []

    def fail(_: ChromaStore) -> int:
        calls.append(1)
        raise StoreError("the disk is full")

    monkeypatch.setattr(ChromaStore, "sweep_ttl", fail)
    with ChromaStore(index=index, clock=hands) as store:
        store.start_ttl_sweeper(0.001)
        wait_until(lambda: len(calls) > 1)
    assert "the next one tries again" in caplog.text


def sweepers() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "memskill-ttl-sweeper"]


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in a minute"
        time.sleep(0.01)
