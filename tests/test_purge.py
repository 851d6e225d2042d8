import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from langgraph_memskill.errors import MemoryNotFoundError, UndoError
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.records import FailedSpan, Span

Make = Callable[..., MemSkillMemory]
SECRET = "zebra-\u00fcmlaut-7731"


@pytest.fixture
def memory(tmp_path: Path, model: Any, encoder: Any) -> Iterator[MemSkillMemory]:
    with MemSkillMemory.open(tmp_path / "m", model, encoder=encoder) as opened:
        yield opened


@pytest.fixture(params=["sync", "async"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _purge(memory: MemSkillMemory, way: str, memory_id: str, user: str | None = None) -> None:
    if way == "sync":
        memory.purge(memory_id, user_id=user)
    else:
        asyncio.run(memory.apurge(memory_id, user_id=user))


def _files_with(folder: Path, text: str) -> list[str]:
    wanted = [text.encode(), json.dumps(text)[1:-1].encode(), text.encode("utf-16-le")]
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [p.name for p in files if any(w in p.read_bytes() for w in wanted)]


def test_no_byte_of_a_purged_memory_is_left(
    memory: MemSkillMemory, tmp_path: Path, way: str
) -> None:
    kept = memory.save("a memory that stays", user_id="u1")
    result = memory.remember(f"remember {SECRET} lives here", user_id="u1")
    [secret] = result.memories
    memory.save(f"{SECRET} moved", memory_id=secret.id, user_id="u1")
    memory.forget(secret.id, user_id="u1")
    memory.undo(memory.changes(memory_id=secret.id)[-1].id)
    source = Span(id=secret.sources[0].span_id, index=0, text=f"He said {SECRET}")
    memory._pending.add([FailedSpan(span=source, namespace=secret.namespace, reason="x")])
    assert _files_with(tmp_path, SECRET)
    _purge(memory, way, secret.id)
    assert _files_with(tmp_path, SECRET) == []
    assert memory.failed() == []
    assert [m.content for m in memory.recall("memory", user_id="u1")] == [kept.content]
    with pytest.raises(MemoryNotFoundError, match="purged"):
        memory.history(secret.id)
    with pytest.raises(MemoryNotFoundError):
        memory.get(secret.id)
    marks = memory.changes(memory_id=secret.id)
    assert [c.cause for c in marks] == ["span", "tool", "forget", "undo", "purge"]
    assert all(c.purged_at and c.content is None and c.previous is None for c in marks)
    with pytest.raises(UndoError, match="purged"):
        memory.undo(result.episode_id)
    _purge(memory, way, secret.id)
    assert memory.change_log.check() == []


def test_everything_still_works_after_a_purge_and_a_restart(
    memory: MemSkillMemory, tmp_path: Path, model: Any, encoder: Any
) -> None:
    texts = [f"fact number {n}" for n in range(8)]
    saved = [memory.save(text, user_id="u1") for text in texts]
    memory.purge(saved[3].id)
    memory.save("fact number 8", user_id="u1")
    memory.purge(saved[5].id)
    memory.close()
    with MemSkillMemory.open(tmp_path / "m", model, encoder=encoder) as again:
        found = again.recall("fact number", user_id="u1", k=20)
        expected = {*texts, "fact number 8"} - {texts[3], texts[5]}
        assert {m.content for m in found} == expected
        assert _files_with(tmp_path, texts[3]) == []


def test_a_purged_user_is_gone_and_the_others_stay(
    memory: MemSkillMemory, tmp_path: Path, way: str
) -> None:
    for user in ("u1", "u2"):
        memory.remember(f"remember {SECRET} of {user}", user_id=user)
        deleted = memory.save(f"{SECRET} was {user}", user_id=user)
        memory.forget(deleted.id, user_id=user)
        span = Span(id=f"{user}/0", index=0, text=f"{SECRET} waits for {user}")
        place = memory.namespace_for(user)
        memory._pending.add([FailedSpan(span=span, namespace=place, reason="x")])
    if way == "sync":
        assert memory.purge_user("u1") == 2
    else:
        assert asyncio.run(memory.apurge_user("u1")) == 2
    for text in (f"{SECRET} of u1", f"{SECRET} was u1", f"{SECRET} waits for u1"):
        assert _files_with(tmp_path, text) == []
    assert memory.memories(user_id="u1") == memory.forgotten(user_id="u1") == []
    assert [m.content for m in memory.memories(user_id="u2")] == [f"{SECRET} of u2"]
    assert len(memory.forgotten(user_id="u2")) == len(memory.failed(user_id="u2")) == 1
    assert memory.purge_user("u1") == 0


def test_nobody_purges_another_users_memory(memory: MemSkillMemory, way: str) -> None:
    theirs = memory.save("theirs", user_id="u2")
    with pytest.raises(MemoryNotFoundError):
        _purge(memory, way, theirs.id, "u1")
    assert memory.get(theirs.id).content == "theirs"
    with pytest.raises(MemoryNotFoundError):
        _purge(memory, way, "nothing")


def test_a_repeated_step_does_not_bring_a_purged_memory_back(make_memory: Make) -> None:
    memory = make_memory()
    span = Span(id=f"{'a' * 32}/0", index=0, text="remember Ann lives in Oslo")
    [first] = memory.remember([span], user_id="u1").memories
    memory.purge(first.id)
    assert memory.remember([span], user_id="u1").memories == ()
    assert memory.memories(user_id="u1") == []
