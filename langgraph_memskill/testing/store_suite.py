"""Checks any LangGraph `BaseStore` against the contract; needs pytest and langgraph only.

Subclass `StoreSuite` in a test file, with a fixture that makes an empty store:

    class TestMyStore(StoreSuite):
        @pytest.fixture
        def store(self):
            return MyStore(index=index_config())

or run the suite without writing a file (`python -m pytest` finds modules in the current folder):

    python -m pytest -p langgraph_memskill.testing.store_suite \
        --store my_package.my_module:make_store --pyargs langgraph_memskill.testing.store_suite

Each check runs by the sync and by the async methods and has an id that stays, such as ns04;
`contract()` lists them with what they mean and where LangGraph says so. What a store cannot do
(vectors, times to live, sync or async methods) is found out, or said with `Claims`; checks of it
are skipped with the reason. `known_failures` turns checks into strict expected failures.
"""

import functools
import importlib
import inspect
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

import pytest
from langgraph.store.base import BaseStore, TTLConfig

# Before they are imported, so that a failing check shows its values.
pytest.register_assert_rewrite("langgraph_memskill.testing.store_checks")

from langgraph_memskill.testing.cases import OPERATORS, Case, Claims, find_abilities
from langgraph_memskill.testing.embedding import DIMS, LetterEmbeddings, index_config
from langgraph_memskill.testing.loops import StoreLoop
from langgraph_memskill.testing.store_checks.batches import BatchChecks
from langgraph_memskill.testing.store_checks.concurrency import ConcurrencyChecks
from langgraph_memskill.testing.store_checks.faults import FaultChecks
from langgraph_memskill.testing.store_checks.items import ItemChecks
from langgraph_memskill.testing.store_checks.lifetimes import LifetimeChecks
from langgraph_memskill.testing.store_checks.listing import ListingChecks
from langgraph_memskill.testing.store_checks.namespaces import NamespaceChecks
from langgraph_memskill.testing.store_checks.searching import SearchChecks
from langgraph_memskill.testing.store_checks.twins import TwinChecks
from langgraph_memskill.testing.store_checks.vectors import VectorChecks

__all__ = [
    "DIMS",
    "Claims",
    "ContractPoint",
    "LetterEmbeddings",
    "StoreLoop",
    "StoreSuite",
    "contract",
    "index_config",
]

_CAPABILITIES = ("sync", "async", "vectors", "ttl", *sorted(OPERATORS))


class StoreSuite(
    ItemChecks,
    BatchChecks,
    NamespaceChecks,
    ListingChecks,
    SearchChecks,
    VectorChecks,
    TwinChecks,
    ConcurrencyChecks,
    LifetimeChecks,
    FaultChecks,
):
    """The checks; subclass it as `Test...` and give it a fixture `store`.

    The fixture returns a store, a context manager of one (sync or async), or a function that
    returns or yields one; what is async runs in the suite's event loop. Give the store
    `index_config()` if it can search by vectors. Each check keeps to a namespace root of its own,
    so one store may serve all: make the fixture class-scoped, open the store with
    `store_loop.opened(...)` and yield it. Checks run by the sync and by the async methods.
    """

    claims: ClassVar[Claims] = Claims()
    """What the store can do, where it should not be found out."""
    known_failures: ClassVar[Mapping[str, str]] = {}
    """Ids of checks that fail (as "ve08" or "ve08-async"), and why: strict expected failures."""
    known_races: ClassVar[Mapping[str, str]] = {}
    """Ids of checks that fail now and then, and why: expected failures that may pass."""

    def pass_time(self, store: BaseStore, seconds: float) -> None:
        """Let time pass by the store's clock; override it if the clock can be set."""
        time.sleep(seconds)

    @pytest.fixture
    def store(self) -> object:
        """The store under test; subclasses override it."""
        raise NotImplementedError("give your StoreSuite a fixture named 'store'")

    @pytest.fixture(scope="class")
    @classmethod
    def store_loop(cls) -> Iterator[StoreLoop]:
        """The event loop in which async stores live."""
        loop = StoreLoop()
        yield loop
        loop.close()

    @pytest.fixture
    def store_claims(self) -> Claims:
        """What the store can do."""
        return self.claims

    @pytest.fixture
    def make_case(
        self, store: object, store_loop: StoreLoop, store_claims: Claims
    ) -> Iterator[Callable[[bool], Case]]:
        """Opens the store and makes cases that use its sync or its async methods."""
        root = f"suite-{uuid.uuid4().hex[:12]}"
        with store_loop.opened(store) as opened:
            can = find_abilities(opened, store_loop, store_claims)

            def make(is_async: bool) -> Case:
                case = Case(
                    store=opened,
                    loop=store_loop,
                    can=can,
                    is_async=is_async,
                    root=root,
                    ttl_s=store_claims.ttl_s,
                    clock_step_s=store_claims.clock_step_s,
                    wait=lambda seconds: self.pass_time(opened, seconds),
                )
                case.needs(can.async_calls if is_async else can.sync_calls)
                return case

            yield make

    @pytest.fixture(params=["sync", "async"])
    def case(self, request: pytest.FixtureRequest, make_case: Callable[[bool], Case]) -> Case:
        """The store, by its sync and by its async methods."""
        return make_case(request.param == "async")

    @pytest.fixture
    def sync_case(self, make_case: Callable[[bool], Case]) -> Case:
        """The store by its sync methods."""
        return make_case(False)

    @pytest.fixture
    def async_case(self, make_case: Callable[[bool], Case]) -> Case:
        """The store by its async methods."""
        return make_case(True)

    @pytest.fixture
    def both_cases(self, make_case: Callable[[bool], Case]) -> tuple[Case, Case]:
        """The same store and root, by sync and by async methods."""
        return make_case(False), make_case(True)

    @pytest.fixture(autouse=True)
    def _expect_known_failures(self, request: pytest.FixtureRequest) -> None:
        check = check_id(request.function.__name__)
        callspec = getattr(request.node, "callspec", None)
        way = callspec.params.get("case") if callspec else None
        for known in (check, f"{check}-{way}"):
            for table, is_strict in ((self.known_failures, True), (self.known_races, False)):
                if known in table:
                    request.applymarker(pytest.mark.xfail(reason=table[known], strict=is_strict))


def check_id(test_name: str) -> str:
    """Get the id of a check, as "ns04", from its function's name."""
    return test_name.removeprefix("test_").partition("_")[0]


class ContractPoint(NamedTuple):
    """One thing that a store must do."""

    id: str
    """Stays the same in later versions, and is never used again for something else."""
    meaning: str
    source: str
    """Where LangGraph says so; "base" is langgraph/store/base/__init__.py."""


def contract() -> list[ContractPoint]:
    """List what is checked, sorted by id."""
    points = []
    for name in dir(StoreSuite):
        if name.startswith("test_"):
            text = inspect.getdoc(getattr(StoreSuite, name)) or ""
            meaning, _, source = text.partition("Where: ")
            points.append(ContractPoint(check_id(name), meaning.strip(), source.strip()))
    return sorted(points)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the suite."""
    group = parser.getgroup("store suite", "checks of a LangGraph store")
    group.addoption(
        "--store",
        metavar="MODULE:NAME",
        help="the store: a BaseStore, a context manager, or a function that returns or yields one, "
        "sync or async; a function with parameters named `index` or `ttl` gets the suite's "
        "index and TTL configuration",
    )
    group.addoption(
        "--store-without",
        metavar="CAPABILITY",
        action="append",
        default=[],
        choices=_CAPABILITIES,
        help=f"what the store does not claim ({', '.join(_CAPABILITIES)}); repeatable",
    )
    group.addoption(
        "--store-ttl-seconds",
        type=float,
        default=Claims().ttl_s,
        help="a time to live that is short for the store; checks wait so long",
    )


def load_store(name: str) -> object:
    """Get what `--store` names.

    Args:
        name: "module:attribute".

    Returns:
        The attribute; a function with parameters `index` or `ttl` is bound to the suite's.

    Raises:
        UsageError: If there is no such thing.
    """
    module, _, attribute = name.partition(":")
    try:
        found: Any = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise pytest.UsageError(f"--store {name}: {error}; give MODULE:NAME") from error
    if isinstance(found, BaseStore) or not inspect.isroutine(found):
        return found
    offered = {"index": index_config(), "ttl": TTLConfig(refresh_on_read=True, omit_expired=True)}
    wanted = {key: offered[key] for key in inspect.signature(found).parameters if key in offered}
    return functools.partial(found, **wanted) if wanted else found


class TestStore(StoreSuite):
    """The store that `--store` names, anew for each check."""

    @pytest.fixture
    def store_claims(self, request: pytest.FixtureRequest) -> Claims:
        """What `--store-without` and `--store-ttl-seconds` say."""
        without = set(request.config.getoption("--store-without", default=()))
        return Claims(
            sync_calls=False if "sync" in without else None,
            async_calls=False if "async" in without else None,
            vectors=False if "vectors" in without else None,
            ttl=False if "ttl" in without else None,
            operators=OPERATORS - without,
            ttl_s=request.config.getoption("--store-ttl-seconds", default=Claims().ttl_s),
        )

    @pytest.fixture
    def store(self, request: pytest.FixtureRequest) -> object:
        """What `--store` names."""
        name = request.config.getoption("--store", default=None)
        if not name:
            raise pytest.UsageError(
                "say which store: -p langgraph_memskill.testing.store_suite --store MODULE:NAME"
            )
        return load_store(name)
