"""Memory as tools, for agents that decide themselves what to search and to save."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from langchain_core.tools import BaseTool, StructuredTool, ToolException
from pydantic import BaseModel, Field

from langgraph_memskill.errors import ConfigError, MemoryNotFoundError, NamespaceError
from langgraph_memskill.records import Memory


class ToolMemory(Protocol):
    """The part of `MemSkillMemory` that the tools use."""

    def recall(self, query: str, *, k: int | None = None) -> list[Memory]:
        """Find memories."""
        ...

    async def arecall(self, query: str, *, k: int | None = None) -> list[Memory]:
        """Find memories without blocking the event loop."""
        ...

    def save(self, content: str, *, memory_id: str | None = None, merge: bool = False) -> Memory:
        """Write a memory."""
        ...

    async def asave(
        self, content: str, *, memory_id: str | None = None, merge: bool = False
    ) -> Memory:
        """Write a memory without blocking the event loop."""
        ...


class SearchInput(BaseModel):
    """Arguments of `search_memory`."""

    query: str = Field(description="What you want to know, as a question or as key words.")
    k: int = Field(default=10, ge=1, le=100, description="How many notes at most.")


class SaveInput(BaseModel):
    """Arguments of `save_memory`."""

    content: str = Field(
        description="One fact in a self-contained sentence, with names and dates instead of "
        "pronouns and words such as yesterday."
    )
    memory_id: str | None = Field(
        default=None,
        description="The id of the note that this one replaces, as search_memory shows it.",
    )


def build_tools(memory: ToolMemory, *, merge: bool = True) -> list[BaseTool]:
    """Make the tools `search_memory` and `save_memory`.

    The user is taken from the run: its context, its authenticated user, or its config.

    Args:
        memory: The memory to work on.
        merge: Whether saving what a note says already gives that note instead of a new one.

    Returns:
        The two tools, each sync and async.
    """

    def search(query: str, k: int = 10) -> str:
        with _told_to_the_model():
            return _listing(memory.recall(query, k=k))

    async def asearch(query: str, k: int = 10) -> str:
        with _told_to_the_model():
            return _listing(await memory.arecall(query, k=k))

    def save(content: str, memory_id: str | None = None) -> str:
        with _told_to_the_model():
            return _receipt(memory.save(content, memory_id=memory_id, merge=merge))

    async def asave(content: str, memory_id: str | None = None) -> str:
        with _told_to_the_model():
            return _receipt(await memory.asave(content, memory_id=memory_id, merge=merge))

    return [
        StructuredTool.from_function(
            search,
            coroutine=asearch,
            name="search_memory",
            description="Search the notes from earlier conversations with this user.",
            args_schema=SearchInput,
            handle_tool_error=True,
        ),
        StructuredTool.from_function(
            save,
            coroutine=asave,
            name="save_memory",
            description="Note a fact for later conversations with this user, or correct a note.",
            args_schema=SaveInput,
            handle_tool_error=True,
        ),
    ]


def _listing(memories: list[Memory]) -> str:
    if not memories:
        return "There are no notes on that."
    return "\n".join(
        f"[{memory.id}] ({memory.updated_at.date().isoformat()}) {memory.content}"
        for memory in memories
    )


def _receipt(memory: Memory) -> str:
    return f"Noted as [{memory.id}]."


@contextmanager
def _told_to_the_model() -> Iterator[None]:
    """Give the model's own mistakes back to it; a missing user id is the developer's and raises."""
    try:
        yield
    except NamespaceError:
        raise
    except (ConfigError, MemoryNotFoundError) as error:
        raise ToolException(f"That did not work: {error}") from error
