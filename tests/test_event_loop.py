"""No async operation blocks the event loop: files, SQLite and sleeping only in worker threads."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockingError
from langchain_core.messages import AIMessage, HumanMessage

from langgraph_memskill import MemSkillMemory
from langgraph_memskill.settings import Settings
from tests.blocking import nothing_blocks


@pytest.fixture
async def memory(tmp_path: Path, model: Any, encoder: Any) -> AsyncIterator[MemSkillMemory]:
    settings = Settings(record_traces=True)
    memory = await MemSkillMemory.aopen(tmp_path / "m", model, encoder=encoder, settings=settings)
    yield memory
    await memory.aclose()


async def test_the_guard_sees_what_blocks(tmp_path: Path) -> None:
    with nothing_blocks(), pytest.raises(BlockingError):
        (tmp_path / "x").mkdir()


async def test_opening_and_closing(tmp_path: Path, model: Any, encoder: Any) -> None:
    with nothing_blocks():
        memory = await MemSkillMemory.aopen(tmp_path / "m", model, encoder=encoder)
        await memory.aclose()


async def test_remembering_recalling_and_answering(memory: MemSkillMemory) -> None:
    with nothing_blocks():
        result = await memory.aremember("remember that Ann likes tea", user_id="ann")
        assert not result.failed
        found = await memory.arecall("tea", user_id="ann")
        assert found
        assert await memory.aanswer("What does Ann like?", user_id="ann")
        assert await memory.afailed(user_id="ann") == []
        await memory.aretry_failed(user_id="ann")
        assert await memory.aflush()


async def test_single_memories(memory: MemSkillMemory) -> None:
    with nothing_blocks():
        saved = await memory.asave("Bob has a boat", user_id="bob")
        memory_id = saved.id
        assert (await memory.aget(memory_id, user_id="bob")).content == "Bob has a boat"
        assert await memory.amemories(user_id="bob")
        assert await memory.ahistory(memory_id, user_id="bob")
        await memory.aforget(memory_id, user_id="bob")
        assert await memory.aforgotten(user_id="bob")
        deletion = (await memory.achanges(user_id="bob"))[-1]
        await memory.aundo(deletion.id, user_id="bob")
        await memory.apurge(memory_id, user_id="bob")
        await memory.apurge_user(user_id="bob")


async def test_upkeep(memory: MemSkillMemory, tmp_path: Path) -> None:
    with nothing_blocks():
        result = await memory.aremember("remember that Ann likes tea", user_id="ann")
        assert result.episode_id is not None
        await memory.afeedback(result.episode_id, 1.0)
        assert await memory.arecorded_feedback()
        check = await memory.acheck_memories()
        await memory.arepair_memories(check)
        await memory.asweep()
        await memory.aexport(tmp_path / "out.jsonl", user_id="ann")
        await memory.aload(tmp_path / "out.jsonl")


async def test_the_middleware_and_the_nodes(memory: MemSkillMemory) -> None:
    messages = [HumanMessage("remember that Ann likes tea", id="1"), AIMessage("Noted.", id="2")]
    with nothing_blocks():
        queued = await memory.aremember_later(messages, ("memories", "ann"))
        assert queued
        assert await memory.aflush()
