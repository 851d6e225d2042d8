"""LangGraph's store contract, point by point, in every mode, by batch and by abatch."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from langgraph.store.base import (
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchOp,
)

from langgraph_memskill.errors import ConfigError, StoreError
from langgraph_memskill.stores.chroma import ChromaStore

Batch = Callable[..., list[Any]]


def keys(items: list[Any]) -> list[str]:
    return [item.key for item in items]


def test_value_comes_back_as_it_was_put(batch: Batch) -> None:
    value = {
        "text": "Grüße 🌍 \ud800 \x00 \u2028",
        "nested": {"list": [1, 2.5, -0.0, True, None, {"deep": []}], "": {}},
        "big": 2**80,
        "key with . and $": "x",
    }
    batch(PutOp(("a",), "k", value))
    [item] = batch(GetOp(("a",), "k"))
    assert item.value == value
    assert (item.key, item.namespace) == ("k", ("a",))


def test_any_text_can_be_a_key(batch: Batch) -> None:
    odd = ["", " ", 'q"', "#1.0", '"#1.0', "\x00", "\ud800", "k" * 5000, "日本"]
    batch(*(PutOp(("x",), key, {"text": "a" * (n + 1) + "b"}) for n, key in enumerate(odd)))
    [*items, found] = batch(*(GetOp(("x",), key) for key in odd), SearchOp(("x",), query="a"))
    assert keys(items) == odd
    assert keys(found) == odd[::-1]


def test_returned_values_are_copies(chroma: ChromaStore) -> None:
    chroma.put(("a",), "k", {"list": [1]})
    item = chroma.get(("a",), "k")
    assert item is not None
    item.value["list"].append(2)
    again = chroma.get(("a",), "k")
    assert again is not None
    assert again.value == {"list": [1]}


def test_put_and_delete_answer_none(batch: Batch) -> None:
    assert batch(PutOp(("a",), "k", {"x": 1}), PutOp(("a",), "k2", None)) == [None, None]
    assert batch() == []


def test_missing_items_are_none(batch: Batch) -> None:
    batch(PutOp(("a",), "k", {"x": 1}))
    assert batch(GetOp(("a",), "other"), GetOp(("b",), "k"), GetOp(("a", "b"), "k")) == [None] * 3


def test_reading_does_not_create_a_namespace(batch: Batch) -> None:
    batch(GetOp(("a",), "k"), PutOp(("b",), "k", None), SearchOp(("c",), query="a"))
    assert batch(ListNamespacesOp()) == [[]]


def test_namespace_without_items_is_not_listed_and_can_come_back(batch: Batch) -> None:
    batch(PutOp(("a",), "k", {"text": "a"}), PutOp(("b",), "k", {"x": 1}, index=False))
    batch(PutOp(("a",), "k", None), PutOp(("b",), "k", None))
    assert batch(ListNamespacesOp(), SearchOp(()), SearchOp((), query="a")) == [[], [], []]
    batch(PutOp(("b",), "k", {"x": 2}))
    assert batch(ListNamespacesOp()) == [[("b",)]]


def test_deleted_item_is_gone_from_every_search(batch: Batch) -> None:
    batch(PutOp(("a",), "k1", {"text": "a"}), PutOp(("a",), "k2", {"text": "ab"}))
    batch(PutOp(("a",), "k1", None))
    results = batch(GetOp(("a",), "k1"), SearchOp(("a",)), SearchOp(("a",), query="a"))
    assert results[0] is None
    assert [keys(found) for found in results[1:]] == [["k2"], ["k2"]]


def test_reads_see_the_state_before_the_writes_of_their_batch(batch: Batch) -> None:
    batch(PutOp(("a",), "k", {"text": "a", "n": 1}))
    [_, before, found, names] = batch(
        PutOp(("a",), "k", {"text": "b", "n": 2}),
        GetOp(("a",), "k"),
        SearchOp(("a",), query="a"),
        ListNamespacesOp(),
    )
    assert before.value["n"] == 1
    assert found[0].score == pytest.approx(1.0)
    assert names == [("a",)]


def test_the_last_put_of_a_key_wins(batch: Batch) -> None:
    batch(
        PutOp(("a",), "k", {"n": 1}),
        PutOp(("a",), "k", None),
        PutOp(("a",), "k", {"n": 3}),
        PutOp(("a",), "gone", {"n": 4}),
        PutOp(("a",), "gone", None),
    )
    [item, gone] = batch(GetOp(("a",), "k"), GetOp(("a",), "gone"))
    assert item.value == {"n": 3}
    assert gone is None


def test_items_come_in_the_order_of_their_first_put(batch: Batch) -> None:
    batch(PutOp(("b",), "1", {"text": "a"}), PutOp(("a",), "2", {"n": 0}))
    batch(PutOp(("b",), "3", {"n": 1}), PutOp(("b",), "0", {"text": "c"}, index=False))
    # Overwriting keeps the place, also when it adds or removes the vector; a new start does not.
    batch(PutOp(("b",), "1", {"text": "b"}, index=False), PutOp(("b",), "3", {"text": "c"}))
    batch(PutOp(("a",), "2", None))
    batch(PutOp(("a",), "2", {"n": 1}), PutOp(("a",), "1", {"n": 2}))
    assert keys(batch(SearchOp(()))[0]) == ["1", "3", "0", "2", "1"]


def test_list_namespaces(batch: Batch) -> None:
    for namespace in [("a", "b", "c"), ("a", "b", "d", "e"), ("a", "b", "d", "i"), ("a", "c", "f")]:
        batch(PutOp(namespace, "k", {"x": 1}))
    batch(PutOp(("a", "b", "f"), "k", {"text": "a"}), PutOp(("b",), "k", {}))

    def listed(*patterns: tuple[str, tuple[str, ...]], **options: Any) -> list[tuple[str, ...]]:
        conditions = tuple(MatchCondition(kind, path) for kind, path in patterns)  # type: ignore[arg-type]
        found: list[tuple[str, ...]] = batch(ListNamespacesOp(conditions or None, **options))[0]
        return found

    assert len(listed()) == 6
    assert listed(("prefix", ("a", "b")), max_depth=3) == [
        ("a", "b", "c"),
        ("a", "b", "d"),
        ("a", "b", "f"),
    ]
    assert listed(("prefix", ("a", "*", "f"))) == [("a", "b", "f"), ("a", "c", "f")]
    assert listed(("suffix", ("f",))) == [("a", "b", "f"), ("a", "c", "f")]
    assert listed(("suffix", ("d", "*"))) == [("a", "b", "d", "e"), ("a", "b", "d", "i")]
    assert listed(("prefix", ("a", "b")), ("suffix", ("*", "e"))) == [("a", "b", "d", "e")]
    assert listed(max_depth=1) == [("a",), ("b",)]
    assert listed(limit=2, offset=1) == [("a", "b", "d", "e"), ("a", "b", "d", "i")]
    assert listed(("prefix", ("a", "b", "c", "d", "e"))) == []


def test_times_are_aware_and_creation_survives_overwriting(batch: Batch) -> None:
    start = datetime.now(UTC)
    batch(PutOp(("x",), "k", {"text": "a"}))
    [first] = batch(GetOp(("x",), "k"))
    batch(PutOp(("x",), "k", {"text": "b"}, index=False))
    [second] = batch(GetOp(("x",), "k"))
    assert first.created_at == first.updated_at == second.created_at
    assert second.updated_at > second.created_at
    assert start - timedelta(seconds=1) < first.created_at < datetime.now(UTC)
    assert first.created_at.utcoffset() == timedelta(0)
    batch(PutOp(("x",), "k", None))
    batch(PutOp(("x",), "k", {"text": "b"}))
    assert batch(GetOp(("x",), "k"))[0].created_at > second.updated_at
    [found] = batch(SearchOp(("x",), query="b"))
    assert found[0].created_at == batch(GetOp(("x",), "k"))[0].created_at


REFUSED: list[tuple[Any, str]] = [
    ({1: "x"}, r"\$ has the key 1"),
    ({"a": [{"b": {1, 2}}]}, r"\$\.a\[0\]\.b is a set"),
    ({"when": datetime(2026, 1, 1, tzinfo=UTC)}, r"\$\.when is a datetime"),
    ({"a": {"b": b"bytes"}}, r"\$\.a\.b is a bytes"),
    ({"a": object()}, r"\$\.a is a object"),
    (["no", "dict"], "is a list, not a dict"),
    ("text", "is a str, not a dict"),
]


def test_what_json_cannot_hold_is_refused_and_nothing_is_written(batch: Batch) -> None:
    for value, path in REFUSED:
        with pytest.raises(StoreError, match=path):
            batch(PutOp(("x",), "fine", {"text": "a"}), PutOp(("x",), "bad", value))
    assert batch(GetOp(("x",), "fine"), ListNamespacesOp()) == [None, []]


def test_value_that_contains_itself_is_refused(chroma: ChromaStore) -> None:
    value: dict[str, Any] = {}
    value["self"] = value
    with pytest.raises(StoreError, match="nested more than 200 levels"):
        chroma.put(("x",), "k", value)


def test_bad_labels_are_refused_everywhere(batch: Batch) -> None:
    bad: list[Any] = [("a.b",), ("",), ("a", ""), ("a", 1), ("a\x00",), ("a", "b.c")]
    for namespace in bad:
        for op in (
            PutOp(namespace, "k", {"x": 1}),
            PutOp(namespace, "k", None),
            GetOp(namespace, "k"),
            SearchOp(namespace),
            ListNamespacesOp((MatchCondition("prefix", namespace),)),
        ):
            with pytest.raises(InvalidNamespaceError):
                batch(op)


def test_keys_are_texts_and_operations_are_operations(batch: Batch) -> None:
    with pytest.raises(StoreError, match="key 7 is a int"):
        batch(PutOp(("a",), 7, {"x": 1}))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Unknown operation type"):
        batch("put")


def test_methods_and_their_async_twins(chroma: ChromaStore) -> None:
    with pytest.raises(InvalidNamespaceError):
        chroma.put((), "k", {"x": 1})
    with pytest.raises(InvalidNamespaceError):
        chroma.put(("langgraph", "x"), "k", {"x": 1})
    with pytest.raises(ConfigError, match="ttl is 0: give minutes above 0"):
        chroma.put(("a",), "k", {"x": 1}, ttl=0)
    chroma.put(("a", "b"), "k", {"text": "a"})
    assert chroma.list_namespaces(prefix=("a",), suffix=("*",), max_depth=1) == [("a",)]

    async def twins() -> None:
        await chroma.aput(("a", "c"), "k2", {"text": "ab", "n": 1}, index=["text"])
        item = await chroma.aget(("a", "c"), "k2")
        assert item is not None
        found = await chroma.asearch(("a",), query="a", filter={"n": 1}, limit=1, offset=0)
        assert [one.key for one in found] == ["k2"]
        assert await chroma.alist_namespaces(suffix=("c",)) == [("a", "c")]
        await chroma.adelete(("a", "c"), "k2")
        with pytest.raises(InvalidNamespaceError):
            await chroma.adelete(("a.",), "k2")
        # Sync calls inside a running loop work too.
        assert chroma.get(("a", "c"), "k2") is None
        assert chroma.search(("a",), query="a")[0].key == "k"

    asyncio.run(twins())


def test_large_batches_and_many_namespaces(batch: Batch) -> None:
    batch(
        *(
            PutOp((f"n{n % 40}",), str(n), {"text": "ab" * (n % 3) + "c", "pad": "x" * 500})
            for n in range(1000)
        )
    )
    [names, some, everything] = batch(
        ListNamespacesOp(), SearchOp(("n7",), query="c", limit=100), SearchOp((), limit=2000)
    )
    assert len(names) == 40
    assert len(some) == 25
    assert len(everything) == 1000
