"""Filters and namespace patterns mean what they mean to InMemoryStore."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.store.base import MatchCondition
from langgraph.store.memory import InMemoryStore

from langgraph_memskill.stores.filters import (
    ItemTimes,
    can_raise,
    checked,
    matches,
    namespace_matches,
)

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
operators = st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"])
plain_fields = st.sampled_from(["a", "b"])
filters = st.dictionaries(
    plain_fields,
    st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(operators, inner, max_size=2)
            | st.dictionaries(plain_fields, inner, max_size=2)
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
        found: Any = matches(value, checked(wanted))
    except (TypeError, ValueError, AttributeError) as error:
        found = type(error)
    assert found == expected
    if isinstance(expected, type):
        assert can_raise(wanted)


VALUE = {"kind": "pet", "n": 3, "tags": ["a", "b"], "none": None, "meta": {"lang": "de"}}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"kind": {"$in": ["pet", "plant"]}}, True),
        ({"kind": {"$in": ["plant"]}}, False),
        ({"kind": {"$in": []}}, False),
        ({"kind": {"$nin": ["plant"]}}, True),
        ({"kind": {"$nin": ["pet"]}}, False),
        ({"tags": {"$in": ["b"]}}, True),
        ({"tags": {"$in": [["a", "b"]]}}, True),
        ({"tags": {"$nin": ["b"]}}, False),
        ({"tags": {"$in": ["c"]}}, False),
        ({"missing": {"$in": [None]}}, True),
        ({"missing": {"$nin": ["x"]}}, True),
        ({"none": {"$exists": True}}, True),
        ({"missing": {"$exists": True}}, False),
        ({"missing": {"$exists": False}}, True),
        ({"meta": {"lang": {"$exists": True}}}, True),
        ({"meta": {"other": {"$exists": False}}}, True),
        ({"n": {"$not": {"$gt": 2}}}, False),
        ({"n": {"$not": 4}}, True),
        ({"n": {"$or": [{"$lt": 1}, {"$gt": 2}]}}, True),
        ({"n": {"$and": [{"$gt": 1}, {"$lt": 3}]}}, False),
        ({"$or": [{"kind": "plant"}, {"meta": {"lang": {"$in": ["de", "en"]}}}]}, True),
        ({"$or": [{"kind": "plant"}, {"n": 4}]}, False),
        ({"$or": []}, False),
        ({"$and": []}, True),
        ({"$and": [{"kind": "pet"}, {"n": {"$gte": 3}}]}, True),
        ({"$and": [{"kind": "pet"}, {"$not": {"n": 3}}]}, False),
        ({"$not": {"kind": "pet", "n": 4}}, True),
        ({"kind": "pet", "$or": [{"n": 1}, {"n": 2}]}, False),
        ({"$created_at": {"$gte": "2026-01-31"}}, True),
        ({"$created_at": {"$lt": "2026-01-31T12:00:00Z"}}, False),
        ({"$created_at": "2026-01-31T13:00:00+01:00"}, True),
        ({"$created_at": {"$in": [datetime(2026, 1, 31, 12), "2000-01-01"]}}, True),
        ({"$created_at": {"$not": {"$gt": "2026-01-31"}}}, False),
        ({"$created_at": {"$or": [{"$lt": "2020-01-01"}, {"$gt": "2026-01-01"}]}}, True),
        ({"$updated_at": {"$gt": datetime(2026, 2, 1, tzinfo=UTC)}}, True),
        (
            {
                "$updated_at": {
                    "$lte": datetime(2026, 2, 1, 11, tzinfo=timezone(timedelta(hours=1)))
                }
            },
            False,
        ),
        (
            {
                "$or": [
                    {"$updated_at": {"$lt": "2026-01-01"}},
                    {"$created_at": {"$lt": "2026-01-01"}},
                ]
            },
            False,
        ),
    ],
)
def test_what_in_memory_store_does_not_know(wanted: dict[str, Any], expected: bool) -> None:
    times = ItemTimes(
        datetime(2026, 1, 31, 12, tzinfo=UTC), datetime(2026, 2, 1, 10, 0, 0, 1, tzinfo=UTC)
    )
    assert matches(VALUE, checked(wanted), times) is expected


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"n": {"$like": 1}}, r"Unsupported operator: \$like; there are \$eq,"),
        ({"n": {"$gt": 1, "m": 2}}, "Unsupported operator: m"),
        ({"a": [{"b": {"$like": 1}}]}, r"Unsupported operator: \$like"),
        ({"$nor": [{"n": 1}]}, r"\$nor in the place of a field, where only \$and, \$or, \$not"),
        ({"$gt": 1}, r"Unsupported operator: \$gt in the place of a field"),
        ({"n": {"$in": "text"}}, r"\$in needs a list, not 'text'"),
        ({"$or": {"n": 1}}, r"\$or needs a list"),
        ({"$and": [1]}, r"\$and needs filters such as .*, not 1"),
        ({"$not": 1}, r"\$not needs filters"),
        ({"n": {"$exists": 1}}, r"\$exists needs True or False, not 1"),
        ({"n": {"$or": [{"$like": 1}]}}, r"\$like"),
        ({"n": {"$not": {"$like": 1}}}, r"\$like"),
        ({"$created_at": "yesterday"}, r"\$created_at is compared with 'yesterday'"),
        ({"$created_at": 5}, r"\$created_at is compared with 5: give a datetime"),
        ({"$updated_at": {"$exists": True}}, r"\$exists with \$updated_at"),
        ({1: 2}, "the field 1, which is no text"),
        ({"a": {1: 2}}, "the field 1, which is no text"),
    ],
)
def test_what_cannot_be_understood(wanted: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checked(wanted)


def test_only_comparisons_can_raise() -> None:
    assert not can_raise({"a": 1, "b": {"c": [{"$ne": 2}, None]}, "d": {"$eq": 1, "$ne": 2}})
    assert not can_raise(
        checked({"a": {"$in": [1]}, "$or": [{"$created_at": {"$gt": "2026-01-31"}}]})
    )
    for operator in ("$gt", "$gte", "$lt", "$lte"):
        assert can_raise({"a": 1, "b": {"c": [1, {operator: 1}]}})
        assert can_raise({"$or": [{"a": 1}, {"$not": {"b": {"$not": {operator: 1}}}}]})
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
