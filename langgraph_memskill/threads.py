"""Which LangGraph thread the running code belongs to."""

from langgraph.config import get_config

THREAD_KEY = "memskill_thread_id"
"""Key of `configurable` that names the thread of messages which are remembered later."""


def current_thread_id() -> str | None:
    """The id of the thread whose run this code is called from, if it has one."""
    try:
        configurable = get_config().get("configurable", {})
    except RuntimeError:
        return None  # called outside of a graph run
    value = configurable.get(THREAD_KEY) or configurable.get("thread_id")
    return None if value is None else str(value)
