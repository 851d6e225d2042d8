"""Checks of what happens when something is missing or breaks."""

import pytest
from langgraph.store.base import PutOp

from langgraph_memskill.testing.cases import Case, skip
from langgraph_memskill.testing.embedding import BROKEN, EmbeddingBrokenError


class FaultChecks:
    """Errors reach the caller, and the store goes on."""

    def test_er01_index_is_ignored_without_vectors(self, case: Case) -> None:
        """A store without a vector index ignores `index` and `query`.

        Where: base, `IndexConfig`: "all `index` arguments ... will be ignored".
        """
        if case.can.vectors is None:
            skip("the store has a vector index")
        case.put(case.ns("a"), "k1", {"text": "a"}, index=["text"])
        case.put(case.ns("a"), "k2", {"text": "b"}, index=False)
        found = case.search(case.ns("a"), query="a")
        assert sorted(item.key for item in found) == ["k1", "k2"]
        assert all(item.score is None for item in found)

    def test_er02_broken_embedding_of_a_put(self, case: Case) -> None:
        """An error of the embedding model reaches who put; nothing is stored, the store goes on.

        Where: not written; a put that returns has stored the item.
        """
        case.needs(case.can.vectors)
        with pytest.raises(EmbeddingBrokenError):
            case.put(case.ns("a"), "k", {"text": BROKEN})
        assert case.get(case.ns("a"), "k") is None
        case.put(case.ns("a"), "k", {"text": "a"})
        assert case.found(case.ns("a"), query="a") == ["k"]

    def test_er03_broken_embedding_of_an_overwrite(self, case: Case) -> None:
        """A put over an item that fails leaves the old item, value and vector.

        Where: not written; a put that raises has changed nothing.
        """
        case.needs(case.can.vectors)
        case.put(case.ns("a"), "k", {"text": "a"})
        case.put(case.ns("a"), "other", {"text": "b"})
        with pytest.raises(EmbeddingBrokenError):
            case.put(case.ns("a"), "k", {"text": f"b {BROKEN}"})
        assert case.value(case.ns("a"), "k") == {"text": "a"}
        assert case.found(case.ns("a"), query="a") == ["k", "other"]

    def test_er04_broken_embedding_of_a_query(self, case: Case) -> None:
        """An error of the embedding model reaches who searched, and the store goes on.

        Where: not written; an empty answer would be a lie.
        """
        case.needs(case.can.vectors)
        case.put(case.ns("a"), "k", {"text": "a"})
        with pytest.raises(EmbeddingBrokenError):
            case.search(case.ns("a"), query=BROKEN)
        assert case.found(case.ns("a"), query="a") == ["k"]

    def test_er05_failed_batch_changes_nothing(self, case: Case) -> None:
        """If a put of a batch cannot be embedded, none of the batch is stored.

        Where: not written; PostgresStore carries a batch out in one transaction.
        """
        case.needs(case.can.vectors)
        case.put(case.ns("a"), "old", {"text": "a"})
        with pytest.raises(EmbeddingBrokenError):
            case.batch(
                PutOp(case.ns("a"), "old", None),
                PutOp(case.ns("a"), "fine", {"text": "b"}),
                PutOp(case.ns("a"), "broken", {"text": BROKEN}),
            )
        assert case.found(case.ns("a")) == ["old"]
