"""Checks of search by a query. The embedding counts the letters a, b, c and d of a text."""

import math
from typing import Any

from langgraph.store.base import PutOp, SearchItem, SearchOp

from langgraph_memskill.testing.cases import Case


def _scored(found: list[SearchItem]) -> list[str]:
    """Keys of the items that were found by their vectors; stores may append others."""
    return [item.key for item in found if item.score is not None]


def _mix(number: int, total: int) -> str:
    """Make a text that is the nearer to "a" the larger the number is."""
    return "a" * number + "b" * (total - number)


class VectorChecks:
    """Search by meaning, with an embedding that can be worked out on paper."""

    def test_ve01_ranking(self, case: Case) -> None:
        """The most similar items come first.

        Where: base, `SearchOp.query`; langgraph/store/memory: cosine similarity.
        """
        case.needs(case.can.vectors)
        for number in (3, 1, 7, 5, 9):
            case.put(case.ns("x"), str(number), {"text": _mix(number, 10)})
        assert case.found(case.ns("x"), query="a") == ["9", "7", "5", "3", "1"]
        assert case.found(case.ns("x"), query="b") == ["1", "3", "5", "7", "9"]
        assert case.found(case.ns("x"), query="a", limit=2) == ["9", "7"]

    def test_ve02_scores(self, case: Case) -> None:
        """Each item found by its vector has a score, a number, and none is above the one before.

        Where: base, `SearchItem.score`: "Relevance/similarity score".
        """
        case.needs(case.can.vectors)
        for number in range(1, 6):
            case.put(case.ns("x"), str(number), {"text": _mix(number, 6)})
        scores = [item.score for item in case.search(case.ns("x"), query="aab")]
        assert len(scores) == 5
        assert all(isinstance(score, float) and math.isfinite(score) for score in scores)
        assert scores == sorted(scores, reverse=True)  # type: ignore[type-var]
        assert len(set(scores)) > 1

    def test_ve03_index_false(self, case: Case) -> None:
        """An item put with index=False has no vector; get and plain search find it.

        Where: base, `PutOp.index`: "`False`: Disables indexing for this item".
        """
        case.needs(case.can.vectors)
        case.put(case.ns("x"), "hidden", {"text": "a"}, index=False)
        case.put(case.ns("x"), "shown", {"text": "b"})
        assert _scored(case.search(case.ns("x"), query="a")) == ["shown"]
        assert case.value(case.ns("x"), "hidden") == {"text": "a"}
        assert sorted(case.found(case.ns("x"))) == ["hidden", "shown"]

    def test_ve04_index_paths(self, case: Case) -> None:
        """Paths given with a put are embedded instead of the configured fields.

        Where: base, `PutOp.index`: "`list[str]`: Specifies which json path fields to index".
        """
        case.needs(case.can.vectors)
        value = {"text": "a", "title": "bbbbbb", "deep": {"er": "cccccc"}}
        case.put(case.ns("x"), "text", value)
        case.put(case.ns("x"), "title", value, index=["title"])
        case.put(case.ns("x"), "deep", value, index=["deep.er"])
        assert case.found(case.ns("x"), query="a", limit=1) == ["text"]
        assert case.found(case.ns("x"), query="b", limit=1) == ["title"]
        assert case.found(case.ns("x"), query="c", limit=1) == ["deep"]

    def test_ve05_paths_into_lists(self, case: Case) -> None:
        """`[0]`, `[-1]` and `[*]` reach into lists; `[*]` makes a vector of each element.

        Where: base, `PutOp.index`, "Path Syntax".
        """
        case.needs(case.can.vectors)
        value = {"parts": [{"t": "aaaa"}, {"t": "bbbb"}, {"t": "cccc"}]}
        case.put(case.ns("x"), "first", value, index=["parts[0].t"])
        case.put(case.ns("x"), "last", value, index=["parts[-1].t"])
        case.put(case.ns("x"), "pure", {"text": "bbbbbb"})
        case.put(case.ns("x"), "all", {"parts": [{"t": "d"}, {"t": "ddb"}]}, index=["parts[*].t"])
        assert case.found(case.ns("x"), query="a", limit=1) == ["first"]
        assert case.found(case.ns("x"), query="c", limit=1) == ["last"]
        assert case.found(case.ns("x"), query="d", limit=1) == ["all"]
        assert case.found(case.ns("x"), query="b", limit=2) == ["pure", "all"]

    def test_ve06_item_with_many_vectors_is_found_once(self, case: Case) -> None:
        """An item with several vectors counts once, by its best one, also against the limit.

        Where: langgraph/store/memory: "max pooling"; SqliteStore's `ROW_NUMBER`.
        """
        case.needs(case.can.vectors)
        many = {"parts": [_mix(number, 40) for number in range(30, 40)]}
        case.put(case.ns("x"), "many", many, index=["parts[*]"])
        for number in (25, 20, 15, 10):
            case.put(case.ns("x"), str(number), {"text": _mix(number, 40)})
        assert case.found(case.ns("x"), query="a", limit=3) == ["many", "25", "20"]
        assert case.found(case.ns("x"), query="a", limit=10) == ["many", "25", "20", "15", "10"]

    def test_ve07_overwrite_replaces_the_vector(self, case: Case) -> None:
        """After an overwrite the item is found by its new text only.

        Where: base, `PutOp.key`: one item a key.
        """
        case.needs(case.can.vectors)
        case.put(case.ns("x"), "k", {"text": "a"})
        case.put(case.ns("x"), "other", {"text": "aab"})
        case.put(case.ns("x"), "k", {"text": "b"})
        assert case.found(case.ns("x"), query="a") == ["other", "k"]
        assert case.found(case.ns("x"), query="b") == ["k", "other"]

    def test_ve08_overwrite_with_fewer_vectors(self, case: Case) -> None:
        """After an overwrite that makes fewer vectors, none of the old ones is left.

        Where: base, `PutOp.key`: one item a key.
        """
        case.needs(case.can.vectors)
        case.put(case.ns("x"), "k", {"parts": ["a", "b", "c"]}, index=["parts[*]"])
        case.put(case.ns("x"), "other", {"text": "aab"})
        case.put(case.ns("x"), "k", {"parts": ["d"], "text": "d"}, index=["parts[*]"])
        assert case.found(case.ns("x"), query="a", limit=1) == ["other"]
        assert case.found(case.ns("x"), query="d", limit=1) == ["k"]

    def test_ve09_overwrite_without_vectors(self, case: Case) -> None:
        """After an overwrite with index=False the old vector is gone.

        Where: base, `PutOp.index`: "`False`: Disables indexing for this item".
        """
        case.needs(case.can.vectors)
        case.put(case.ns("x"), "k", {"text": "a"})
        case.put(case.ns("x"), "other", {"text": "ab"})
        case.put(case.ns("x"), "k", {"text": "a"}, index=False)
        assert _scored(case.search(case.ns("x"), query="a")) == ["other"]

    def test_ve10_deleted_item_is_not_found(self, case: Case) -> None:
        """A query does not find what was deleted; a key used again has no old vectors.

        Where: base, `PutOp.value`: "the item should be deleted".
        """
        case.needs(case.can.vectors)
        case.put_all(case.ns("x"), {"k1": {"text": "a"}, "k2": {"text": "ab"}})
        case.delete(case.ns("x"), "k1")
        assert case.found(case.ns("x"), query="a") == ["k2"]
        case.put(case.ns("x"), "k1", {"text": "a"}, index=False)
        assert _scored(case.search(case.ns("x"), query="a")) == ["k2"]

    def test_ve11_filter_comes_before_the_limit(self, case: Case) -> None:
        """A query with a filter fills its limit, however many nearer items do not pass.

        Where: base, `SearchOp.limit`: "Maximum number of items to return".
        """
        case.needs(case.can.vectors)
        for number in range(60):
            case.put(case.ns("x"), f"near {number}", {"text": "a" * 9 + "b", "kind": "other"})
        for number in (3, 2, 1):
            case.put(case.ns("x"), f"far {number}", {"text": _mix(number, 10), "kind": "mine"})
        found = case.found(case.ns("x"), query="a", filter={"kind": "mine"}, limit=3)
        assert found == ["far 3", "far 2", "far 1"]

    def test_ve12_prefix_comes_before_the_limit(self, case: Case) -> None:
        """A query in a namespace fills its limit, however many nearer items are elsewhere.

        Where: base, `SearchOp.namespace_prefix`: "defining the search scope".
        """
        case.needs(case.can.vectors)
        for number in range(60):
            case.put(case.ns("other"), str(number), {"text": "a" * 9 + "b"})
        for number in (3, 2, 1):
            case.put(case.ns("mine"), f"far {number}", {"text": _mix(number, 10)})
        assert case.found(case.ns("mine"), query="a", limit=3) == ["far 3", "far 2", "far 1"]

    def test_ve13_pages_of_a_query(self, case: Case) -> None:
        """Pages of a query give every item once, in the order of one large search.

        Where: base, `SearchOp.offset`: "Number of matching items to skip for pagination".
        """
        case.needs(case.can.vectors)
        for number in range(1, 20):
            case.put(case.ns("x"), f"{number:02}", {"text": _mix(number, 20)})
        pages = case.pages(
            4,
            19,
            lambda limit, offset: case.found(case.ns("x"), query="a", limit=limit, offset=offset),
        )
        assert pages == [f"{number:02}" for number in range(19, 0, -1)]

    def test_ve14_same_text_in_several_items(self, case: Case) -> None:
        """One text may stand in several items of a batch.

        Where: base, `BaseStore.batch`: operations do not depend on each other.
        """
        case.needs(case.can.vectors)
        case.batch(*(PutOp(case.ns("x"), key, {"text": "ab"}) for key in ("k1", "k2", "k3")))
        assert sorted(_scored(case.search(case.ns("x"), query="a"))) == ["k1", "k2", "k3"]

    def test_ve15_items_without_the_field(self, case: Case) -> None:
        """An item that lacks the indexed field is stored all the same.

        Where: base, `IndexConfig.fields`: "Fields missing from a document are skipped".
        """
        case.needs(case.can.vectors)
        case.put(case.ns("x"), "without", {"n": 1})
        case.put(case.ns("x"), "with", {"text": "a"})
        assert case.value(case.ns("x"), "without") == {"n": 1}
        assert case.found(case.ns("x"), query="a")[0] == "with"
        assert sorted(case.found(case.ns("x"))) == ["with", "without"]

    def test_ve16_only_the_configured_fields(self, case: Case) -> None:
        """Only the fields of the index configuration are embedded.

        Where: base, `IndexConfig.fields`.
        """
        case.needs(case.can.vectors)
        case.put(case.ns("x"), "yes", {"text": "a", "other": "bbbbbbbb"})
        case.put(case.ns("x"), "no", {"text": "ab", "other": "aaaaaaaa"})
        assert case.found(case.ns("x"), query="a") == ["yes", "no"]

    def test_ve17_queries_of_a_batch(self, case: Case) -> None:
        """Several queries in a batch each get their own answer.

        Where: base, `BaseStore.batch`: "The order of results matches the order of input".
        """
        case.needs(case.can.vectors)
        case.put_all(case.ns("x"), {letter: {"text": letter * 3} for letter in "abcd"})
        ops: list[Any] = [SearchOp(case.ns("x"), query=letter, limit=1) for letter in "cabda"]
        ops.insert(2, SearchOp(case.ns("x"), filter={"text": "ddd"}))
        results: list[Any] = case.batch(*ops)
        assert [[item.key for item in found] for found in results] == [
            ["c"],
            ["a"],
            ["d"],
            ["b"],
            ["d"],
            ["a"],
        ]
