"""Checks of `list_namespaces`."""

import pytest
from langgraph.store.base import ListNamespacesOp, MatchCondition, PutOp

from langgraph_memskill.testing.cases import Case, Namespace


def _fill(case: Case, *names: Namespace) -> None:
    for namespace in names:
        case.put(namespace, "k1", {"n": 1})
        case.put(namespace, "k2", {"n": 2})


class ListingChecks:
    """Listing of namespaces."""

    def _tree(self, case: Case) -> None:
        paths = ("a/b/c", "a/b/d/e", "a/b/d/i", "a/b/f", "a/c/f", "x/c")
        _fill(case, *(case.ns(*path.split("/")) for path in paths))

    def _names(self, case: Case, *paths: str) -> list[Namespace]:
        return [case.ns(*path.split("/")) for path in paths]

    def test_li01_each_namespace_once(self, case: Case) -> None:
        """Each namespace with items is listed once, as a tuple; those above it are not.

        Where: base, `BaseStore.list_namespaces`.
        """
        self._tree(case)
        names = case.call("list_namespaces", prefix=case.ns())
        assert all(isinstance(name, tuple) for name in names)
        assert sorted(names) == self._names(
            case, "a/b/c", "a/b/d/e", "a/b/d/i", "a/b/f", "a/c/f", "x/c"
        )

    def test_li02_prefix(self, case: Case) -> None:
        """A prefix takes the namespace itself and all under it.

        Where: base, `list_namespaces(prefix=)`: "namespaces that start with this path".
        """
        self._tree(case)
        _fill(case, case.ns("a"), case.ns("a", "b"))
        assert case.listed(prefix=case.ns("a", "b")) == self._names(
            case, "a/b", "a/b/c", "a/b/d/e", "a/b/d/i", "a/b/f"
        )

    def test_li03_suffix(self, case: Case) -> None:
        """A suffix takes the namespaces that end with these labels.

        Where: base, `list_namespaces(suffix=)`: "namespaces that end with this path".
        """
        self._tree(case)
        assert case.listed(suffix=("f",)) == self._names(case, "a/b/f", "a/c/f")
        assert case.listed(suffix=("d", "e")) == self._names(case, "a/b/d/e")
        assert case.listed(suffix=("b",)) == []

    def test_li04_wildcards(self, case: Case) -> None:
        """A `*` in a prefix or suffix stands for exactly one label.

        Where: base, `NamespacePath`.
        """
        self._tree(case)
        assert case.listed(prefix=case.ns("a", "*", "f")) == self._names(case, "a/b/f", "a/c/f")
        assert case.listed(prefix=case.ns("*", "c")) == self._names(case, "a/c/f", "x/c")
        assert case.listed(suffix=("d", "*")) == self._names(case, "a/b/d/e", "a/b/d/i")
        assert case.listed(prefix=case.ns("x", "*", "*")) == []
        assert case.listed(prefix=(case.root, "x", "c", "*")) == []

    def test_li05_prefix_and_suffix(self, case: Case) -> None:
        """Both conditions must hold.

        Where: base, `ListNamespacesOp.match_conditions`.
        """
        self._tree(case)
        assert case.listed(prefix=case.ns("a", "b"), suffix=("f",)) == self._names(case, "a/b/f")
        conditions = (
            MatchCondition("prefix", case.ns("a")),
            MatchCondition("suffix", ("*", "e")),
            MatchCondition("prefix", case.ns("a", "b")),
        )
        [names] = case.batch(ListNamespacesOp(conditions))
        assert names == self._names(case, "a/b/d/e")

    def test_li06_max_depth(self, case: Case) -> None:
        """Deeper namespaces are cut to `max_depth`, and what is then equal is listed once.

        Where: base, `list_namespaces`, the example with max_depth=3.
        """
        self._tree(case)
        listed = case.listed(prefix=case.ns("a", "b"), max_depth=4)
        assert listed == self._names(case, "a/b/c", "a/b/d", "a/b/f")
        assert case.listed(max_depth=2) == self._names(case, "a", "x")
        assert case.listed(max_depth=1) == [case.ns()]
        assert len(case.listed(max_depth=50)) == 6

    def test_li07_pages(self, case: Case) -> None:
        """Pages by limit and offset give every namespace once.

        Where: base, `ListNamespacesOp.limit` and `offset`.
        """
        _fill(case, *(case.ns("n", f"{number:02}") for number in range(23)))
        for options in ({}, {"max_depth": 3}):
            names = case.pages(
                5,
                23,
                lambda limit, offset, options=options: case.call(  # type: ignore[misc]
                    "list_namespaces", prefix=case.ns(), limit=limit, offset=offset, **options
                ),
            )
            assert sorted(names) == [case.ns("n", f"{number:02}") for number in range(23)]

    def test_li08_default_limit(self, case: Case) -> None:
        """A hundred namespaces are listed if no limit is given, more if one is.

        Where: base, `list_namespaces(limit=100)`.
        """
        case.batch(
            *(PutOp(case.ns(str(number)), "k", {"n": 1}, index=False) for number in range(105))
        )
        assert len(case.listed()) == 100
        assert len(case.listed(limit=200)) == 105

    def test_li09_borders_of_labels(self, case: Case) -> None:
        """Neither prefix nor suffix matches a part of a label.

        Where: base, `MatchCondition.path`: a "namespace path pattern", made of labels.
        """
        labels = ("u1", "u10", "xu1", "u1x")
        _fill(case, *(case.ns(label, "m") for label in labels))
        _fill(case, *(case.ns("m", label) for label in labels))
        assert case.listed(prefix=case.ns("u1")) == [case.ns("u1", "m")]
        assert case.listed(suffix=("u1",)) == [case.ns("m", "u1")]
        assert case.listed(prefix=case.ns("*", "u1")) == [case.ns("m", "u1")]

    def test_li10_empty_namespace_is_not_listed(self, case: Case) -> None:
        """A namespace whose items are all deleted is not listed.

        Where: base, `list_namespaces`: "find specific collections"; so in stores with a database.
        """
        _fill(case, case.ns("a"), case.ns("b"))
        case.delete(case.ns("a"), "k1")
        assert case.listed() == [case.ns("a"), case.ns("b")]
        case.delete(case.ns("a"), "k2")
        assert case.listed() == [case.ns("b")]

    def test_li11_reading_makes_no_namespace(self, case: Case) -> None:
        """Get, search and delete do not bring a namespace into being.

        Where: base, `BaseStore.get`: "Retrieve a single item"; so in stores with a database.
        """
        assert case.get(case.ns("read"), "k") is None
        assert case.search(case.ns("searched")) == []
        case.delete(case.ns("deleted"), "k")
        assert case.listed() == []

    @pytest.mark.parametrize("label", ["%", "_", "u%", "u_", "["])
    def test_li12_wildcards_of_databases(self, case: Case, label: str) -> None:
        """Only `*` is a wildcard; those of SQL and of shells mean themselves.

        Where: base, `NamespacePath`.
        """
        _fill(case, case.ns(label, "m"), case.ns("ux", "m"), case.ns("m", label), case.ns("m", "u"))
        assert case.listed(prefix=case.ns(label)) == [case.ns(label, "m")]
        assert case.listed(suffix=(label,)) == [case.ns("m", label)]
        assert case.listed(prefix=case.ns("*", label)) == [case.ns("m", label)]
