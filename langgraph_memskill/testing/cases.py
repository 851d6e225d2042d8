"""What a check works with: the store under test, called by its sync or its async methods."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import pytest
from langgraph.store.base import BaseStore, GetOp, Item, Op, Result, SearchItem

from langgraph_memskill.testing.loops import StoreLoop

Namespace = tuple[str, ...]
OPERATORS = frozenset({"$eq", "$ne", "$gt", "$gte", "$lt", "$lte"})
"""The filter operators that LangGraph documents (`SearchOp.filter`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a store is said to be able to do; None is found out.

    What a store does not claim is not checked: the checks are skipped with the reason.
    """

    sync_calls: bool | None = None
    """Found out by a get: NotImplementedError means no."""
    async_calls: bool | None = None
    """Found out by an aget: NotImplementedError means no."""
    vectors: bool | None = None
    """Found out by the attributes `embeddings` and `index_config` of LangGraph's stores."""
    ttl: bool | None = None
    """Found out by `supports_ttl`."""
    operators: frozenset[str] = OPERATORS
    """The filter operators that it knows."""
    ttl_s: float = 3.0
    """A time to live that is short for it, in seconds; checks wait so long."""
    clock_step_s: float = 0.05
    """The times of items that far apart differ, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What the store claims; of each, why not, or None if it does."""

    sync_calls: str | None
    async_calls: str | None
    vectors: str | None
    ttl: str | None
    operators: frozenset[str]


def find_abilities(store: BaseStore, loop: StoreLoop, claims: Claims) -> Abilities:
    """Find out what a store claims, where it was not said.

    Args:
        store: The store under test.
        loop: The loop in which it lives.
        claims: What was said.
    """
    probe = [GetOp(("store-suite-probe",), "none")]

    def refusal(claim: bool | None, name: str, call: Callable[[], object]) -> str | None:
        if claim is None:
            try:
                call()
            except NotImplementedError as error:
                return f"the store has no {name}: it raised {error!r}"
        return _unless(claim is not False, f"the store was said to have no {name}")

    has_vectors = claims.vectors
    if has_vectors is None:
        # Not in BaseStore, but all of LangGraph's stores have them.
        names = ("embeddings", "index_config")
        has_vectors = any(attribute(store, name) for name in names)
    has_ttl = store.supports_ttl if claims.ttl is None else claims.ttl
    return Abilities(
        sync_calls=refusal(claims.sync_calls, "sync methods", lambda: store.batch(probe)),
        async_calls=refusal(
            claims.async_calls, "async methods", lambda: loop.run(store.abatch(probe))
        ),
        vectors=_unless(has_vectors, "the store has no vector index"),
        ttl=_unless(has_ttl, "the store does not support times to live"),
        operators=claims.operators,
    )


def attribute(store: BaseStore, name: str) -> Any:
    """Get an attribute that BaseStore does not promise; None if it is not there."""
    return getattr(store, name, None)


def _unless(is_so: bool, reason: str) -> str | None:
    return None if is_so else reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One check's access to the store: the same calls, by the sync or the async methods."""

    store: BaseStore
    loop: StoreLoop
    can: Abilities
    is_async: bool
    """Whether the calls go to the async methods."""
    root: str
    """First label of all namespaces of this check; other data in the store is not touched."""
    ttl_s: float
    """A time to live that is short for this store, in seconds."""
    clock_step_s: float
    """The times of items that far apart differ, in seconds."""
    wait: Callable[[float], None]
    """Lets so many seconds pass, by the store's clock."""

    def ns(self, *labels: str) -> Namespace:
        """Make a namespace of this check."""
        return (self.root, *labels)

    def call(self, name: str, *args: Any, **options: Any) -> Any:
        """Call a method of the store, or its async twin in the store's loop."""
        if not self.is_async:
            return getattr(self.store, name)(*args, **options)

        async def twin() -> Any:
            return await getattr(self.store, f"a{name}")(*args, **options)

        return self.loop.run(twin())

    def put(self, namespace: Namespace, key: str, value: Mapping[str, Any], **options: Any) -> None:
        """Put an item."""
        assert self.call("put", namespace, key, value, **options) is None

    def put_all(self, namespace: Namespace, values: Mapping[str, Mapping[str, Any]]) -> None:
        """Put items one by one, in order."""
        for key, value in values.items():
            self.put(namespace, key, value)

    def get(self, namespace: Namespace, key: str, **options: Any) -> Item | None:
        """Get an item."""
        item: Item | None = self.call("get", namespace, key, **options)
        return item

    def value(self, namespace: Namespace, key: str) -> dict[str, Any] | None:
        """Get an item's value; None if there is no item."""
        return value_of(self.get(namespace, key))

    def delete(self, namespace: Namespace, key: str) -> None:
        """Delete an item."""
        assert self.call("delete", namespace, key) is None

    def search(self, namespace: Namespace, **options: Any) -> list[SearchItem]:
        """Search."""
        found: list[SearchItem] = self.call("search", namespace, **options)
        return found

    def found(self, namespace: Namespace, **options: Any) -> list[str]:
        """Search, and give the keys in the order in which they were found."""
        return [item.key for item in self.search(namespace, **options)]

    def only(self, namespace: Namespace) -> SearchItem:
        """Search for the one item that there is."""
        found = self.search(namespace)
        assert len(found) == 1, f"search found {len(found)} items: {found!r}"
        return found[0]

    def listed(self, **options: Any) -> list[Namespace]:
        """List namespaces of this check (of all, if `prefix` is given), sorted."""
        options.setdefault("prefix", (self.root,))
        names: list[Namespace] = self.call("list_namespaces", **options)
        return sorted(tuple(name) for name in names)

    def batch(self, *ops: Op) -> list[Result]:
        """Carry out a batch."""
        results: list[Result] = self.call("batch", list(ops))
        return results

    def pages(self, size: int, total: int, read: Callable[[int, int], Sequence[Any]]) -> list[Any]:
        """Read page after page, two pages further than there should be anything.

        Args:
            size: The limit of each page.
            total: How many there should be.
            read: Gets limit and offset.
        """
        got: list[Any] = []
        for offset in range(0, total + 2 * size, size):
            page = read(size, offset)
            assert len(page) <= size, f"limit={size} gave {len(page)}"
            got += page
        return got

    def sweep(self) -> Any:
        """Let the store delete what has expired, if it has a method for it.

        Returns:
            What `sweep_ttl` returned.
        """
        sweep_ttl = attribute(self.store, "sweep_ttl")
        if sweep_ttl is None:
            return None
        if not inspect.iscoroutinefunction(sweep_ttl):
            return sweep_ttl()

        async def swept() -> Any:
            return await sweep_ttl()

        return self.loop.run(swept())

    def needs(self, refusal: str | None) -> None:
        """Skip the check if there is a reason."""
        if refusal is not None:
            skip(refusal)

    def needs_operators(self, operators: Iterable[str]) -> None:
        """Skip the check unless the store claims these filter operators."""
        missing = sorted(set(operators) - self.can.operators)
        if missing:
            skip(f"the store was said not to know {', '.join(missing)}")


def value_of(item: Item | None) -> dict[str, Any] | None:
    """Get an item's value; None if there is no item."""
    return None if item is None else item.value


def skip(reason: str) -> NoReturn:
    """Skip the running check."""
    pytest.skip(reason)
