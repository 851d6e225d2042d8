"""Faults of tasks, threads, times to live and broken models, each caught by its check."""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import pytest
from langgraph.store.base import GetOp, Op, PutOp, SearchOp

from langgraph_memskill.testing.embedding import EmbeddingBrokenError
from langgraph_memskill.testing.store_checks.concurrency import ConcurrencyChecks
from langgraph_memskill.testing.store_checks.faults import FaultChecks
from langgraph_memskill.testing.store_checks.lifetimes import LifetimeChecks
from langgraph_memskill.testing.store_checks.twins import TwinChecks
from langgraph_memskill.testing.store_suite import check_id


def fault(name: str, check: str, **methods: Any) -> Any:
    return pytest.param(check, methods, id=name)


def without_lock(store: Any) -> None:
    store.right.__init__()
    store.lock = nullcontext()


async def blocking(store: Any, ops: Iterable[Op]) -> Any:
    time.sleep(0.3)
    return store.right.batch(ops)


def apart(store: Any, ops: Iterable[Op]) -> Any:
    twin = store.__dict__.setdefault("twin", type(store).__base__())
    return asyncio.to_thread(twin.batch, list(ops))


def short_pages(store: Any, ops: Iterable[Op]) -> Any:
    short = [op._replace(limit=3) if isinstance(op, SearchOp) else op for op in ops]
    return asyncio.to_thread(store.batch, short)


async def ends_when_cancelled(store: Any, ops: Iterable[Op]) -> Any:
    if hasattr(store, "is_ended"):
        store.refuse()
    try:
        await asyncio.sleep(0.01)
        return await asyncio.to_thread(store.batch, list(ops))
    except asyncio.CancelledError:
        store.is_ended = True
        raise


async def writes_what_it_read(store: Any, ops: Iterable[Op]) -> Any:
    before = dict(store.items)
    await asyncio.sleep(0.01)
    store.items = before
    return store.batch(list(ops))


async def last_question(store: Any, ops: Iterable[Op]) -> Any:
    store.asked = list(ops)
    await asyncio.sleep(0)
    return store.batch(store.asked)


def writes_all_back(store: Any, op: Any, vectors: Any) -> None:
    """Reads all, then writes all back: what others wrote meanwhile is lost."""
    before = dict(store.items)
    time.sleep(0.001)
    store.right.write(op, vectors)
    before[op.namespace, op.key] = store.items.get((op.namespace, op.key))
    store.items = {place: item for place, item in before.items() if item is not None}


def writes_in_two_steps(store: Any, op: Any, vectors: Any) -> None:
    old = store.items.get((op.namespace, op.key))
    if old is not None:
        half = {**old.value, "one": op.value["one"]}
        store.right.write(op._replace(value=half), vectors)
        time.sleep(0.001)
    store.right.write(op, vectors)


def drops_all_but(store: Any, place: Any) -> None:
    before = dict(store.items)
    before.pop(place, None)
    time.sleep(0.001)
    store.items = before


def rebuilds(store: Any, op: Any, vectors: Any) -> None:
    everything, store.items = store.items, {}
    time.sleep(0.001)
    store.items = everything
    store.right.write(op, vectors)


def embeds_last(store: Any, ops: list[Op], vectors: Any) -> list[Any]:
    results = store.right.carry_out(ops, vectors)
    store.right.carry_out(ops, store.right.embed(ops))
    return results


def embeds_one_by_one(store: Any, ops: list[Op], vectors: Any) -> list[Any]:
    return [
        store.write(op, store.right.embed([op])[0]) if isinstance(op, PutOp) else store.read(op)
        for op in ops
    ]


def swallows(store: Any, ops: list[Op]) -> Any:
    try:
        return store.right.embed(ops)
    except EmbeddingBrokenError:
        return [[] for _ in ops]


def ranks_nothing(store: Any, found: Any, query: Any) -> Any:
    try:
        return store.right.ranked(found, query)
    except EmbeddingBrokenError:
        return []


def never_refreshed(store: Any, namespace: Any, key: str, *, refresh_ttl: Any = None) -> Any:
    return store.batch([GetOp(namespace, key, False)])[0]


def keeps_deadline(store: Any, place: Any, minutes: float | None) -> None:
    if place not in store.deadlines:
        store.right.set_deadline(place, minutes)


def keeps_some_deadline(store: Any, place: Any, minutes: float | None) -> None:
    if minutes is None or place not in store.deadlines:
        store.right.set_deadline(place, minutes)


FAULTS = [
    fault("async calls have a store of their own", "as01", abatch=apart),
    fault("async searches find three items at most", "as02", abatch=short_pages),
    fault("the loop waits for the model", "as03", abatch=blocking),
    fault("the loop waits for the store", "as04", abatch=blocking),
    fault("a cancelled call ends the store", "as05", abatch=ends_when_cancelled),
    fault("threads undo writes", "co01", write=writes_all_back, __init__=without_lock),
    fault("writes are torn", "co02", write=writes_in_two_steps, __init__=without_lock),
    fault("deletes undo writes", "co03", drop=drops_all_but, __init__=without_lock),
    fault("writing empties the shelf", "co04", write=rebuilds, __init__=without_lock),
    fault("tasks undo writes", "co05", abatch=writes_what_it_read),
    fault("tasks get each other's answers", "co06", abatch=last_question),
    fault(
        "ttl is taken without support",
        "tt01",
        supports_ttl=False,
        put=lambda s, *a, ttl=None, **k: s.right.put(*a, **k),
        aput=lambda s, *a, ttl=None, **k: s.right.aput(*a, **k),
    ),
    fault(
        "items with a ttl are not stored",
        "tt02",
        write=lambda s, op, vectors: None if op.ttl else s.right.write(op, vectors),
    ),
    fault("ttl is ignored", "tt03", set_deadline=lambda s, place, minutes: None),
    fault("sweep does not count", "tt04", sweep_ttl=lambda s: bool(s.right.sweep_ttl())),
    fault("a put keeps the old deadline", "tt05", set_deadline=keeps_deadline),
    fault("a put with a ttl keeps the old deadline", "tt06", set_deadline=keeps_some_deadline),
    fault("reads do not refresh", "tt07", refresh=lambda s, item: None),
    fault(
        "reads always refresh",
        "tt08",
        read_item=lambda s, op: s.right.read_item(op._replace(refresh_ttl=True)),
    ),
    fault(
        "refresh_ttl=True is ignored",
        "tt09",
        ttl_config={"refresh_on_read": False},
        get=never_refreshed,
    ),
    fault(
        "expired items are shown",
        "tt10",
        ttl_config={"omit_expired": True},
        is_hidden=lambda s, place: False,
    ),
    fault(
        "ttl is in seconds",
        "tt11",
        set_deadline=lambda s, place, minutes: s.right.set_deadline(
            place, minutes and minutes / 60
        ),
    ),
    fault(
        "a query without an index is refused",
        "er01",
        has_vectors=False,
        read_search=lambda s, op: s.refuse() if op.query else s.right.read_search(op),
    ),
    fault("a failed embedding is swallowed", "er02", embed=swallows),
    fault(
        "texts are embedded after the write",
        "er03",
        embed=lambda s, ops: [[] for _ in ops],
        carry_out=embeds_last,
    ),
    fault("a failed query finds nothing", "er04", ranked=ranks_nothing),
    fault(
        "texts are embedded item by item",
        "er05",
        embed=lambda s, ops: [[] for _ in ops],
        carry_out=embeds_one_by_one,
    ),
]


@pytest.mark.parametrize(("check", "methods"), FAULTS)
def test_fault_is_caught(
    check: str, methods: dict[str, Any], misses: Callable[[str, dict[str, Any]], bool]
) -> None:
    assert not misses(check, methods)


def test_each_check_has_a_fault() -> None:
    names = [
        name
        for part in (TwinChecks, ConcurrencyChecks, LifetimeChecks, FaultChecks)
        for name in dir(part)
    ]
    checks = {check_id(name) for name in names if name.startswith("test_")}
    assert {param.values[0] for param in FAULTS} == checks
