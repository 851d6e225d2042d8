"""recall, answer, memories: what reads a memory."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from langgraph_memskill.cli.short_ids import full_id
from langgraph_memskill.errors import ConfigError, MemoryNotFoundError
from langgraph_memskill.memory import MemSkillMemory

Run = Callable[..., Result]
Hashes = Callable[[Path], dict[str, str]]


def listed(run: Run, folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        run("memories", "list", "--folder", folder, "--json").stdout
    )["memories"]
    return found


def test_recall_finds_the_nearest_first(run: Run, prepared: Path) -> None:
    found = json.loads(
        run("recall", "What is the cat called?", "--folder", prepared, "--json").stdout
    )
    scores = [memory["score"] for memory in found["memories"]]
    assert found["query"] == "What is the cat called?"
    assert "Biscuit" in found["memories"][0]["content"]
    assert scores == sorted(scores, reverse=True)


def test_recall_for_people_shows_score_and_short_id(run: Run, prepared: Path) -> None:
    shown = run("recall", "What is the cat called?", "--folder", prepared, "-k", "1").stdout
    score, short, *_ = shown.split()
    best = next(memory for memory in listed(run, prepared) if "Biscuit" in memory["content"])
    assert 0.3 < float(score) <= 1
    assert best["id"].startswith(short)
    assert len(short) == 8
    assert len(shown.splitlines()) == 1


def test_recall_of_a_stranger_finds_nothing(run: Run, prepared: Path) -> None:
    done = run("recall", "cat", "--folder", prepared, "--user", "stranger")
    assert (done.exit_code, done.stdout) == (0, "Nothing that fits is remembered.\n")


def test_answer_is_made_from_memories(run: Run, prepared: Path) -> None:
    arguments = ["Where did Ann move to?", "--folder", prepared, "--model", "extractive"]
    answered = json.loads(run("answer", *arguments, "--style", "short", "--json").stdout)
    assert answered["question"] == "Where did Ann move to?"
    assert answered["text"]
    assert any("Lisbon" in memory["content"] for memory in answered["memories"])
    shown = run("answer", *arguments).stdout
    assert "Lisbon" in shown
    assert " memories" in shown


@pytest.mark.parametrize(
    "command",
    [
        ["recall", "x"],
        ["answer", "x"],
        ["memories", "list"],
        ["memories", "show", "x"],
        ["memories", "history", "x"],
        ["memories", "forget", "x"],
        ["skills", "list"],
        ["skills", "show", "insert"],
        ["skills", "lint"],
    ],
)
def test_reading_never_makes_a_memory(run: Run, command: list[str]) -> None:
    failed = run(*command, "--folder", "nowhere")
    assert failed.exit_code == 1
    assert failed.stdout == ""
    assert "error: there is no memory in the folder 'nowhere'" in failed.stderr
    assert not Path("nowhere").exists()


@pytest.mark.parametrize("command", ["recall", "answer"])
def test_an_empty_question(run: Run, prepared: Path, command: str) -> None:
    failed = run(command, " ", "--folder", prepared)
    assert failed.exit_code == 1
    assert "the question ' ' is empty" in failed.stderr


def test_the_folder_comes_from_the_environment(
    run: Run, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMSKILL_DIR", str(prepared))
    assert json.loads(run("memories", "list", "--json").stdout)["memories"]


def test_a_memory_can_be_named_by_the_beginning_of_its_id(run: Run, prepared: Path) -> None:
    memory = listed(run, prepared)[0]
    for name in (memory["id"], memory["id"][:8]):
        shown = json.loads(run("memories", "show", name, "--folder", prepared, "--json").stdout)
        assert shown == memory
    card = run("memories", "show", memory["id"][:8], "--folder", prepared).stdout
    assert memory["content"] in card
    assert memory["id"] in card
    assert "8 May 2023" in card


def test_history_shows_every_version(run: Run, fakes: object) -> None:
    run("remember", "remember the cat is grey")
    run("remember", "change the cat is grey to the cat is white")
    name = listed(run, Path("memdir"))[0]["id"][:8]
    forgotten = run("memories", "forget", name)
    assert forgotten.stdout.startswith("- the cat is white")
    assert listed(run, Path("memdir")) == []
    gone = run("memories", "list", "--forgotten").stdout.splitlines()
    assert gone[0] == "1 forgotten memory of user default"
    assert gone[1].startswith(name)
    versions = json.loads(run("memories", "history", name, "--json").stdout)["history"]
    assert [version["content"] for version in versions] == [
        "the cat is grey",
        "the cat is white",
        "",
    ]
    lines = [line.strip() for line in run("memories", "history", name).stdout.splitlines()]
    assert lines[1::2] == ["the cat is grey", "the cat is white", "forgotten"]
    again = run("memories", "forget", name)
    assert again.exit_code == 1
    assert f"has no memory whose id begins with '{name}'" in again.stderr


@pytest.mark.parametrize("command", ["show", "history", "forget"])
def test_an_unknown_id(run: Run, prepared: Path, command: str) -> None:
    failed = run("memories", command, "zzz", "--folder", prepared)
    assert failed.exit_code == 1
    assert "user 'default' has no memory whose id begins with 'zzz'" in failed.stderr


def test_the_memory_of_another_user_is_out_of_reach(run: Run, prepared: Path) -> None:
    name = listed(run, prepared)[0]["id"]
    failed = run("memories", "forget", name, "--folder", prepared, "--user", "stranger")
    assert failed.exit_code == 1
    assert listed(run, prepared)[0]["id"] == name


def test_the_beginning_of_several_ids(make_memory: Callable[..., MemSkillMemory]) -> None:
    memory = make_memory()
    for name in ("abc1", "abc2", "ab", "other"):
        memory.store.put(memory.namespace_for("ann"), name, {"text": name})
    memory.store.put(memory.namespace_for("ben"), "abd", {"text": "not Ann's"})
    memory.store.put(memory.namespace_for("ann"), "gone", {"text": "forgotten"})
    memory.forget("gone", user_id="ann")
    memory.forget("abd", user_id="ben")
    assert full_id(memory, "g", "ann", forgotten=True) == "gone"
    with pytest.raises(MemoryNotFoundError, match="'g'"):
        full_id(memory, "g", "ann")
    with pytest.raises(MemoryNotFoundError, match="'abd'"):
        full_id(memory, "abd", "ann", forgotten=True)
    assert full_id(memory, "ab", "ann") == "ab"
    assert full_id(memory, "o", "ann") == "other"
    with pytest.raises(ConfigError, match="2 memory ids begin with 'abc': abc1, abc2"):
        full_id(memory, "abc", "ann")
    with pytest.raises(MemoryNotFoundError, match="'abd'"):
        full_id(memory, "abd", "ann")
    with pytest.raises(ConfigError, match="empty"):
        full_id(memory, " ", "ann")


def test_a_damaged_settings_file(run: Run) -> None:
    Path("memdir").mkdir()
    Path("memdir/memory.json").write_text("{", encoding="utf-8")
    failed = run("memories", "list")
    assert failed.exit_code == 1
    assert "memory.json is damaged" in failed.stderr


def test_a_memory_of_another_encoder(run: Run, fakes: object) -> None:
    run("remember", "remember one")
    Path("memdir/memory.json").write_text(
        json.dumps({"format_version": 1, "encoder": "other", "dims": 7}), encoding="utf-8"
    )
    failed = run("recall", "one")
    assert failed.exit_code == 1
    assert "was made with the embedding model 'other'" in failed.stderr
