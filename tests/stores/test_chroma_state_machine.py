"""ChromaStore against InMemoryStore on any sequence of batches."""

import asyncio
import hashlib
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from langgraph.store import memory
from langgraph.store.base import (
    GetOp,
    Item,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchItem,
    SearchOp,
)
from langgraph.store.memory import InMemoryStore

from langgraph_memskill.errors import ConflictError
from langgraph_memskill.stores import embedded
from langgraph_memskill.stores.chroma import ChromaStore
from langgraph_memskill.stores.conditional import PutIfOp

DIMS = 4
RESOLUTION = timedelta.resolution


def embed(texts: list[str]) -> list[list[float]]:
    """Unrelated texts get unrelated directions; "zero" gets none."""
    seeds = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8] for text in texts]
    rows = [np.random.default_rng(int.from_bytes(seed, "big")).normal(size=DIMS) for seed in seeds]
    return [
        [0.0] * DIMS if text == "zero" else row.tolist()
        for text, row in zip(texts, rows, strict=True)
    ]


INDEX: Any = {"dims": DIMS, "embed": embed, "fields": ["text", "notes[*].said"]}


class _Namespaces(dict[tuple[str, ...], dict[str, Item]]):
    """Reading a namespace that is not there does not create it."""

    def __missing__(self, namespace: tuple[str, ...]) -> dict[str, Item]:
        return {}


class Reference(InMemoryStore):
    """InMemoryStore without its accidents: each method here is one, and no more than one."""

    def __init__(self) -> None:
        super().__init__(index=INDEX)
        self._data = _Namespaces()

    def _apply_put_ops(self, put_ops: Any) -> None:
        for (namespace, _), op in put_ops.items():
            if op.value is not None:
                self._data.setdefault(namespace, {})
        super()._apply_put_ops(put_ops)

    def _handle_list_namespaces(self, op: ListNamespacesOp) -> Any:
        everything = self._data
        self._data = _Namespaces({name: items for name, items in everything.items() if items})
        found = super()._handle_list_namespaces(op)
        self._data = everything
        return found

    def _extract_texts(self, put_ops: Any) -> Any:
        for namespace, key in put_ops:
            self._vectors[namespace].pop(key, None)
        return super()._extract_texts(put_ops)

    def _insertinmem_store(self, to_embed: Any, embeddings: Any) -> None:
        for places, vector in zip(to_embed.values(), embeddings, strict=True):
            for namespace, key, path in places:
                self._vectors[namespace][key][path] = vector


# Few namespaces and keys, so that items are overwritten, moved on and deleted all the time.
NAMESPACES = [("u1",), ("u10",), ("u1", "a"), ("u1", "a", "b"), ("é \ud800", "a")]
namespaces = st.sampled_from(NAMESPACES)
prefixes = st.one_of(st.just(()), namespaces, namespaces.map(lambda namespace: namespace[:1]))
labels = st.sampled_from(["u1", "u10", "u", "a", "b", "é \ud800"])
keys = st.sampled_from(["k1", "k2", "", 'k1"#1.0'])
texts = st.sampled_from(["cat", "dog", "a longer text", "zero", "größe", "cat dog"])
numbers = st.sampled_from([0, 1, 2.5, -3, "7", True])
values = st.fixed_dictionaries(
    {},
    optional={
        "text": texts,
        "notes": st.lists(st.fixed_dictionaries({"said": texts}), max_size=3),
        "n": st.one_of(numbers, st.none()),
        "meta": st.fixed_dictionaries({}, optional={"n": numbers, "tags": st.lists(texts)}),
    },
)
bounds = st.one_of(numbers, st.sampled_from([None, "x"]))
comparisons = st.dictionaries(
    st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]), bounds, min_size=1, max_size=2
)
junctions = st.dictionaries(
    st.sampled_from(["$and", "$or"]), st.lists(comparisons, max_size=2), min_size=1
)
operators = st.one_of(
    comparisons,
    comparisons,
    junctions,
    st.dictionaries(st.sampled_from(["$in", "$nin"]), st.lists(bounds, max_size=3), min_size=1),
    st.fixed_dictionaries({"$not": st.one_of(comparisons, junctions)}),
)
conditions = st.one_of(
    bounds,
    operators,
    st.lists(texts, max_size=2),
    st.fixed_dictionaries({"n": st.one_of(numbers, operators)}),
    st.fixed_dictionaries({"tags": st.lists(texts, max_size=2)}),
)
filters = st.dictionaries(st.sampled_from(["n", "text", "meta", "none"]), conditions, max_size=2)
indexes = st.one_of(
    st.none(),
    st.none(),
    st.just(False),
    st.lists(
        st.sampled_from(["text", "notes[0].said", "notes[-1].said", "meta.tags[*]", "meta", "$"]),
        max_size=2,
    ),
)
limits = st.sampled_from([0, 1, 2, 3, 5, 10, 100, -1])
offsets = st.sampled_from([0, 0, 0, 1, 2, 5, -1])
patterns = st.lists(st.one_of(labels, st.just("*")), min_size=1, max_size=3).map(tuple)

puts = st.builds(
    PutOp, namespaces, keys, values, index=indexes, ttl=st.sampled_from([None, None, None, 5.0])
)
deletes = st.builds(PutOp, namespaces, keys, st.none())
gets = st.builds(GetOp, namespaces, keys)
searches = st.builds(
    SearchOp,
    prefixes,
    st.one_of(st.none(), st.none(), filters),
    limits,
    offsets,
    st.one_of(st.none(), texts.filter(lambda text: text != "zero"), st.just("")),
)
listings = st.builds(
    ListNamespacesOp,
    st.one_of(
        st.none(),
        st.lists(
            st.builds(MatchCondition, st.sampled_from(["prefix", "suffix"]), patterns), max_size=2
        ).map(tuple),
    ),
    st.sampled_from([None, None, 0, 1, 2, -1]),
    limits,
    offsets,
)


known_operator = memory._apply_operator


def apply_operator(value: Any, operator: str, bound: Any) -> bool:
    """The operators that InMemoryStore does not know, said in its own words."""
    several = [*value, value] if isinstance(value, list) else [value]
    match operator:
        case "$in":
            return any(one in bound for one in several)
        case "$nin":
            return not any(one in bound for one in several)
        case "$not":
            return not memory._compare_values(value, bound)
        case "$and":
            return all(memory._compare_values(value, one) for one in bound)
        case "$or":
            return any(memory._compare_values(value, one) for one in bound)
    return known_operator(value, operator, bound)


def outcome(store: Any, ops: list[Any], runner: asyncio.Runner | None) -> Any:
    try:
        return store.batch(ops) if runner is None else runner.run(store.abatch(ops))
    except (ValueError, TypeError) as error:
        return type(error)


def plain(result: Any) -> Any:
    """What of a result must be equal: times differ, scores are compared up to rounding."""
    if isinstance(result, list):
        return [plain(one) for one in result]
    if isinstance(result, Item):
        score = result.score if isinstance(result, SearchItem) else None
        score = None if score is None else pytest.approx(score, abs=1e-5)
        return (result.namespace, result.key, result.value, score)
    return result


class Machine(RuleBasedStateMachine):
    """Runs every batch on both stores."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.store = self.open()
        self.reference = Reference()
        self.created: dict[tuple[tuple[str, ...], str], datetime] = {}

    def open(self) -> ChromaStore:
        return ChromaStore(index=INDEX)

    def teardown(self) -> None:
        self.store.close()
        self.runner.close()

    def compare(self, ops: list[Any], *, use_async: bool) -> None:
        runner = self.runner if use_async else None
        expected = outcome(self.reference, ops, runner)
        found = outcome(self.store, ops, runner)
        assert plain(found) == plain(expected), ops

    @rule(op=puts, use_async=st.booleans())
    def put(self, op: PutOp, use_async: bool) -> None:
        self.compare([op], use_async=use_async)
        item = self.store.get(op.namespace, op.key)
        assert item is not None
        place = (op.namespace, op.key)
        is_new = place not in self.created
        assert self.created.setdefault(place, item.created_at) == item.created_at
        assert (item.updated_at == item.created_at) == is_new
        assert item.updated_at.tzinfo is not None

    @rule(op=puts, knows=st.sampled_from(["present", "present", "former", "nothing"]))
    def put_if(self, op: PutOp, knows: str) -> None:
        item = self.store.get(op.namespace, op.key)
        expected = item.updated_at if item and knows != "nothing" else None
        if knows == "former":
            expected = datetime(2020, 1, 1, tzinfo=UTC)
        try:
            self.store.batch([PutIfOp(op, expected)])
        except ConflictError:
            assert expected != (item.updated_at if item else None)
            assert plain(self.store.get(op.namespace, op.key)) == plain(item)
            return
        assert expected == (item.updated_at if item else None)
        self.reference.batch([op])
        new = self.store.get(op.namespace, op.key)
        assert new is not None
        assert new.updated_at > (item.updated_at if item else new.created_at - RESOLUTION)
        self.created[op.namespace, op.key] = new.created_at

    @rule(op=deletes, use_async=st.booleans())
    def delete(self, op: PutOp, use_async: bool) -> None:
        self.compare([op], use_async=use_async)
        self.created.pop((op.namespace, op.key), None)

    @rule(op=gets, use_async=st.booleans())
    def get(self, op: GetOp, use_async: bool) -> None:
        self.compare([op], use_async=use_async)

    @rule(op=searches, use_async=st.booleans())
    def search(self, op: SearchOp, use_async: bool) -> None:
        self.compare([op], use_async=use_async)

    @rule(op=listings, use_async=st.booleans())
    def list_namespaces(self, op: ListNamespacesOp, use_async: bool) -> None:
        self.compare([op], use_async=use_async)

    @rule(
        ops=st.lists(st.one_of(puts, puts, deletes, gets, searches, listings), max_size=6),
        use_async=st.booleans(),
    )
    def batch(self, ops: list[Any], use_async: bool) -> None:
        self.compare(ops, use_async=use_async)
        for op in ops:
            if isinstance(op, PutOp):
                self.created.pop((op.namespace, op.key), None)
                if (item := self.store.get(op.namespace, op.key)) is not None:
                    self.created[op.namespace, op.key] = item.created_at


class FolderMachine(Machine):
    """The same in a folder that is closed and opened again, and opened twice, now and then."""

    def open(self) -> ChromaStore:
        self.folder = tempfile.TemporaryDirectory()
        self.others: list[ChromaStore] = []
        return ChromaStore(self.folder.name, index=INDEX)

    @rule()
    def reopen(self) -> None:
        self.store.close()
        for other in self.others:
            other.close()
        self.others = []
        self.store = ChromaStore(self.folder.name, index=INDEX)

    @precondition(lambda self: len(self.others) < 2)
    @rule()
    def use_a_second_object(self) -> None:
        self.others.append(self.store)
        self.store = ChromaStore(Path(self.folder.name), index=INDEX)

    def teardown(self) -> None:
        for store in self.others:
            store.close()
        super().teardown()
        self.folder.cleanup()


@pytest.fixture(autouse=True)
def _all_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_apply_operator", apply_operator)


QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


@pytest.mark.slow
@pytest.mark.hypothesis
def test_memory_behaves_as_in_memory_store() -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=500,
            stateful_step_count=25,
            suppress_health_check=QUIET,
        ),
    )


@pytest.mark.slow
@pytest.mark.hypothesis
def test_folder_behaves_as_in_memory_store(monkeypatch: pytest.MonkeyPatch) -> None:
    # Three vector indexes at most, so that the folder is opened anew all the time.
    monkeypatch.setattr(embedded, "_FEWEST_INDEXES", 3)
    monkeypatch.setattr(embedded, "_MOST_INDEXES", 3)
    run_state_machine_as_test(
        FolderMachine,
        settings=settings(
            max_examples=30,
            stateful_step_count=25,
            suppress_health_check=QUIET,
        ),
    )
