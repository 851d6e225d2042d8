"""Filters and namespace patterns mean what they mean to InMemoryStore."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.store.base import MatchCondition
from langgraph.store.memory import InMemoryStore

from langgraph_memskill.stores.filters import can_raise, matches, namespace_matches

scalars = st.sampled_from([None, True, 0, 1, 2.5, "1", "x", ""])
fields = st.sampled_from(["a", "b", "$odd"])
values = st.dictionaries(
    fields,
    st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(fields, inner, max_size=2),
        max_leaves=4,
    ),
    max_size=3,
)
operators = st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "a"])
filters = st.dictionaries(
    fields,
    st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(operators, inner, max_size=2)
            | st.dictionaries(fields, inner, max_size=2)
        ),
        max_leaves=4,
    ),
    max_size=2,
)


@given(value=values, wanted=filters)
def test_filters_mean_what_in_memory_store_means(
    value: dict[str, Any], wanted: dict[str, Any]
) -> None:
    store = InMemoryStore()
    store.put(("x",), "k", value)
    try:
        expected: Any = bool(store.search(("x",), filter=wanted))
    except (TypeError, ValueError, AttributeError) as error:
        expected = type(error)
    try:
        found: Any = matches(value, wanted)
    except (TypeError, ValueError, AttributeError) as error:
        found = type(error)
    assert found == expected
    if isinstance(expected, type):
        assert can_raise(wanted)


def test_only_comparisons_can_raise() -> None:
    assert not can_raise({"a": 1, "b": {"c": [{"$ne": 2}, None]}, "d": {"$eq": 1, "$ne": 2}})
    for operator in ("$gt", "$gte", "$lt", "$lte", "$in"):
        assert can_raise({"a": 1, "b": {"c": [1, {operator: 1}]}})
    assert not can_raise(None)


@pytest.mark.parametrize(
    ("kind", "path", "expected"),
    [
        ("prefix", ("a",), True),
        ("prefix", ("b",), False),
        ("prefix", ("*", "b"), True),
        ("prefix", ("a", "b", "c"), True),
        ("prefix", ("a", "b", "c", "d"), False),
        ("prefix", (), True),
        ("suffix", ("c",), True),
        ("suffix", ("b", "c"), True),
        ("suffix", ("a", "c"), False),
        ("suffix", ("*", "*", "*"), True),
        ("suffix", (), True),
    ],
)
def test_namespace_patterns(kind: Any, path: tuple[str, ...], expected: bool) -> None:
    assert namespace_matches(("a", "b", "c"), MatchCondition(kind, path)) is expected


def test_unknown_kind_of_pattern() -> None:
    with pytest.raises(ValueError, match="Unsupported match type: middle"):
        namespace_matches(("a",), MatchCondition("middle", ("a",)))  # type: ignore[arg-type]
