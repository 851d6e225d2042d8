import asyncio
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.memory import InMemoryStore

from langgraph_memskill.errors import ConfigError, StoreError
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.memory_folder import FORMAT_VERSION, MemoryFolder
from langgraph_memskill.stored_memories import StoredMemories

Make = Callable[..., MemSkillMemory]
TEMPLATE = ("memories", "{user_id}")


def _now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(params=["sync", "async"])
def past(request: pytest.FixtureRequest) -> Any:
    def run(memory: StoredMemories, query: str, at: datetime, user: str = "u1") -> list[str]:
        if request.param == "sync":
            found = memory.recall(query, user_id=user, as_of=at)
        else:
            found = asyncio.run(memory.arecall(query, user_id=user, as_of=at))
        return [m.content for m in found]

    return run


def test_the_past_is_recalled_as_it_was(make_memory: Make, past: Any) -> None:
    memory = make_memory()
    times = [_now()]
    tea = memory.save("Ann drinks tea", user_id="u1")
    times.append(_now())
    memory.save("Ann drinks coffee", memory_id=tea.id, user_id="u1")
    memory.save("a red bike", user_id="u1")
    times.append(_now())
    memory.forget(tea.id, user_id="u1")
    memory.save("of somebody else", user_id="u2")
    times.append(_now())
    asked = [past(memory, "Ann drinks", at) for at in times]
    assert asked == [[], ["Ann drinks tea"], ["Ann drinks coffee", "a red bike"], ["a red bike"]]
    [then] = memory.recall("tea", user_id="u1", as_of=times[1])
    assert [v.content for v in then.history] == ["Ann drinks tea"]
    assert then.score is not None
    assert past(memory, "anything", times[-1] + timedelta(days=1)) == ["a red bike"]
    assert past(memory, "tea", times[3], "u2") == ["of somebody else"]


def test_what_the_log_does_not_know_comes_from_the_store(encoder: Any, past: Any) -> None:
    store = InMemoryStore()
    before = StoredMemories(store, encoder, TEMPLATE, 5)
    tea = before.save("tea", user_id="u1")
    early = _now()
    before.save("coffee", memory_id=tea.id, user_id="u1")
    gone = before.save("gone", user_id="u1")
    middle = _now()
    before.forget(gone.id, user_id="u1")
    copy = InMemoryStore()
    for item in store.search((), limit=100):
        copy.put(item.namespace, item.key, item.value)
    memory = StoredMemories(copy, encoder, TEMPLATE, 5)
    assert past(memory, "x", early) == ["tea"]
    assert sorted(past(memory, "x", middle)) == ["coffee", "gone"]
    assert past(memory, "x", _now()) == ["coffee"]
    copy.put(("memories", "u1"), tea.id, {"text": "theirs"})
    assert past(memory, "x", _now()) == ["theirs"]
    memory.save("mine again", memory_id=tea.id, user_id="u1")
    assert past(memory, "x", _now()) == ["mine again"]


def test_a_time_without_zone_is_refused(make_memory: Make) -> None:
    with pytest.raises(ConfigError, match="time zone"):
        make_memory().recall("x", user_id="u1", as_of=datetime(2026, 1, 1))


def _as_issue_2(folder: Path) -> None:
    """Make the folder one without a change log."""
    (folder / "changes.db").unlink()
    shutil.rmtree(folder / "changes.db.locks")
    settings = json.loads((folder / "memory.json").read_text())
    (folder / "memory.json").write_text(json.dumps(settings | {"format_version": 1}))


def test_a_folder_without_a_log_gets_one_at_opening(
    tmp_path: Path, model: Any, encoder: Any, past: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MemSkillMemory.open(tmp_path / "m", model, encoder=encoder) as memory:
        tea = memory.save("tea", user_id="u1")
        early = _now()
        memory.save("coffee", memory_id=tea.id, user_id="u1")
        gone = memory.save("gone", user_id="u2")
        memory.forget(gone.id, user_id="u2")
        known = memory.changes()
    _as_issue_2(tmp_path / "m")

    def fail(*arguments: Any) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(MemoryFolder, "write_settings", fail)
        with pytest.raises(StoreError, match="full"):
            MemSkillMemory.open(tmp_path / "m", model, encoder=encoder)
    with MemSkillMemory.open(tmp_path / "m", model, encoder=encoder) as memory:
        assert [(c.id, c.version, c.kind, c.content) for c in memory.changes()] == [
            (c.id, c.version, c.kind, c.content) for c in known
        ]
        assert past(memory, "x", early) == ["tea"]
        memory.undo(known[-1].id, user_id="u2")
        assert memory.get(gone.id).content == "gone"
        memory.undo(known[1].id)
        assert memory.get(tea.id).content == "tea"
    settings = json.loads((tmp_path / "m" / "memory.json").read_text())
    assert settings["format_version"] == FORMAT_VERSION


def test_a_lost_log_is_made_anew(tmp_path: Path, model: Any, encoder: Any) -> None:
    with MemSkillMemory.open(tmp_path / "m", model, encoder=encoder) as memory:
        tea = memory.save("tea", user_id="u1")
    (tmp_path / "m" / "changes.db").unlink()
    with MemSkillMemory.open(tmp_path / "m", model, encoder=encoder) as memory:
        assert [c.memory_id for c in memory.changes()] == [tea.id]
