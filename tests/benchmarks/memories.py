"""Memories for tests."""

from datetime import UTC, datetime

from langgraph_memskill.records import Memory


def memory(content, **fields):
    at = datetime(2024, 1, 1, tzinfo=UTC)
    values = {"id": content, "namespace": ("n",), "created_at": at, "updated_at": at}
    return Memory(content=content, **(values | fields))
