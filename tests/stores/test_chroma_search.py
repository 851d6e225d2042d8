"""Searching, point by point, in every mode, by batch and by abatch."""

from collections.abc import Callable
from typing import Any

import pytest
from langgraph.store.base import (
    GetOp,
    PutOp,
    SearchOp,
)

from langgraph_memskill.stores.chroma import ChromaStore

Batch = Callable[..., list[Any]]


def keys(items: list[Any]) -> list[str]:
    return [item.key for item in items]


def test_prefix_search_respects_label_borders(batch: Batch) -> None:
    for namespace in [("u1",), ("u10",), ("u1", "x"), ("u1", "x", "y", "z", "w"), ("v", "u1")]:
        batch(PutOp(namespace, "/".join(namespace), {"text": "a"}))
    [plain, ranked, deep, all_, none] = batch(
        SearchOp(("u1",)),
        SearchOp(("u1",), query="a"),
        SearchOp(("u1", "x"), query="a"),
        SearchOp(()),
        SearchOp(("u",), query="a"),
    )
    assert keys(plain) == keys(ranked) == ["u1", "u1/x", "u1/x/y/z/w"]
    assert keys(deep) == ["u1/x", "u1/x/y/z/w"]
    assert len(all_) == 5
    assert none == []


def test_scores_are_cosines(batch: Batch, cosine: Callable[[str, str], float]) -> None:
    texts = ["abc", "aab", "b", "ac", "bcc"]
    batch(*(PutOp(("a",), text, {"text": text}) for text in texts))
    [found] = batch(SearchOp(("a",), query="aac"))
    expected = {text: cosine(text, "aac") for text in texts}
    assert keys(found) == sorted(texts, key=lambda text: -expected[text])
    assert {item.key: item.score for item in found} == pytest.approx(expected, abs=1e-6)


def test_search_without_query_has_no_scores(batch: Batch) -> None:
    batch(PutOp(("a",), "k", {"text": "a"}))
    for found in batch(SearchOp(("a",)), SearchOp(("a",), query="")):
        assert [item.score for item in found] == [None]


def test_equal_scores_keep_the_order_of_the_items(batch: Batch) -> None:
    batch(*(PutOp((name,), key, {"text": "a"}) for name in "zy" for key in "dacb"))
    batch(PutOp(("z",), "a", {"text": "a", "again": True}))
    [first, second, last] = batch(*(SearchOp((), query="ab", limit=3, offset=o) for o in (0, 3, 6)))
    assert keys(first) + keys(second) + keys(last) == list("dacbdacb")
    assert [item.namespace[0] for item in first + second + last] == list("zzzzyyyy")


def test_best_text_of_an_item_counts(batch: Batch, cosine: Callable[[str, str], float]) -> None:
    batch(
        PutOp(("a",), "many", {"notes": ["c", "ab", "abc"]}, index=["notes[*]"]),
        PutOp(("a",), "one", {"text": "abc"}),
    )
    [found] = batch(SearchOp(("a",), query="ab"))
    assert [(item.key, item.score) for item in found] == [
        ("many", pytest.approx(1.0)),
        ("one", pytest.approx(cosine("ab", "abc"))),
    ]
    assert keys(batch(SearchOp(("a",), query="ab", limit=1))[0]) == ["many"]
    assert keys(batch(SearchOp(("a",), query="ab", limit=1, offset=1))[0]) == ["one"]


INDEX_PATHS = {
    "title": True,
    "meta.title": True,
    "chapters[*].body": True,
    "chapters[0].body": False,
    "chapters[1].body": True,
    "chapters[-1].body": True,
    "chapters[7].body": False,
    "*": True,
    "{title,other}": True,
    "{other,none}": False,
    "absent.title": False,
    "number": False,
}


def test_index_paths(batch: Batch) -> None:
    value = {
        "title": "a",
        "meta": {"title": "a"},
        "chapters": [{"body": "b"}, {"body": "a"}],
        "other": "b",
        "number": 17,
    }
    batch(*(PutOp(("x",), path, value, index=[path]) for path in INDEX_PATHS))
    found = batch(SearchOp(("x",), query="a", limit=100))[0]
    assert {item.key: item.score == pytest.approx(1.0) for item in found} == INDEX_PATHS


def test_default_index_is_the_whole_value(
    open_store: Callable[..., ChromaStore], index: dict[str, Any]
) -> None:
    store = open_store(index={"dims": index["dims"], "embed": index["embed"]})
    store.put(("x",), "k", {"b": "c"})
    # The text is the value as JSON: {"b": "c"} has one b and one c.
    assert store.search(("x",), query="bc")[0].score == pytest.approx(1.0)


def test_items_without_vectors_fill_up_behind_the_others(batch: Batch) -> None:
    batch(
        PutOp(("x",), "off", {"text": "a"}, index=False),
        PutOp(("x",), "far", {"text": "b"}),
        PutOp(("x",), "near", {"text": "a"}),
        PutOp(("x",), "textless", {"n": 1}),
    )
    [wide, narrow, shifted] = batch(
        SearchOp(("x",), query="a", limit=3),
        SearchOp(("x",), query="a", limit=2),
        SearchOp(("x",), query="a", limit=2, offset=1),
    )
    assert [(item.key, item.score) for item in wide] == [
        ("near", pytest.approx(1.0)),
        ("far", pytest.approx(0.0)),
        ("off", None),
    ]
    assert keys(narrow) == ["near", "far"]
    # As in InMemoryStore the offset counts for items with vectors only.
    assert keys(shifted) == ["far", "off"]


def test_overwriting_removes_the_vectors_of_former_texts(batch: Batch) -> None:
    batch(PutOp(("x",), "k", {"notes": ["a", "b", "c"]}, index=["notes[*]"]))
    batch(PutOp(("x",), "k", {"notes": ["b"]}, index=["notes[*]"]))
    assert batch(SearchOp(("x",), query="a"))[0][0].score == pytest.approx(0.0)
    batch(PutOp(("x",), "k", {"text": "b"}, index=False))
    assert batch(SearchOp(("x",), query="b"))[0][0].score is None
    batch(PutOp(("x",), "k", {"text": "c"}))
    assert batch(SearchOp(("x",), query="c"))[0][0].score == pytest.approx(1.0)


def test_item_that_was_not_indexed_first_can_be_indexed_later(batch: Batch) -> None:
    batch(PutOp(("x",), "k", {"notes": ["a", "b"]}, index=False))
    batch(PutOp(("x",), "k", {"notes": ["a", "b"]}, index=["notes[*]"]))
    for query in "ab":
        assert batch(SearchOp(("x",), query=query))[0][0].score == pytest.approx(1.0)
    batch(PutOp(("x",), "k", None))
    assert batch(SearchOp(("x",), query="a")) == [[]]


def test_one_text_may_be_used_many_times_in_a_batch(batch: Batch) -> None:
    batch(
        PutOp(("x",), "1", {"text": "a"}),
        PutOp(("x",), "2", {"text": "a"}),
        PutOp(("y",), "3", {"text": "a", "same": "a"}, index=["text", "same"]),
    )
    found = batch(SearchOp((), query="a"))[0]
    assert [(item.key, item.score) for item in found] == [
        (key, pytest.approx(1.0)) for key in "123"
    ]


def test_vectors_without_length_score_zero(batch: Batch) -> None:
    batch(PutOp(("x",), "none", {"text": "no letters"}), PutOp(("x",), "a", {"text": "a"}))
    [by_a, by_nothing] = batch(SearchOp(("x",), query="a"), SearchOp(("x",), query="?"))
    assert [(item.key, item.score) for item in by_a] == [("a", pytest.approx(1.0)), ("none", 0.0)]
    assert [(item.key, item.score) for item in by_nothing] == [("none", 0.0), ("a", 0.0)]


FILTERS: list[tuple[dict[str, Any], str]] = [
    ({"n": 2}, "b"),
    ({"n": {"$eq": 2}}, "b"),
    ({"n": {"$ne": 2}}, "acd"),
    ({"n": {"$gt": 2}}, "cd"),
    ({"n": {"$gte": 2}}, "bcd"),
    ({"n": {"$lt": 2}}, "a"),
    ({"n": {"$lte": 2}}, "ab"),
    ({"n": {"$gt": 1, "$lt": 3}}, "b"),
    ({"n": {"$gte": "2"}}, "bcd"),
    ({"kind": "x", "n": {"$lt": 3}}, "a"),
    ({"kind": None}, "d"),
    ({"absent": None}, "abcd"),
    ({"absent": {"$ne": 1}}, "abcd"),
    ({"meta": {"deep": {"x": 1}}}, "a"),
    ({"meta": {"deep": {"x": {"$ne": 1}}}}, "b"),
    ({"meta": {}}, "ab"),
    ({"tags": ["p", "q"]}, "a"),
    ({"tags": ["p"]}, ""),
    ({"tags": [{"$ne": "z"}, "q"]}, "a"),
    ({"n": True}, "a"),
    ({}, "abcd"),
]


def test_filters(batch: Batch) -> None:
    batch(
        PutOp(("x",), "a", {"n": 1, "kind": "x", "meta": {"deep": {"x": 1}}, "tags": ["p", "q"]}),
        PutOp(("x",), "b", {"n": 2, "kind": "y", "meta": {"deep": {"x": 2}}, "text": "b"}),
        PutOp(("x", "y"), "c", {"n": 3, "kind": "x", "text": "bc"}),
        PutOp(("x", "z"), "d", {"n": 4.5, "text": "c"}),
    )
    plain = batch(*(SearchOp(("x",), wanted) for wanted, _ in FILTERS))
    ranked = batch(*(SearchOp(("x",), wanted, query="b") for wanted, _ in FILTERS))
    for (wanted, expected), found, by_query in zip(FILTERS, plain, ranked, strict=True):
        assert "".join(keys(found)) == expected, wanted
        assert sorted(keys(by_query)) == list(expected), wanted


def test_filter_that_cannot_be_applied_is_an_error(batch: Batch) -> None:
    batch(*(PutOp(("x",), str(n), {"text": "a", "n": n}) for n in range(5)))
    batch(PutOp(("x",), "last", {"n": None}))
    cases: list[tuple[dict[str, Any], type[Exception]]] = [
        ({"$like": [1]}, ValueError),
        ({"$gt": 1}, TypeError),
        ({"$lt": "many"}, ValueError),
    ]
    for condition, error in cases:
        for query in (None, "a"):
            with pytest.raises(error):
                batch(
                    SearchOp(("x",), {"n": condition}, limit=1, query=query),
                    PutOp(("y",), "k", {}),
                )
    assert batch(GetOp(("y",), "k")) == [None]


def test_limit_and_offset_page_through_a_search(batch: Batch) -> None:
    texts = ["a" * n + "b" for n in range(1, 41)]
    batch(*(PutOp(("x",), text, {"text": text, "even": len(text) % 2}) for text in texts))
    pages = [
        batch(SearchOp(("x",), limit=7, offset=offset, query="a"))[0] for offset in range(0, 49, 7)
    ]
    assert [key for page in pages for key in keys(page)] == texts[::-1]
    plain = [batch(SearchOp(("x",), limit=7, offset=offset))[0] for offset in range(0, 49, 7)]
    assert [key for page in plain for key in keys(page)] == texts
    [odd] = batch(SearchOp(("x",), {"even": 1}, limit=3, offset=2, query="a"))
    assert [len(key) for key in keys(odd)] == [37, 35, 33]


def test_filtered_vector_search_finds_the_needles(batch: Batch) -> None:
    texts = ["a" * (n % 20 + 1) + "b" for n in range(400)]
    batch(
        *(
            PutOp(("x",), str(n), {"text": text, "rare": n in (17, 203, 399)})
            for n, text in enumerate(texts)
        )
    )
    [found] = batch(SearchOp(("x",), {"rare": True}, query="b", limit=10))
    # Texts with fewer a are nearer to b: 203 has 4, 17 has 18, 399 has 20.
    assert keys(found) == ["203", "17", "399"]


def test_search_stays_complete_under_updates_and_deletes(batch: Batch) -> None:
    for round_ in range(3):
        batch(
            *(
                PutOp(("x",), str(n), {"text": "a" * (n + 1) + "b" * (round_ + 1)})
                for n in range(120)
            )
        )
        batch(*(PutOp(("x",), str(n), None) for n in range(round_, 120, 3)))
    expected = [str(n) for n in range(119, -1, -1) if n % 3 != 2]
    assert keys(batch(SearchOp(("x",), query="a", limit=500))[0]) == expected
    assert keys(batch(SearchOp(("x",), query="a", limit=5))[0]) == expected[:5]
