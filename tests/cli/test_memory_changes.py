"""memories changes, undo and purge; recall --as-of."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from langgraph_memskill.cli.past_times import past_time
from langgraph_memskill.errors import ConfigError
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.stores.chroma import ChromaStore

Run = Callable[..., Result]
pytestmark = pytest.mark.usefixtures("fakes")


@pytest.fixture(autouse=True)
def memdir(run: Run, fakes: object) -> None:
    run("remember", "remember the cat is grey")
    run("remember", "change the cat is grey to the cat is white")


def listed(run: Run, *options: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("memories", "changes", *options, "--json").stdout)[
        "changes"
    ]
    return found


def texts(run: Run) -> list[str]:
    memories = json.loads(run("memories", "list", "--json").stdout)["memories"]
    return [memory["content"] for memory in memories]


def test_changes_are_listed(run: Run) -> None:
    first, second = listed(run)
    assert (first["kind"], second["kind"]) == ("insert", "update")
    assert second["after"]["content"] == "the cat is white"
    lines = run("memories", "changes").stdout.splitlines()
    assert lines[0] == "2 changes of user default"
    assert lines[1].split()[0] == first["id"][:8]
    assert "the cat is grey → the cat is white" in lines[2]
    assert f"span run {second['run_id'][:8]}" in lines[2]
    assert listed(run, "-n", "1") == [second]
    assert listed(run, "--run", first["run_id"][:10]) == [first]
    assert listed(run, "--memory", first["memory_id"][:10]) == [first, second]
    assert listed(run, "--user", "stranger") == []
    assert listed(run, "--all", "--user", "stranger") == [first, second]


def test_undo_by_the_beginning_of_an_id(run: Run) -> None:
    first, second = listed(run)
    refused = run("memories", "undo", first["id"])
    assert refused.exit_code == 1
    assert f"change '{second['id']}'" in refused.stderr
    done = run("memories", "undo", second["run_id"][:12])
    assert done.exit_code == 0
    assert texts(run) == ["the cat is grey"]
    run("memories", "undo", done.stdout.split()[-1])
    assert texts(run) == ["the cat is white"]
    undone = json.loads(run("memories", "undo", listed(run)[-1]["id"], "--json").stdout)
    assert [change["cause"] for change in undone["changes"]] == ["undo"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["zzz"], "user 'default' has no change or run whose id begins with 'zzz'"),
        (["zzz", "--all"], "no user has a change or run"),
        ([" "], "the id is empty"),
    ],
)
def test_an_undo_of_nothing(run: Run, options: list[str], message: str) -> None:
    failed = run("memories", "undo", *options)
    assert failed.exit_code == 1
    assert message in failed.stderr


def test_purge_asks_first(run: Run) -> None:
    name = listed(run)[0]["memory_id"]
    declined = run("memories", "purge", name[:8], stdin="n\n")
    assert declined.exit_code == 1
    assert f"Purge the memory '{name}' for good?" in declined.stderr
    assert texts(run) == ["the cat is white"]
    agreed = run("memories", "purge", name[:8], stdin="y\n")
    assert agreed.stdout.endswith("purged 1 memory of user default\n")
    # Looked at first: this process still has the text, and Chroma writes out unused memory.
    for file in Path("memdir").rglob("*"):
        assert not file.is_file() or b"the cat is" not in file.read_bytes()
    assert texts(run) == []
    assert all(change["after"] is None for change in listed(run))
    assert "purged" in run("memories", "changes").stdout


def test_purge_of_a_user(run: Run) -> None:
    run("remember", "remember the dog is black")
    run("remember", "remember the cow is red", "--user", "ben")
    done = run("memories", "purge", "--user-all", "--yes", "--json")
    assert json.loads(done.stdout) == {"user": "default", "id": None, "num_purged": 2}
    assert texts(run) == []
    assert len(listed(run, "--user", "ben")) == 1


@pytest.mark.parametrize("options", [[], ["some-id", "--user-all"]])
def test_purge_needs_one_thing_to_purge(run: Run, options: list[str]) -> None:
    failed = run("memories", "purge", "--yes", *options)
    assert failed.exit_code == 1
    assert "name one memory id, or use --user-all" in failed.stderr


def test_recall_of_the_past(run: Run) -> None:
    first, second = listed(run)
    found = run("recall", "cat", "--as-of", first["at"], "--json")
    assert [m["content"] for m in json.loads(found.stdout)["memories"]] == ["the cat is grey"]
    found = run("recall", "cat", "--as-of", second["at"], "--json")
    assert [m["content"] for m in json.loads(found.stdout)["memories"]] == ["the cat is white"]
    assert (
        run("recall", "cat", "--as-of", "a year ago").stdout == "Nothing that fits is remembered.\n"
    )
    failed = run("recall", "cat", "--as-of", "xyzzy")
    assert failed.exit_code == 1
    assert "'xyzzy' is no time" in failed.stderr


def test_times_as_people_type_them() -> None:
    now = datetime(2026, 5, 10, 12, tzinfo=UTC)
    assert past_time("2 days ago", now) == now - timedelta(days=2)
    assert past_time("2026-05-01T12:30:00+00:00") == datetime(2026, 5, 1, 12, 30, tzinfo=UTC)
    assert past_time("2026-05-01").date() == datetime(2026, 5, 1, tzinfo=UTC).date()
    assert past_time("2026-05-01").tzinfo is not None
    with pytest.raises(ConfigError, match="'soon-ish' is no time"):
        past_time("soon-ish", now)


def test_expired_memories_are_swept(run: Run, model: Any, encoder: Any) -> None:
    assert run("memories", "sweep").stdout == "swept 0 expired memories\n"
    with MemSkillMemory.open("memdir", model, encoder=encoder, ttl={"default_ttl": 60}) as memory:
        store = memory.store
        assert isinstance(store, ChromaStore)
        store._clock = lambda: time.time_ns() - 3600 * 10**9
        memory.save("the cow is red", user_id="default")
    assert texts(run) == ["the cat is white"]
    done = run("memories", "sweep")
    assert done.stdout == "swept 1 expired memory\n"
    assert listed(run)[-1]["cause"] == "ttl"
    assert json.loads(run("memories", "sweep", "--json").stdout) == {"num_swept": 0}
