"""Compare-and-set: one of several writers wins, and the others learn of it."""

import asyncio
import subprocess
import sys
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import GetOp, PutOp

from langgraph_memskill.errors import ConfigError, ConflictError
from langgraph_memskill.stores.chroma import ChromaStore
from langgraph_memskill.stores.conditional import PutIfOp

PLACE = ("users", "ann")
NUM_ADDS = 12


def stamp(store: ChromaStore, key: str = "k") -> datetime:
    item = store.get(PLACE, key)
    assert item is not None
    return item.updated_at


def test_put_if(chroma: ChromaStore) -> None:
    chroma.put_if(PLACE, "k", {"text": "a"}, expected=None)
    first = stamp(chroma)
    with pytest.raises(ConflictError) as caught:
        chroma.put_if(PLACE, "k", {"text": "b"}, expected=None)
    assert "'k' in ('users', 'ann')" in str(caught.value)
    assert "expected not to exist" in str(caught.value)
    assert f"found as of {first.isoformat()}" in str(caught.value)
    chroma.put_if(PLACE, "k", {"text": "b"}, expected=first)
    second = stamp(chroma)
    assert second > first
    with pytest.raises(ConflictError, match="expected as of .*found as of"):
        asyncio.run(chroma.aput_if(PLACE, "k", {"text": "c"}, expected=first))
    assert stamp(chroma) == second
    asyncio.run(chroma.aput_if(PLACE, "k", {"text": "c"}, expected=second, index=False))
    found = chroma.search(PLACE, query="a")
    assert [(item.value, item.score) for item in found] == [({"text": "c"}, None)]


def test_delete_if(chroma: ChromaStore) -> None:
    with pytest.raises(ConflictError, match="found not to exist"):
        chroma.delete_if(PLACE, "k", expected=datetime(2026, 1, 1, tzinfo=UTC))
    assert chroma.list_namespaces() == []
    chroma.put(PLACE, "k", {"text": "a"})
    first = stamp(chroma)
    chroma.put(PLACE, "k", {"text": "b"})
    with pytest.raises(ConflictError):
        chroma.delete_if(PLACE, "k", expected=first)
    chroma.delete_if(PLACE, "k", expected=stamp(chroma))
    assert chroma.get(PLACE, "k") is None
    chroma.put_if(PLACE, "k", {"text": "c"}, expected=None)
    asyncio.run(chroma.adelete_if(PLACE, "k", expected=stamp(chroma)))
    assert chroma.list_namespaces() == []


def test_a_batch_is_written_whole_or_not(
    chroma: ChromaStore, batch: Callable[..., list[Any]]
) -> None:
    chroma.put(PLACE, "k1", {"text": "a"})
    chroma.put(("other",), "k2", {"text": "a"})
    good = PutIfOp(PutOp(PLACE, "k1", {"text": "b"}), stamp(chroma, "k1"))
    bad = PutIfOp(PutOp(("other",), "k2", None), None)
    with pytest.raises(ConflictError, match="'k2'"):
        batch(PutOp(PLACE, "k3", {"text": "c"}), good, bad)
    assert [item.value["text"] for item in chroma.search(())] == ["a", "a"]
    new = PutIfOp(PutOp(PLACE, "k3", {"text": "c"}), None)
    results = batch(GetOp(PLACE, "k1"), good, new)
    assert results[0].value == {"text": "a"}
    assert results[1:] == [None, None]
    assert [item.value["text"] for item in chroma.search(PLACE)] == ["b", "c"]


def test_expected_time_without_zone(chroma: ChromaStore) -> None:
    with pytest.raises(ConfigError, match="give the updated_at of the item as it was read"):
        chroma.put_if(PLACE, "k", {"text": "a"}, expected=datetime(2026, 1, 1))
    assert chroma.search(()) == []


def test_expired_items_do_not_exist(open_store: Callable[..., ChromaStore]) -> None:
    now = [1_800_000_000 * 10**9]
    store = open_store(clock=lambda: now[0])
    store.put(PLACE, "k", {"text": "a"}, ttl=1)
    before = stamp(store)
    now[0] += 120 * 10**9
    with pytest.raises(ConflictError):
        store.put_if(PLACE, "k", {"text": "b"}, expected=before)
    store.put_if(PLACE, "k", {"text": "b"}, expected=None)


def test_revisions_differ_even_if_the_clock_stands_still_or_goes_back(
    open_store: Callable[..., ChromaStore],
) -> None:
    now = [1_800_000_000 * 10**9]
    store = open_store(clock=lambda: now[0])
    seen: list[datetime] = []
    for step in (0, 0, 0, -(10**9), 0, 1):
        now[0] += step
        store.put(PLACE, "k", {"text": "a"})
        seen.append(stamp(store))
    assert seen == sorted(set(seen))


def add_one(store: ChromaStore) -> None:
    while True:
        item = store.get(PLACE, "sum")
        value = {"n": item.value["n"] + 1 if item else 1}
        try:
            store.put_if(PLACE, "sum", value, expected=item.updated_at if item else None)
        except ConflictError:
            continue
        return


def test_threads_lose_no_update(chroma: ChromaStore) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add_one, [chroma] * 4 * NUM_ADDS))
    item = chroma.get(PLACE, "sum")
    assert item is not None
    assert item.value == {"n": 4 * NUM_ADDS}


def test_tasks_lose_no_update(chroma: ChromaStore) -> None:
    async def add() -> None:
        while True:
            item = await chroma.aget(PLACE, "sum")
            value = {"n": item.value["n"] + 1 if item else 1}
            try:
                expected = item.updated_at if item else None
                await chroma.aput_if(PLACE, "sum", value, expected=expected)
            except ConflictError:
                continue
            return

    async def add_all() -> None:
        await asyncio.gather(*(add() for _ in range(NUM_ADDS)))

    asyncio.run(add_all())
    item = chroma.get(PLACE, "sum")
    assert item is not None
    assert item.value == {"n": NUM_ADDS}


ADD_IN_A_PROCESS = """
import sys
from langgraph_memskill.errors import ConflictError
from langgraph_memskill.stores.chroma import ChromaStore

with ChromaStore(sys.argv[1], prefix=sys.argv[2]) as store:
    num_left = int(sys.argv[3])
    while num_left:
        item = store.get(("users", "ann"), "sum")
        value = {"n": item.value["n"] + 1 if item else 1}
        try:
            expected = item.updated_at if item else None
            store.put_if(("users", "ann"), "sum", value, expected=expected)
        except ConflictError:
            continue
        num_left -= 1
"""


@pytest.mark.parametrize("mode", ["folder", "server"])
def test_processes_lose_no_update(
    tmp_path: Path, request: pytest.FixtureRequest, mode: str
) -> None:
    place = str(tmp_path) if mode == "folder" else request.getfixturevalue("server_url")
    prefix = f"t{uuid.uuid4().hex[:12]}"
    command = [sys.executable, "-c", ADD_IN_A_PROCESS, place, prefix, str(NUM_ADDS)]
    workers = [subprocess.Popen(command) for _ in range(3)]
    assert [worker.wait(timeout=500) for worker in workers] == [0, 0, 0]
    with ChromaStore(place, prefix=prefix) as store:
        item = store.get(PLACE, "sum")
    assert item is not None
    assert item.value == {"n": 3 * NUM_ADDS}
