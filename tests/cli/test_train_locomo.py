from datetime import UTC, datetime

import pytest

from langgraph_memskill.benchmarks.locomo import load_sample_conversation
from langgraph_memskill.cli.train_locomo import make_scorer
from langgraph_memskill.errors import ConfigError
from langgraph_memskill.records import Answer, Memory, Source
from langgraph_memskill.trainers.material import TrainingQuestion

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def question(**fields) -> TrainingQuestion:
    return TrainingQuestion(**({"id": "q", "text": "?", "answers": ("red, blue",)} | fields))


def memory(*turn_ids: str) -> Memory:
    sources = (Source(span_id="s", turn_ids=turn_ids),)
    return Memory(
        id="m", content="x", namespace=("n",), created_at=NOW, updated_at=NOW, sources=sources
    )


async def test_multi_hop_answers_are_scored_as_lists():
    scorer = make_scorer("f1")
    # "red" is found among the parts, "blue" is not.
    assert await scorer(question(category=1), Answer(text="red")) == 0.5
    # As one text: precision 1, recall 1/2.
    assert await scorer(question(category=4), Answer(text="red")) == pytest.approx(2 / 3)


async def test_a_question_without_a_gold_answer_has_no_score():
    assert await make_scorer("f1")(question(answers=()), Answer(text="red")) is None


async def test_evidence_recall_looks_at_the_sources_of_the_memories():
    scorer = make_scorer("evidence_recall")
    answer = Answer(text="", memories=(memory("D1:1", "D1:2"), memory("D3:4")))
    assert await scorer(question(evidence=("D1:2", "D9:9")), answer) == 0.5
    assert await scorer(question(), answer) is None


def test_a_judge_is_no_such_scorer():
    with pytest.raises(ConfigError, match="llm_judge"):
        make_scorer("llm_judge")


def test_the_packaged_sample_has_what_training_needs():
    sample = load_sample_conversation()
    assert sample.sessions
    assert all(q.evidence for q in sample.questions)
