"""What `langgraph.json` names: graphs and store of one memory folder, for a LangGraph server.

The folder is the environment's MEMSKILL_DIR, the chat model MEMSKILL_MODEL, as for the `memskill`
command; MEMSKILL_DESIGNER is the model that evolves the skills, if it is to be another one.
Everything of one server process shares one open memory, which is opened at the first use and closed
with the server.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from langgraph.graph.state import CompiledStateGraph

from langgraph_memskill.cli.options import DEFAULT_FOLDER, FOLDER_VARIABLE
from langgraph_memskill.graphs.chat_agent import build_chat_agent
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.server_evolution import build_server_evolution
from langgraph_memskill.stores.chroma import ChromaStore

DESIGNER_VARIABLE = "MEMSKILL_DESIGNER"


class _SharedMemory:
    """The memory of this process: opened once, however many graphs and threads ask for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._memory: MemSkillMemory | None = None
        self._users = 0

    def get(self) -> MemSkillMemory:
        with self._lock:
            if self._memory is None:
                folder = os.environ.get(FOLDER_VARIABLE) or DEFAULT_FOLDER
                self._memory = MemSkillMemory.open(Path(folder))
            return self._memory

    def enter(self) -> MemSkillMemory:
        memory = self.get()
        with self._lock:
            self._users += 1
        return memory

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users or self._memory is None:
                return
            memory, self._memory = self._memory, None
        memory.close()


_shared = _SharedMemory()


@asynccontextmanager
async def store() -> AsyncIterator[ChromaStore]:
    """The folder's store, as the server's own (`"store": {"path": ...}`).

    A server enters it once a thread; when the last has left it, the memory is closed.

    Raises:
        MemSkillError: As `MemSkillMemory.open`.
    """
    memory = await asyncio.to_thread(_shared.enter)
    try:
        assert isinstance(memory.store, ChromaStore)
        yield memory.store
    finally:
        await asyncio.to_thread(_shared.leave)


async def construction() -> CompiledStateGraph[Any, Any, Any, Any]:
    """The construction graph: spans in, memories out."""
    return (await asyncio.to_thread(_shared.get)).graph


async def answering() -> CompiledStateGraph[Any, Any, Any, Any]:
    """The answering graph: a question in, an answer from the user's memories out."""
    return (await asyncio.to_thread(_shared.get)).answering_graph


async def chat_agent() -> CompiledStateGraph[Any, Any, Any, Any]:
    """A chat agent that remembers its user over all his threads.

    Its context is `{"user_id": ...}`; on a server with authentication it is the user who is logged
    in.
    """
    memory = await asyncio.to_thread(_shared.get)
    return build_chat_agent(memory.model, memory.middleware(), tools=memory.tools())


async def evolution() -> CompiledStateGraph[Any, Any, Any, Any]:
    """The evolution of the folder's skills, with a person's decision where it is asked for."""
    memory = await asyncio.to_thread(_shared.get)
    return build_server_evolution(memory, os.environ.get(DESIGNER_VARIABLE))
