"""Faults in puts, gets, times and batches, each caught by the check that names it."""

import copy
import ctypes
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from langgraph.store.base import Op, PutOp

from langgraph_memskill.testing.store_checks.batches import BatchChecks
from langgraph_memskill.testing.store_checks.items import ItemChecks
from langgraph_memskill.testing.store_suite import check_id


def fault(name: str, check: str, **methods: Any) -> Any:
    return pytest.param(check, methods, id=name)


def place_of(op: Any) -> Any:
    return (op.namespace, op.key)


def writes(change: Callable[[Any], Any]) -> Callable[..., None]:
    """A store that writes a changed value."""

    def write(store: Any, op: Any, vectors: Any) -> None:
        value = None if op.value is None else change(op.value)
        store.right.write(op._replace(value=value), vectors)

    return write


def refuses(is_bad: Callable[[str], bool]) -> Callable[..., None]:
    """A store that refuses some values, by their JSON."""

    def write(store: Any, op: Any, vectors: Any) -> None:
        if is_bad(json.dumps(op.value)):
            store.refuse()
        store.right.write(op, vectors)

    return write


def any_depth(store: Any, op: Any) -> Any:
    root = op.namespace[:1]
    return next(
        (i for i in store.items.values() if (i.key, i.namespace[:1]) == (op.key, root)), None
    )


def any_case(store: Any, op: Any) -> Any:
    wanted = (op.namespace, op.key.lower())
    return next((i for (n, k), i in store.items.items() if (n, k.lower()) == wanted), None)


def merges(store: Any, op: Any, vectors: Any) -> None:
    old = store.items.get(place_of(op))
    value = {**old.value, **op.value} if old and op.value is not None else op.value
    store.right.write(op._replace(value=value), vectors)


def revives(store: Any, op: Any, vectors: Any) -> None:
    graves = store.__dict__.setdefault("graves", {})
    if op.value is None and place_of(op) in store.items:
        graves[place_of(op)] = store.items[place_of(op)].value
    elif op.value is not None:
        op = op._replace(value={**graves.pop(place_of(op), {}), **op.value})
    store.right.write(op, vectors)


def touches(store: Any, op: Any) -> Any:
    item = store.right.read_item(op)
    if item is not None:
        item.updated_at = store.now()
    return item


def one_by_one(store: Any, ops: list[Op], vectors: Any) -> list[Any]:
    pairs = zip(ops, vectors, strict=True)
    return [
        store.write(op, mine) if isinstance(op, PutOp) else store.read(op) for op, mine in pairs
    ]


def grouped(store: Any, ops: list[Op], vectors: Any) -> list[Any]:
    return sorted(store.right.carry_out(ops, vectors), key=lambda result: result is None)


def by_key_only(store: Any, ops: list[Op], vectors: Any) -> list[Any]:
    last = {op.key: n for n, op in enumerate(ops) if isinstance(op, PutOp)}
    kept = [n for n, op in enumerate(ops) if not isinstance(op, PutOp) or last[op.key] == n]
    results = store.right.carry_out([ops[n] for n in kept], [vectors[n] for n in kept])
    answers = dict(zip(kept, results, strict=True))
    return [answers.get(n) for n in range(len(ops))]


def answers_once(store: Any, ops: list[Op], vectors: Any) -> list[Any]:
    results = store.right.carry_out(ops, vectors)
    return [None if ops[n] in ops[:n] else result for n, result in enumerate(results)]


FAULTS = [
    fault("puts are not seen", "it01", read_item=lambda s, op: None),
    fault("a get answers with another namespace's item", "it02", read_item=any_depth),
    fault("puts merge", "it03", write=merges),
    fault("deletes do nothing", "it04", drop=lambda s, place: None),
    fault("a deleted value comes back", "it05", write=revives),
    fault(
        "truth becomes a number",
        "it06",
        write=writes(lambda v: json.loads(json.dumps(v).replace("true", "1"))),
    ),
    fault("NUL is refused", "it07", write=refuses(lambda text: "\\u0000" in text)),
    fault(
        "integers become floats",
        "it08",
        write=writes(lambda v: json.loads(json.dumps(v), parse_int=float)),
    ),
    fault("values are shared", "it09", copied=lambda s, item: item),
    fault(
        "a put keeps what it was given",
        "it10",
        copied=lambda s, item: item if isinstance(item, dict) else copy.deepcopy(item),
    ),
    fault("values are copied one level deep", "it11", copied=lambda s, item: copy.copy(item)),
    fault("keys ignore case", "it12", read_item=any_case),
    fault("long values are refused", "it13", write=refuses(lambda text: len(text) > 65_535)),
    fault(
        "floats have 32 bits",
        "it14",
        write=writes(
            lambda v: json.loads(
                json.dumps(v), parse_float=lambda t: ctypes.c_float(float(t)).value
            )
        ),
    ),
    fault("it is always 1970", "tm01", now=lambda s: datetime.fromtimestamp(0, UTC)),
    fault("times have no zone", "tm02", now=lambda s: datetime.now() + s.ahead),
    fault("an overwrite is a creation", "tm03", created=lambda s, old, now: now),
    fault(
        "times are whole seconds",
        "tm04",
        now=lambda s: (datetime.now(UTC) + s.ahead).replace(microsecond=0),
    ),
    fault(
        "a delete does not end a creation",
        "tm05",
        created=lambda s, old, now: s.__dict__.setdefault("first", now),
    ),
    fault("a get is an update", "tm06", read_item=touches),
    fault("results are grouped by kind", "ba01", carry_out=grouped),
    fault("reads see the writes before them", "ba02", carry_out=one_by_one),
    fault(
        "the first put of a key wins",
        "ba03",
        carry_out=lambda s, ops, vectors: s.right.carry_out(ops[::-1], vectors[::-1])[::-1],
    ),
    fault(
        "an empty batch is None",
        "ba04",
        carry_out=lambda s, ops, vectors: s.right.carry_out(ops, vectors) or None,
    ),
    fault(
        "only lists are batches",
        "ba05",
        batch=lambda s, ops: s.right.batch(ops) if isinstance(ops, list) else s.refuse(),
    ),
    fault("the same read is answered once", "ba06", carry_out=answers_once),
    fault(
        "a batch has at most a hundred operations",
        "ba07",
        embed=lambda s, ops: s.right.embed(ops) if len(ops) <= 100 else s.refuse(),
    ),
    fault("puts of a batch are told apart by key only", "ba08", carry_out=by_key_only),
]


@pytest.mark.parametrize(("check", "methods"), FAULTS)
def test_fault_is_caught(
    check: str, methods: dict[str, Any], misses: Callable[[str, dict[str, Any]], bool]
) -> None:
    assert not misses(check, methods)


def test_each_check_has_a_fault() -> None:
    names = [name for part in (ItemChecks, BatchChecks) for name in dir(part)]
    checks = {check_id(name) for name in names if name.startswith("test_")}
    assert {param.values[0] for param in FAULTS} == checks
