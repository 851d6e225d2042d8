"""Checks of namespaces: what is refused, and that nobody sees a neighbour's items."""

from typing import Any

import pytest
from langgraph.store.base import GetOp, InvalidNamespaceError, SearchOp

from langgraph_memskill.testing.cases import Case

_BAD_LABELS: tuple[Any, ...] = ("", "a.b", ".", "a\x00", 1, None, ("a",))
_NEIGHBOURS = ("u1", "u10", "u", "u1 ", "U1", "u1/x", "xu1", "u2")
_WILDCARDS = ("u_", "u%", "%", "_", "ux", "u_x", "u?", "u[xy]", "u\\", "u\\_")
_ODD_LABELS = (
    "with space",
    'quo"te',
    "apo'strophe",
    "sla/sh",
    "back\\slash",
    "per%cent",
    "under_score",
    "co:lon",
    "com,ma",
    "{brace}",
    "Grüße 🌍 日本",
    "new\nline",
    "l" * 200,
)


class NamespaceChecks:
    """Hierarchical namespaces."""

    def test_ns01_empty_namespace_is_refused(self, case: Case) -> None:
        """An item needs a namespace.

        Where: base, `BaseStore.put`, Raises: "If the namespace is empty".
        """
        with pytest.raises(InvalidNamespaceError):
            case.put((), "k", {"n": 1})

    def test_ns02_bad_labels_are_refused(self, case: Case) -> None:
        """Labels are texts that are not empty and hold no period and no NUL; every method checks.

        Where: base, "Raises: InvalidNamespaceError" of each method.
        """
        for label in _BAD_LABELS:
            for namespace in ((label,), (case.root, label), (case.root, label, "x")):
                for name, *arguments in (
                    ("put", namespace, "k", {"n": 1}),
                    ("get", namespace, "k"),
                    ("delete", namespace, "k"),
                    ("search", namespace),
                ):
                    with pytest.raises(InvalidNamespaceError):
                        case.call(name, *arguments)
                for side in ("prefix", "suffix"):
                    with pytest.raises(InvalidNamespaceError):
                        case.call("list_namespaces", **{side: namespace})
        assert case.found(case.ns()) == []

    def test_ns03_reserved_first_label(self, case: Case) -> None:
        """Nothing can be put under "langgraph"; deeper in, the label is free.

        Where: base, `BaseStore.put`, Raises: 'its root label is "langgraph"'.
        """
        with pytest.raises(InvalidNamespaceError):
            case.put(("langgraph", case.root), "k", {"n": 1})
        case.put(case.ns("langgraph"), "k", {"n": 1})
        assert case.value(case.ns("langgraph"), "k") == {"n": 1}

    def test_ns04_prefix_stops_at_label_borders(self, case: Case) -> None:
        """A search under ("u1",) sees nothing of ("u10",): prefixes are made of whole labels.

        Where: base, `SearchOp.namespace_prefix`: "Hierarchical path prefix"; CVE-2026-71433.
        """
        for label in _NEIGHBOURS:
            case.put(case.ns(label), "k", {"owner": label, "kind": "mine", "text": "a"})
            deeper = {"owner": label, "kind": "mine", "text": "ab"}
            case.put(case.ns(label, "deep"), "k", deeper)
        for label in _NEIGHBOURS:
            ways: list[dict[str, Any]] = [{}, {"query": "a"}, {"filter": {"kind": "mine"}}]
            for options in ways:
                found = case.search(case.ns(label), limit=100, **options)
                assert {item.value["owner"] for item in found} == {label}
                assert len(found) == 2

    def test_ns05_wildcards_are_plain_labels(self, case: Case) -> None:
        """In a search, `%`, `_`, `?`, `[]` and the backslash mean themselves.

        Where: base, `SearchOp.namespace_prefix`: no patterns there; CVE-2026-71433.
        """
        for label in _WILDCARDS:
            case.put(case.ns(label, "deep"), "k", {"owner": label})
        for label in _WILDCARDS:
            found = case.search(case.ns(label), limit=100)
            assert [item.value["owner"] for item in found] == [label]
            assert case.listed(prefix=case.ns(label)) == [case.ns(label, "deep")]

    def test_ns06_search_reaches_all_depths(self, case: Case) -> None:
        """A search finds the prefix itself and everything under it.

        Where: base, `SearchOp.namespace_prefix`: "defining the search scope".
        """
        for depth in range(1, 6):
            case.put(case.ns(*"abcde"[:depth]), f"k{depth}", {"n": depth})
        assert sorted(case.found(case.ns("a"))) == ["k1", "k2", "k3", "k4", "k5"]
        assert sorted(case.found(case.ns("a", "b", "c"))) == ["k3", "k4", "k5"]
        assert case.found(case.ns("b")) == []

    def test_ns07_empty_prefix_searches_everything(self, case: Case) -> None:
        """A search under () looks at the whole store.

        Where: base, `SearchOp.namespace_prefix`: "() # Search entire store".
        """
        mark = f"mark of {case.root}"
        case.put(case.ns("a"), "k1", {"mark": mark})
        case.put(case.ns("b", "c"), "k2", {"mark": mark})
        assert sorted(case.found((), filter={"mark": mark})) == ["k1", "k2"]

    def test_ns08_namespaces_are_apart(self, case: Case) -> None:
        """One key lives in several namespaces, each with its own value and end.

        Where: base, `PutOp.key`: unique "within the specific namespace".
        """
        names = [case.ns("a"), case.ns("a", "b"), case.ns("b"), case.ns("b", "a")]
        for number, namespace in enumerate(names):
            case.put(namespace, "k", {"n": number})
        case.delete(names[0], "k")
        assert [case.value(namespace, "k") for namespace in names] == [
            None,
            {"n": 1},
            {"n": 2},
            {"n": 3},
        ]

    def test_ns09_a_period_is_no_way_into_another_namespace(self, case: Case) -> None:
        """In a batch, ("a.b",) never gets at ("a", "b"); it is refused or finds nothing.

        Where: base, `validate_op_namespace`.
        """
        case.put(case.ns("a", "b"), "k", {"n": 1})
        for op in (GetOp((f"{case.root}.a.b",), "k"), SearchOp((f"{case.root}.a",))):
            try:
                [result] = case.batch(op)
            except InvalidNamespaceError:
                continue
            assert not result

    def test_ns10_odd_labels(self, case: Case) -> None:
        """Labels may hold spaces, quotes, slashes, any script; they come back as they were.

        Where: base, `_validate_namespace_labels`: only periods, NUL and emptiness are refused.
        """
        for label in _ODD_LABELS:
            case.put(case.ns(label), "k", {"owner": label})
        for label in _ODD_LABELS:
            item = case.only(case.ns(label))
            assert item.namespace == case.ns(label)
            assert item.value == {"owner": label}
        assert case.listed() == sorted(case.ns(label) for label in _ODD_LABELS)

    def test_ns11_deep_namespaces(self, case: Case) -> None:
        """Twenty levels are no problem.

        Where: base, `PutOp.namespace`: no limit is given.
        """
        deep = case.ns(*(f"level {number}" for number in range(20)))
        case.put(deep, "k", {"n": 1})
        assert case.value(deep, "k") == {"n": 1}
        assert case.search(deep[:10])[0].namespace == deep
        assert case.listed() == [deep]

    def test_ns12_labels_are_compared_exactly(self, case: Case) -> None:
        """Upper and lower case, and two spellings of é, are different labels.

        Where: base, `PutOp.namespace`: labels "uniquely identify".
        """
        labels = ("user", "User", "USER", "caf\u00e9", "cafe\u0301")
        for label in labels:
            case.put(case.ns(label), "k", {"owner": label})
        for label in labels:
            assert [item.value["owner"] for item in case.search(case.ns(label))] == [label]
            assert case.listed(prefix=case.ns(label)) == [case.ns(label)]

    def test_ns13_labels_do_not_run_together(self, case: Case) -> None:
        """("a", "b") is neither ("ab",) nor ("a/b",) nor ("a:b",).

        Where: base, `PutOp.namespace`: "Each element in the tuple represents one level".
        """
        names = [case.ns("a", "b"), *(case.ns(label) for label in ("ab", "a/b", "a:b", "a,b"))]
        for number, namespace in enumerate(names):
            case.put(namespace, "k", {"n": number})
        assert [case.value(namespace, "k") for namespace in names] == [
            {"n": number} for number in range(len(names))
        ]
        assert [item.value["n"] for item in case.search(case.ns("a"))] == [0]
