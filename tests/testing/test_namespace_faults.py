"""Faults in namespaces and their listing, each caught by the check that names it."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from langgraph.store.base import ListNamespacesOp, PutOp

from langgraph_memskill.testing.store_checks.listing import ListingChecks
from langgraph_memskill.testing.store_checks.namespaces import NamespaceChecks
from langgraph_memskill.testing.store_suite import check_id

Namespace = tuple[str, ...]


def fault(name: str, check: str, **methods: Any) -> Any:
    return pytest.param(check, methods, id=name)


def joined(namespace: Namespace) -> str:
    return "/".join(namespace)


def like(pattern: str, text: str) -> bool:
    """SQL's LIKE."""
    return bool(re.fullmatch(re.escape(pattern).replace("_", ".").replace("%", ".*"), text))


def unchecked(store: Any, namespace: Namespace, key: str, value: Any, index: Any = None) -> None:
    store.batch([PutOp(namespace, key, value, index)])


async def aunchecked(
    store: Any, namespace: Namespace, key: str, value: Any, index: Any = None
) -> None:
    await store.abatch([PutOp(namespace, key, value, index)])


UNCHECKED = {"validate": lambda s, op: None, "put": unchecked, "aput": aunchecked}


def run_together(store: Any, op: Any) -> Any:
    wanted = (".".join(op.namespace), op.key)
    return next((i for (n, k), i in store.items.items() if (".".join(n), k) == wanted), None)


def remembers_names(store: Any, op: Any, vectors: Any) -> None:
    store.__dict__.setdefault("seen", set()).add(op.namespace)
    store.right.write(op, vectors)


def reads_make_names(store: Any, op: Any) -> Any:
    store.__dict__.setdefault("seen", set()).add(op.namespace)
    return store.right.read_item(op)


def all_names(store: Any) -> set[Namespace]:
    names: set[Namespace] = store.right.names()
    return names | store.__dict__.get("seen", set())


def any_condition(store: Any, op: ListNamespacesOp) -> Any:
    found = [
        store.right.read_names(ListNamespacesOp((one,), op.max_depth, 1000))
        for one in op.match_conditions or ()
    ]
    return store.page(sorted(set().union(*found)), op)


FAULTS = [
    fault("no namespace is a namespace", "ns01", **UNCHECKED),
    fault("labels are not checked", "ns02", **UNCHECKED),
    fault("reserved labels are taken", "ns03", **UNCHECKED),
    fault(
        "prefixes end inside of labels",
        "ns04",
        is_under=lambda s, namespace, prefix: joined(namespace).startswith(joined(prefix)),
    ),
    fault(
        "prefixes are LIKE patterns",
        "ns05",
        is_under=lambda s, namespace, prefix: (
            like(joined(prefix), joined(namespace))
            or like(joined(prefix) + "/%", joined(namespace))
        ),
    ),
    fault(
        "searches look one level down only",
        "ns06",
        is_under=lambda s, namespace, prefix: (
            s.right.is_under(namespace, prefix) and len(namespace) <= len(prefix) + 1
        ),
    ),
    fault(
        "an empty prefix finds nothing",
        "ns07",
        is_under=lambda s, namespace, prefix: bool(prefix) and s.right.is_under(namespace, prefix),
    ),
    fault(
        "a delete reaches into other namespaces",
        "ns08",
        drop=lambda s, place: [s.right.drop(one) for one in list(s.items) if one[1] == place[1]],
    ),
    fault(
        "labels with periods reach into others",
        "ns09",
        validate=lambda s, op: None,
        read_item=run_together,
    ),
    fault(
        "apostrophes are lost",
        "ns10",
        write=lambda s, op, vectors: s.right.write(
            op._replace(namespace=tuple(label.replace("'", "") for label in op.namespace)), vectors
        ),
    ),
    fault(
        "namespaces have ten levels at most",
        "ns11",
        write=lambda s, op, vectors: (
            s.refuse() if len(op.namespace) > 10 else s.right.write(op, vectors)
        ),
    ),
    fault(
        "labels ignore case",
        "ns12",
        is_under=lambda s, namespace, prefix: (
            joined(namespace[: len(prefix)]).lower() == joined(prefix).lower()
        ),
    ),
    fault(
        "labels run together",
        "ns13",
        is_under=lambda s, namespace, prefix: (
            joined(namespace).split("/")[: len(prefix)] == joined(prefix).split("/")
        ),
    ),
    fault(
        "namespaces above are listed",
        "li01",
        names=lambda s: {n[:depth] for n in s.right.names() for depth in range(1, len(n) + 1)},
    ),
    fault(
        "a prefix leaves out the namespace itself",
        "li02",
        fits=lambda s, namespace, one: (
            s.right.fits(namespace, one)
            and (one.match_type == "suffix" or len(namespace) > len(one.path))
        ),
    ),
    fault(
        "a suffix is looked for anywhere",
        "li03",
        fits=lambda s, namespace, one: (
            s.right.fits(namespace, one)
            or (one.match_type == "suffix" and set(one.path) <= set(namespace))
        ),
    ),
    fault(
        "a star at the end matches nothing, too",
        "li04",
        fits=lambda s, namespace, one: s.right.fits(
            namespace, one._replace(path=one.path[:-1]) if one.path[-1] == "*" else one
        ),
    ),
    fault("one condition is enough", "li05", read_names=any_condition),
    fault(
        "max_depth leaves deeper ones out",
        "li06",
        cut=lambda s, namespace, depth: (
            namespace if depth is None or len(namespace) <= depth else ("cut",)
        ),
    ),
    fault(
        "offset counts from one",
        "li07",
        page=lambda s, found, op: found[max(0, op.offset - 1) :][: op.limit],
    ),
    fault(
        "never more than a hundred",
        "li08",
        page=lambda s, found, op: found[op.offset :][: min(op.limit, 100)],
    ),
    fault(
        "prefixes match parts of labels",
        "li09",
        fits=lambda s, namespace, one: (
            joined(namespace).startswith(joined(one.path))
            if one.match_type == "prefix"
            else s.right.fits(namespace, one)
        ),
    ),
    fault("empty namespaces stay", "li10", write=remembers_names, names=all_names),
    fault("reading makes namespaces", "li11", read_item=reads_make_names, names=all_names),
    fault(
        "labels are LIKE patterns",
        "li12",
        fits=lambda s, namespace, one: (
            s.right.fits(namespace, one) or like(joined(one.path) + "/%", joined(namespace))
        ),
    ),
]


@pytest.mark.parametrize(("check", "methods"), FAULTS)
def test_fault_is_caught(
    check: str, methods: dict[str, Any], misses: Callable[[str, dict[str, Any]], bool]
) -> None:
    assert not misses(check, methods)


def test_each_check_has_a_fault() -> None:
    names = [name for part in (NamespaceChecks, ListingChecks) for name in dir(part)]
    checks = {check_id(name) for name in names if name.startswith("test_")}
    assert {param.values[0] for param in FAULTS} == checks
