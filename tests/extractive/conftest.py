"""The extractive model with the real encoder."""

from datetime import UTC, datetime

import pytest

from langgraph_memskill.extractive import ExtractiveChatModel
from langgraph_memskill.records import Memory, Source

NOW = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="session")
def memory():
    """Makes memories of a content, and of a date if there is one."""

    def make(content, date=None):
        return Memory(
            id=content[:8],
            content=content,
            namespace=("a",),
            created_at=NOW,
            updated_at=NOW,
            sources=(Source(span_id="s", time=date),),
        )

    return make


@pytest.fixture(scope="module")
def chat(minilm):
    return ExtractiveChatModel(encoder=minilm)
