"""What is written can be read: ids, namespaces, values, times."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_memskill.errors import StoreError
from langgraph_memskill.stores.codec import (
    MAX_DEPTH,
    Clock,
    StoredItem,
    decode_namespace,
    encode_namespace,
    encode_value,
    item_of,
    namespace_digest,
    primary_id,
    split_id,
    stamp_time,
    vector_id,
)

anything = st.text(st.characters(codec=None, categories=None), max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | anything,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(anything, inner, max_size=3),
    max_leaves=8,
)


@given(key=anything, revision=st.integers(0, 2**62), index=st.integers(0, 500))
def test_ids_can_be_taken_apart(key: str, revision: int, index: int) -> None:
    assert split_id(primary_id(key)) == (key, None)
    assert split_id(vector_id(key, revision, index)) == (key, revision)
    assert primary_id(key).isascii()


@given(namespace=st.lists(anything, max_size=5).map(tuple))
def test_namespaces_survive(namespace: tuple[str, ...]) -> None:
    assert decode_namespace(encode_namespace(namespace)) == namespace
    assert len(namespace_digest(namespace)) == 32


def test_namespaces_that_look_alike_have_other_names() -> None:
    alike: list[tuple[str, ...]] = [("a", "b"), ("a,b",), ('a","b',), ("a/b",), ("b", "a"), ("a",)]
    assert len({namespace_digest(namespace) for namespace in alike}) == len(alike)


@given(value=st.dictionaries(anything, json_values, max_size=4))
def test_values_survive(value: dict[str, Any]) -> None:
    text = encode_value(value, ("x",), "k")
    text.encode("utf-8")
    assert json.loads(text) == value


def test_numbers_that_json_does_not_know_survive() -> None:
    text = encode_value({"n": [float("inf"), float("nan")], "t": (1, 2)}, ("x",), "k")
    decoded = json.loads(text)
    assert decoded["n"][0] == float("inf")
    assert decoded["n"][1] != decoded["n"][1]
    assert decoded["t"] == [1, 2]


def test_depth_is_limited() -> None:
    def nested(levels: int) -> dict[str, Any]:
        value: dict[str, Any] = {}
        for _ in range(levels):
            value = {"in": value}
        return value

    assert json.loads(encode_value(nested(MAX_DEPTH), ("x",), "k")) == nested(MAX_DEPTH)
    with pytest.raises(StoreError, match="levels deep"):
        encode_value(nested(MAX_DEPTH + 1), ("x",), "k")


def test_primary_records_survive_and_name_their_vectors() -> None:
    item = StoredItem(
        key="k", value_json="{}", created=5, revision=9, num_vectors=3, owns_vector=True
    )
    assert item_of(split_id(primary_id("k")), item.metadata()) == item
    assert item.vector_ids() == ['"k"#9.1', '"k"#9.2']
    assert item_of(split_id('"k"#9.1'), None) is None


def test_stamps_grow_and_are_times() -> None:
    clock = Clock()
    stamps = [clock.stamp() for _ in range(1000)]
    assert stamps == sorted(set(stamps))
    assert stamp_time(1_000_000_000_123_456_789) == datetime(
        2001, 9, 9, 1, 46, 40, 123456, tzinfo=UTC
    )
