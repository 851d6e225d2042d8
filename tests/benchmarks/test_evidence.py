"""Recall and rank of evidence from the provenance of memories."""

from datetime import UTC, datetime

import pytest

from langgraph_memskill.benchmarks.evidence import (
    recall_at,
    reciprocal_rank,
    sessions_of,
    turns_of,
)
from langgraph_memskill.records import Memory, Source


def memory(*sources):
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Memory(
        id="m", content="c", namespace=("n",), created_at=now, updated_at=now, sources=sources
    )


def test_a_memory_names_the_turns_and_sessions_of_all_its_sources():
    found = memory(
        Source(span_id="1", turn_ids=("D1:1", "D1:2"), session="session_1"),
        Source(span_id="2", turn_ids=("D2:7",), session="session_2"),
        Source(span_id="3"),
    )
    assert turns_of(found) == {"D1:1", "D1:2", "D2:7"}
    assert sessions_of(found) == {"session_1", "session_2"}


@pytest.mark.parametrize(("k", "recall"), [(1, 0.0), (2, 0.5), (3, 0.5), (4, 1.0), (20, 1.0)])
def test_recall_counts_the_first_memories(k, recall):
    ranked = [{"D1:1"}, {"D2:2", "D1:4"}, set(), {"D3:3"}]
    assert recall_at(k, ranked, ["D2:2", "D3:3"]) == recall


def test_the_reciprocal_rank_is_that_of_the_first_hit():
    assert reciprocal_rank([{"x"}, {"y"}, {"a", "x"}, {"b"}], ["a", "b"]) == pytest.approx(1 / 3)
    assert reciprocal_rank([{"x"}], ["a"]) == 0.0
    assert reciprocal_rank([], ["a"]) == 0.0


def test_a_question_without_evidence_says_nothing():
    assert recall_at(5, [{"x"}], []) is None
    assert reciprocal_rank([{"x"}], []) is None
