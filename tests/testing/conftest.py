"""A toy store that keeps the contract, and what runs a check against a faulty copy of it."""

import asyncio
import copy
import functools
import inspect
import math
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from langgraph.store.base import (
    BaseStore,
    GetOp,
    Item,
    ListNamespacesOp,
    Op,
    PutOp,
    SearchItem,
    SearchOp,
    get_text_at_path,
    tokenize_path,
    validate_op_namespace,
)

from langgraph_memskill.testing.cases import Case, Claims, find_abilities
from langgraph_memskill.testing.store_suite import (
    LetterEmbeddings,
    StoreLoop,
    StoreSuite,
    check_id,
    index_config,
)

Namespace = tuple[str, ...]
Place = tuple[Namespace, str]
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": lambda seen, bound: seen == bound,
    "$ne": lambda seen, bound: seen != bound,
    "$gt": lambda seen, bound: seen > bound,
    "$gte": lambda seen, bound: seen >= bound,
    "$lt": lambda seen, bound: seen < bound,
    "$lte": lambda seen, bound: seen <= bound,
}


class PlantedError(Exception):
    """A planted fault that refuses something."""


class ToyStore(BaseStore):
    """A dict that keeps the contract; the steps that faults replace are methods of their own."""

    supports_ttl = True
    has_vectors = True
    embedding = LetterEmbeddings()

    def __init__(self) -> None:
        self.index_config = index_config() if self.has_vectors else None
        self.items: dict[Place, Item] = {}
        self.vectors: dict[Place, list[list[float]]] = {}
        self.deadlines: dict[Place, tuple[datetime, float]] = {}
        self.lock = threading.RLock()
        self.ahead = timedelta()

    @property
    def right(self) -> Any:
        """The methods as they should be, for a store that replaces some of them."""
        return super(type(self), self)

    def refuse(self, *_: object) -> Any:
        """Raise the one error that a fault may raise without being a mistake of the test."""
        raise PlantedError

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def batch(self, ops: Iterable[Op]) -> list[Any]:
        ops = list(ops)
        for op in ops:
            self.validate(op)
        with self.lock:
            return self.carry_out(ops, self.embed(ops))

    async def abatch(self, ops: Iterable[Op]) -> list[Any]:
        return await asyncio.to_thread(self.batch, list(ops))

    def validate(self, op: Op) -> None:
        validate_op_namespace(op)

    def embed(self, ops: list[Op]) -> list[list[list[float]]]:
        return [
            self.embedding.embed_documents(self.texts(op)) if isinstance(op, PutOp) else []
            for op in ops
        ]

    def texts(self, op: PutOp) -> list[str]:
        if op.value is None or op.index is False or self.index_config is None:
            return []
        paths = self.index_config["fields"] if op.index is None else op.index
        return [text for path in paths or () for text in self.text_at(op.value, path)]

    def text_at(self, value: Any, path: str) -> list[str]:
        return get_text_at_path(value, tokenize_path(path))

    def carry_out(self, ops: list[Op], vectors: list[list[list[float]]]) -> list[Any]:
        results = [None if isinstance(op, PutOp) else self.read(op) for op in ops]
        last = {(op.namespace, op.key): n for n, op in enumerate(ops) if isinstance(op, PutOp)}
        for n in last.values():
            self.write(ops[n], vectors[n])
        return results

    def read(self, op: Op) -> Any:
        if isinstance(op, GetOp):
            return self.read_item(op)
        if isinstance(op, SearchOp):
            return self.read_search(op)
        assert isinstance(op, ListNamespacesOp)
        return self.read_names(op)

    def read_item(self, op: GetOp) -> Item | None:
        item = self.items.get((op.namespace, op.key))
        if item is None or self.is_hidden((op.namespace, op.key)):
            return None
        if op.refresh_ttl:
            self.refresh(item)
        return self.copied(item)

    def is_hidden(self, place: Place) -> bool:
        omits = (self.ttl_config or {}).get("omit_expired")
        return bool(omits) and place in self.deadlines and self.deadlines[place][0] < self.now()

    def copied(self, item: Any) -> Any:
        return copy.deepcopy(item)

    def refresh(self, item: Item) -> None:
        place = (item.namespace, item.key)
        if place in self.deadlines:
            self.set_deadline(place, self.deadlines[place][1])

    def set_deadline(self, place: Place, minutes: float | None) -> None:
        self.deadlines.pop(place, None)
        if minutes is not None:
            self.deadlines[place] = (self.now() + timedelta(minutes=minutes), minutes)

    def write(self, op: Any, vectors: list[list[float]]) -> None:
        place = (op.namespace, op.key)
        if op.value is None:
            self.drop(place)
            return
        old, now = self.items.get(place), self.now()
        self.items[place] = Item(
            value=self.copied(dict(op.value)),
            key=op.key,
            namespace=op.namespace,
            created_at=self.created(old, now),
            updated_at=now,
        )
        self.vectors[place] = vectors
        self.set_deadline(place, op.ttl)

    def created(self, old: Item | None, now: datetime) -> datetime:
        return old.created_at if old else now

    def drop(self, place: Place) -> None:
        for table in (self.items, self.vectors, self.deadlines):
            table.pop(place, None)  # type: ignore[attr-defined]

    def pass_time(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)

    def sweep_ttl(self) -> int:
        with self.lock:
            due = [place for place, (when, _) in self.deadlines.items() if when < self.now()]
            for place in due:
                self.drop(place)
            return len(due)

    def is_under(self, namespace: Namespace, prefix: Namespace) -> bool:
        return namespace[: len(prefix)] == prefix

    def read_search(self, op: SearchOp) -> list[SearchItem]:
        found = [
            item
            for place, item in list(self.items.items())
            if not self.is_hidden(place)
            and self.is_under(item.namespace, op.namespace_prefix)
            and all(self.passes(item.value, *one) for one in (op.filter or {}).items())
        ]
        scored = self.page(self.ranked(found, op.query), op)
        for item, _ in scored:
            if op.refresh_ttl:
                self.refresh(item)
        return [
            SearchItem(
                namespace=item.namespace,
                key=item.key,
                value=self.copied(item.value),
                created_at=item.created_at,
                updated_at=item.updated_at,
                score=score,
            )
            for item, score in scored
        ]

    def page(self, found: list[Any], op: Any) -> list[Any]:
        return found[op.offset : op.offset + op.limit]

    def ranked(self, found: list[Item], query: str | None) -> list[tuple[Item, float | None]]:
        if query is None or self.index_config is None:
            return [(item, None) for item in found]
        asked = self.embedding.embed_query(query)
        scores = [(item, self.score(item, asked)) for item in found]
        return sorted(scores, key=lambda pair: math.inf if pair[1] is None else -pair[1])

    def score(self, item: Item, asked: list[float]) -> float | None:
        vectors = self.vectors[item.namespace, item.key]
        return max((cosine(asked, vector) for vector in vectors), default=None)

    def passes(self, value: Any, field: str, wanted: Any) -> bool:
        if field not in value:
            return False
        if isinstance(wanted, dict) and any(name.startswith("$") for name in wanted):
            if unknown := wanted.keys() - OPERATORS.keys():
                raise ValueError(f"Unsupported operator: {unknown}")
            return all(OPERATORS[name](value[field], bound) for name, bound in wanted.items())
        return type(wanted) is type(value[field]) and bool(value[field] == wanted)

    def read_names(self, op: ListNamespacesOp) -> list[Namespace]:
        names = {
            self.cut(namespace, op.max_depth)
            for namespace in self.names()
            if all(self.fits(namespace, one) for one in op.match_conditions or ())
        }
        return self.page(sorted(names), op)

    def names(self) -> set[Namespace]:
        return {place[0] for place in self.items if not self.is_hidden(place)}

    def cut(self, namespace: Namespace, max_depth: int | None) -> Namespace:
        return namespace[:max_depth]

    def fits(self, namespace: Namespace, condition: Any) -> bool:
        part = condition.path
        if len(part) > len(namespace):
            return False
        start = 0 if condition.match_type == "prefix" else len(namespace) - len(part)
        return all(
            label in ("*", seen) for label, seen in zip(part, namespace[start:], strict=False)
        )


def cosine(one: list[float], other: list[float]) -> float:
    length = math.hypot(*one) * math.hypot(*other)
    return sum(x * y for x, y in zip(one, other, strict=True)) / length if length else 0.0


@pytest.fixture(scope="session")
def toy_class() -> type[ToyStore]:
    return ToyStore


@pytest.fixture(scope="module")
def toy_loop() -> Iterator[StoreLoop]:
    loop = StoreLoop()
    yield loop
    loop.close()


@pytest.fixture
def misses(toy_loop: StoreLoop) -> Callable[[str, dict[str, Any]], bool]:
    """Tells whether a check passes although the toy store has these methods instead."""

    def misses_fault(check: str, methods: dict[str, Any]) -> bool:
        # What happens in one order of the threads only may need some tries to be seen.
        for _ in range(20 if check.startswith("co") else 1):
            broken: ToyStore = type("Broken", (ToyStore,), methods)()
            for run in runs_of(check, broken, toy_loop):
                try:
                    run()
                except (AssertionError, pytest.fail.Exception, PlantedError):
                    return False
        return True

    return misses_fault


def runs_of(check: str, store: ToyStore, loop: StoreLoop) -> Iterator[Callable[[], object]]:
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
            wait=store.pass_time,
        )

    cases = {
        "case": lambda: [case(False), case(True)],
        "sync_case": lambda: [case(False)],
        "async_case": lambda: [case(True)],
        "both_cases": lambda: [(case(False), case(True))],
    }
    marks = getattr(test, "pytestmark", [])
    names, rows = marks[0].args if marks else ((), [()])
    wanted = [names] if isinstance(names, str) else names
    for row in rows:
        values = dict(zip(wanted, row if isinstance(row, tuple) else (row,), strict=True))
        for one in cases[next(iter(inspect.signature(test).parameters))]():
            yield functools.partial(test, one, **values)
