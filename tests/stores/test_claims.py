"""Claims: of several who want to replace a revision one may, also if another one died."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from langgraph_memskill.errors import ConflictError, StoreError
from langgraph_memskill.stores import claims
from langgraph_memskill.stores.chroma import ChromaStore
from langgraph_memskill.stores.claims import STALE_S, Claims
from langgraph_memskill.stores.shelf import Shelf

THEN = datetime(2026, 1, 31, tzinfo=UTC)
PLACE = ("users", "ann")
WANTED = {PLACE: [("k", THEN), ("other", None)]}
NOW = 1_800_000_000 * 10**9
LATER = NOW + int((STALE_S + 1) * 1e9)


@pytest.fixture(params=["client", "server"])
def shared(request: pytest.FixtureRequest, index: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Arguments of stores at one place that several may write to."""
    import chromadb

    place: dict[str, Any] = {"prefix": f"t{uuid.uuid4().hex[:12]}", "index": index}
    if request.param == "client":
        yield {**place, "client": chromadb.EphemeralClient()}
    else:
        yield {**place, "location": request.getfixturevalue("server_url")}


@pytest.fixture
def shelf(shared: dict[str, Any]) -> Iterator[Shelf]:
    with ChromaStore(**shared) as store:
        found = store._catalog.claims()
        assert found is not None
        yield found


def test_one_of_two_gets_a_revision(shelf: Shelf) -> None:
    with Claims(shelf, WANTED, NOW) as one:
        assert one.take()
        assert not Claims(shelf, {PLACE: [("k", THEN)]}, NOW).take()
        assert Claims(shelf, {PLACE: [("k", None)]}, NOW).take()
        assert Claims(shelf, {("users",): [("k", THEN)]}, NOW).take()
    assert Claims(shelf, WANTED, NOW).take()


def test_who_gets_a_part_only_gives_it_back(shelf: Shelf) -> None:
    with Claims(shelf, {PLACE: [("k", THEN)]}, NOW) as one:
        assert one.take()
        assert not Claims(shelf, WANTED, NOW).take()
        assert Claims(shelf, {PLACE: [("other", None)]}, NOW).take()


def test_nothing_is_left_behind(shelf: Shelf) -> None:
    with Claims(shelf, WANTED, NOW) as one:
        one.take()
    assert shelf.count() == 0


def test_claim_of_the_dead_is_passed_over_by_one(shelf: Shelf) -> None:
    assert Claims(shelf, WANTED, NOW).take()
    assert not Claims(shelf, WANTED, NOW + 10**9).take()
    with Claims(shelf, WANTED, LATER) as heir:
        assert heir.take()
        assert not Claims(shelf, WANTED, LATER).take()
    assert shelf.count() == 0


def test_broken_write_keeps_its_claim(shelf: Shelf) -> None:
    def break_off(is_writing: bool) -> None:
        with Claims(shelf, WANTED, NOW) as one:
            assert one.take()
            if is_writing:
                one.begin()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_off(is_writing=False)
    assert shelf.count() == 0
    with pytest.raises(ZeroDivisionError):
        break_off(is_writing=True)
    assert not Claims(shelf, WANTED, NOW).take()


def test_nobody_begins_with_an_old_claim(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_BEGIN_WITHIN_S", -1.0)
    with Claims(shelf, WANTED, NOW) as one:
        assert one.take()
        with pytest.raises(StoreError, match="nothing was written; repeat"):
            one.begin()


def test_two_stores_lose_no_update(shared: dict[str, Any]) -> None:
    with ChromaStore(**shared) as one, ChromaStore(**shared) as other:
        one.put(PLACE, "sum", {"n": 0})

        def add(store: ChromaStore) -> None:
            while True:
                item = store.get(PLACE, "sum")
                assert item is not None
                try:
                    store.put_if(PLACE, "sum", {"n": item.value["n"] + 1}, expected=item.updated_at)
                except ConflictError:
                    continue
                return

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(add, [one, other] * 12))
        item = one.get(PLACE, "sum")
        assert item is not None
        assert item.value == {"n": 24}


def test_writer_that_died_conflicts_until_its_claim_is_stale(
    shared: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "_WAIT_S", 0.1)
    time_ns = NOW
    with ChromaStore(**shared, clock=lambda: time_ns) as store:
        store.put(PLACE, "k", {"n": 1})
        item = store.get(PLACE, "k")
        assert item is not None
        assert Claims(store._catalog.claims(), {PLACE: [("k", item.updated_at)]}, NOW).take()
        with pytest.raises(ConflictError, match="died while doing so"):
            store.put_if(PLACE, "k", {"n": 2}, expected=item.updated_at)
        time_ns = LATER
        store.put_if(PLACE, "k", {"n": 3}, expected=item.updated_at)
        after = store.get(PLACE, "k")
        assert after is not None
        assert after.value == {"n": 3}
