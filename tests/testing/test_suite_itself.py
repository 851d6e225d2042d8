"""The suite must be able to fail: a toy store passes it, and each planted fault is caught."""

import asyncio
import copy
import inspect
import operator
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from langgraph.store.base import BaseStore, Item, Op, PutOp, SearchItem, SearchOp

from langgraph_memskill.testing.cases import Case, Claims, find_abilities
from langgraph_memskill.testing.store_suite import StoreLoop, StoreSuite, check_id

Namespace = tuple[str, ...]
COMPARED = {"$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le}


class TestToyStore(StoreSuite):
    """The toy keeps the contract, so what its faults fail is the faults' doing."""

    claims = Claims(ttl_s=60)

    @pytest.fixture
    def store(self, toy_class: type[BaseStore]) -> BaseStore:
        return toy_class()

    def pass_time(self, store: Any, seconds: float) -> None:
        store.ahead += timedelta(seconds=seconds)


FAULTS: dict[str, tuple[str, dict[str, Any]]] = {}
"""Each planted fault: the check that must catch it, and the methods that it replaces."""


def plant(name: str, check: str, **methods: Any) -> None:
    FAULTS[name] = (check, methods)


def blocking(store: Any, ops: Iterable[Op]) -> Any:
    async def work() -> list[Any]:
        time.sleep(0.3)
        return store.right.batch(ops)

    return work()


def slow_write(store: Any, op: Any, vectors: Any) -> None:
    """Reads all, then writes all back: what others wrote meanwhile is lost."""
    before = dict(store.items)
    time.sleep(0.001)
    store.right.write(op, vectors)
    before[op.namespace, op.key] = store.items.get((op.namespace, op.key))
    store.items = {place: item for place, item in before.items() if item is not None}


class NoLock:
    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass


def joined(namespace: Namespace) -> str:
    return "/".join(namespace)


def merged(store: Any, op: Any, vectors: Any) -> None:
    old = store.items.get((op.namespace, op.key))
    value = {**old.value, **op.value} if old and op.value is not None else op.value
    store.right.write(op._replace(value=value), vectors)


def post_filtered(store: Any, op: SearchOp) -> list[SearchItem]:
    """Takes the nearest of all first and filters afterwards."""
    found = store.right.read_search(SearchOp((), None, 20, 0, op.query))
    fitting = [
        item
        for item in found
        if store.is_under(item.namespace, op.namespace_prefix)
        and all(store.passes(item.value, *one) for one in (op.filter or {}).items())
    ]
    return fitting[op.offset : op.offset + op.limit]


def one_by_one(store: Any, ops: list[Op], vectors: Any) -> list[Any]:
    results = []
    for op, mine in zip(ops, vectors, strict=True):
        results.append(store.write(op, mine) if isinstance(op, PutOp) else store.read(op))
    return results


def grouped(store: Any, ops: list[Op], vectors: Any) -> list[Any]:
    return sorted(store.right.carry_out(ops, vectors), key=lambda result: result is None)


def first_put_wins(store: Any, ops: list[Op], vectors: Any) -> list[Any]:
    return store.right.carry_out(ops[::-1], vectors[::-1])[::-1]


def keeps_vectors(store: Any, op: Any, vectors: list[Any]) -> None:
    kept = store.vectors.get((op.namespace, op.key), [])
    store.right.write(op, [*vectors, *kept])


def each_vector_counts(store: Any, found: list[Item], query: str | None) -> Any:
    times = [item for item in found for _ in store.vectors[item.namespace, item.key] or [0]]
    return store.right.ranked(times, query)


def embeds_late(store: Any, ops: list[Op], vectors: Any) -> list[Any]:
    results = store.right.carry_out(ops, [[] for _ in ops])
    store.right.carry_out(ops, store.right.embed(ops))
    return results


def swallows(store: Any, ops: list[Op]) -> Any:
    try:
        return store.right.embed(ops)
    except RuntimeError:
        return [[] for _ in ops]


def forgets_async(store: Any, ops: Iterable[Op]) -> Any:
    ops = list(ops)
    return asyncio.to_thread(store.batch, [op for op in ops if not isinstance(op, PutOp)] or ops)


def only_sync_writes(store: Any, ops: Iterable[Op]) -> Any:
    twin = store.__dict__.setdefault("twin", ToyStore())
    return asyncio.to_thread(twin.batch, list(ops))


def set_(name: str, value: Any) -> Callable[[Any], None]:
    def init(store: Any) -> None:
        store.right.__init__()
        setattr(store, name, value)

    return init


plant(
    "a get answers with another namespace's item",
    "it02",
    read_item=lambda s, op: next(
        (i for i in s.items.values() if i.key == op.key and i.namespace[:1] == op.namespace[:1]),
        None,
    ),
)
plant("puts merge", "it03", write=merged)
plant("deletes do nothing", "it04", drop=lambda s, place: None)
plant("values are shared", "it09", copied=lambda s, item: item)
plant("values are copied one level deep", "it11", copied=lambda s, item: copy.copy(item))
plant(
    "keys ignore case",
    "it12",
    read_item=lambda s, op: next(
        (i for (n, k), i in s.items.items() if n == op.namespace and k.lower() == op.key.lower()),
        None,
    ),
)
plant("times have no zone", "tm02", now=lambda s: datetime.now() + s.ahead)
plant("an overwrite is a creation", "tm03", created=lambda s, old, now: now)
plant(
    "times are whole seconds",
    "tm04",
    now=lambda s: (datetime.now(UTC) + s.ahead).replace(microsecond=0),
)
plant("results are grouped by kind", "ba01", carry_out=grouped)
plant("reads see the writes before them", "ba02", carry_out=one_by_one)
plant("the first put of a key wins", "ba03", carry_out=first_put_wins)
plant(
    "an empty batch is None",
    "ba04",
    carry_out=lambda s, ops, v: s.right.carry_out(ops, v) or None,
)
plant(
    "prefixes end inside of labels",
    "ns04",
    is_under=lambda s, namespace, prefix: joined(namespace).startswith(joined(prefix)),
)
plant(
    "prefixes are LIKE patterns",
    "ns05",
    is_under=lambda s, namespace, prefix: bool(
        re.match(
            re.escape(joined(prefix)).replace("_", ".").replace("%", ".*") + "(/|$)",
            joined(namespace),
        )
    ),
)
plant(
    "searches look one level down only",
    "ns06",
    is_under=lambda s, namespace, prefix: (
        namespace[: len(prefix)] == prefix and len(namespace) <= len(prefix) + 1
    ),
)
plant(
    "labels with periods reach into others",
    "ns09",
    validate=lambda s, op: None,
    read_item=lambda s, op: next(
        (
            i
            for (n, k), i in s.items.items()
            if (".".join(n), k) == (".".join(op.namespace), op.key)
        ),
        None,
    ),
)
plant(
    "labels ignore case",
    "ns12",
    is_under=lambda s, namespace, prefix: (
        joined(namespace[: len(prefix)]).lower() == joined(prefix).lower()
    ),
)
plant(
    "labels run together",
    "ns13",
    is_under=lambda s, namespace, prefix: (
        joined(namespace).split("/")[: len(prefix)] == joined(prefix).split("/")
    ),
)
plant(
    "a suffix is looked for anywhere",
    "li03",
    fits=lambda s, namespace, one: (
        s.right.fits(namespace, one)
        or (one.match_type == "suffix" and set(one.path) <= set(namespace))
    ),
)
plant(
    "a star matches any number of labels",
    "li04",
    fits=lambda s, namespace, one: (
        s.right.fits(
            namespace, one._replace(path=tuple(label for label in one.path if label != "*"))
        )
        if one.path[-1] == "*"
        else (s.right.fits(namespace, one))
    ),
)
plant(
    "max_depth leaves deeper ones out",
    "li06",
    cut=lambda s, namespace, depth: (
        namespace if depth is None or len(namespace) <= depth else ("cut",)
    ),
)
plant("limits are ignored", "se02", page=lambda s, found, op: found[op.offset :])
plant(
    "offset counts pages",
    "se03",
    page=lambda s, found, op: found[op.offset * op.limit :][: op.limit],
)
plant(
    "offset counts from one",
    "li07",
    page=lambda s, found, op: found[max(0, op.offset - 1) :][: op.limit],
)
plant(
    "filters are joined by or",
    "fi02",
    read_search=lambda s, op: list(
        {
            i.key: i
            for one in ((op.filter or {}).items() or [()])
            for i in s.right.read_search(op._replace(filter=dict([one] if one else [])))
        }.values()
    ),
)
plant(
    "equality is that of texts",
    "fi01",
    passes=lambda s, value, field, wanted: field in value and str(value[field]) == str(wanted),
)
plant(
    "filters do not look inside",
    "fi03",
    passes=lambda s, value, field, wanted: (
        isinstance(wanted, dict) or s.right.passes(value, field, wanted)
    ),
)
plant(
    "unknown operators let everything pass",
    "fi07",
    passes=lambda s, value, field, wanted: (
        "$almost" in str(wanted) or s.right.passes(value, field, wanted)
    ),
)
plant(
    "numbers are compared as texts",
    "fi10",
    passes=lambda s, value, field, wanted: all(
        COMPARED[name](str(value[field]), str(bound)) for name, bound in wanted.items()
    ),
)
plant(
    "$gte is $gt",
    "fi10",
    passes=lambda s, value, field, wanted: s.right.passes(
        value, field, {"$gt": wanted["$gte"]} if "$gte" in wanted else wanted
    ),
)
plant("the worst come first", "ve01", score=lambda s, item, asked: -s.right.score(item, asked))
plant("no scores", "ve02", score=lambda s, item, asked: None)
plant(
    "index=False is ignored",
    "ve03",
    texts=lambda s, op: s.right.texts(op._replace(index=None if op.index is False else op.index)),
)
plant(
    "index=[paths] is ignored",
    "ve04",
    texts=lambda s, op: s.right.texts(op._replace(index=None if op.index else op.index)),
)
plant(
    "of a list, only the first is embedded",
    "ve05",
    text_at=lambda s, value, path: s.right.text_at(value, path)[:1],
)
plant("each vector is a result", "ve06", ranked=each_vector_counts)
plant("old vectors stay", "ve08", write=keeps_vectors)
plant(
    "index=False keeps the vectors",
    "ve09",
    write=lambda s, op, vectors: s.right.write(
        op, s.vectors.get((op.namespace, op.key), []) if op.index is False else vectors
    ),
)
plant("filters come after the limit", "ve11", read_search=post_filtered)
plant("prefixes come after the limit", "ve12", read_search=post_filtered)
plant("all fields are embedded", "ve16", texts=lambda s, op: [str(op.value)] if op.value else [])
plant("async writes are dropped", "it01", abatch=forgets_async)
plant("async calls have a store of their own", "as01", abatch=only_sync_writes)
plant("the loop waits for the model", "as03", abatch=blocking)
plant("the loop waits for the store", "as04", abatch=blocking)
plant("threads undo each other's writes", "co01", write=slow_write, __init__=set_("lock", NoLock()))
plant(
    "ttl is refused though supported",
    "tt02",
    write=lambda s, op, vectors: None if op.ttl else s.right.write(op, vectors),
)
plant("ttl is ignored", "tt03", set_deadline=lambda s, place, minutes: None)
plant(
    "ttl is in seconds",
    "tt11",
    set_deadline=lambda s, place, minutes: s.right.set_deadline(place, minutes and minutes / 60),
)
plant("sweep does not count", "tt04", sweep_ttl=lambda s: bool(s.right.sweep_ttl()))
plant(
    "a put keeps the old deadline",
    "tt05",
    set_deadline=lambda s, place, minutes: (
        None if place in s.deadlines else s.right.set_deadline(place, minutes)
    ),
)
plant("reads do not refresh", "tt07", refresh=lambda s, item: None)
plant(
    "reads always refresh",
    "tt08",
    read_item=lambda s, op: s.right.read_item(op._replace(refresh_ttl=True)),
)
plant(
    "ttl is taken without support",
    "tt01",
    supports_ttl=False,
    put=lambda s, *a, ttl=None, **k: s.right.put(*a, **k),
    aput=lambda s, *a, ttl=None, **k: s.right.aput(*a, **k),
)
plant("a failed embedding is swallowed", "er02", embed=swallows)
plant(
    "texts are embedded after the write",
    "er03",
    embed=lambda s, ops: [[] for _ in ops],
    carry_out=embeds_late,
)


@pytest.fixture(scope="module")
def loop() -> Iterator[StoreLoop]:
    made = StoreLoop()
    yield made
    made.close()


def runs_of(check: str, store: BaseStore, loop: StoreLoop) -> Iterator[Callable[[], object]]:
    """Every way in which pytest would run a check."""
    suite = StoreSuite()
    [test] = [getattr(suite, name) for name in dir(StoreSuite) if check_id(name) == check]
    can = find_abilities(store, loop, Claims())

    def case(is_async: bool) -> Case:
        return Case(
            store=store,
            loop=loop,
            can=can,
            is_async=is_async,
            root=f"root-{uuid.uuid4().hex}",
            ttl_s=60,
            clock_step_s=0.01,
            wait=lambda seconds: setattr(store, "ahead", store.ahead + timedelta(seconds=seconds)),  # type: ignore[attr-defined]
        )

    given: dict[str, Callable[[], list[Any]]] = {
        "case": lambda: [case(False), case(True)],
        "sync_case": lambda: [case(False)],
        "async_case": lambda: [case(True)],
        "both_cases": lambda: [(case(False), case(True))],
    }
    for mark in getattr(test, "pytestmark", ()):
        names = [mark.args[0]] if isinstance(mark.args[0], str) else list(mark.args[0])
        rows = [row if isinstance(row, tuple) else (row,) for row in mark.args[1]]
        for row in rows:
            for one in given["case"]():
                yield lambda one=one, row=row: test(one, **dict(zip(names, row, strict=True)))
    if not hasattr(test, "pytestmark"):
        fixture = next(iter(inspect.signature(test).parameters))
        for one in given[fixture]():
            yield lambda one=one: test(one)


def failures(check: str, store: BaseStore, loop: StoreLoop) -> list[BaseException]:
    found: list[BaseException] = []
    for run in runs_of(check, store, loop):
        try:
            run()
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001
            found.append(error)
    return found


@pytest.mark.parametrize("name", FAULTS)
def test_planted_fault_is_caught(name: str, loop: StoreLoop) -> None:
    check, methods = FAULTS[name]
    assert failures(check, ToyStore(), loop) == [] or check == "tt01"
    broken: BaseStore = type("Broken", (ToyStore,), methods)()
    assert failures(check, broken, loop), f"{check} does not see that {name}"
