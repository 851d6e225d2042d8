"""memories export, memories import."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

Run = Callable[..., Result]
pytestmark = pytest.mark.usefixtures("fakes")


@pytest.fixture(autouse=True)
def memdir(run: Run, fakes: object) -> None:
    run("remember", "remember the cat is grey")
    run("remember", "remember the dog is black", "--user", "ben")


def texts(run: Run, *options: object) -> list[str]:
    listed = json.loads(run("memories", "list", *options, "--json").stdout)
    return [memory["content"] for memory in listed["memories"]]


def test_export_and_import_into_a_new_folder(run: Run) -> None:
    name = json.loads(run("memories", "list", "--json").stdout)["memories"][0]["id"]
    run("memories", "forget", name)
    done = run("memories", "export", "all.jsonl", "--all")
    assert done.stdout == "wrote 1 memory and 1 forgotten of 2 users to all.jsonl\n"
    loaded = run("memories", "import", "all.jsonl", "--folder", "copy")
    assert loaded.exit_code == 0
    lines = loaded.stdout.splitlines()
    assert lines[0] == "added 1 memory, 1 forgotten ones"
    assert lines[1].startswith("undo it with: memskill memories undo --all ")
    assert texts(run, "--folder", "copy", "--user", "ben") == ["the dog is black"]
    again = run("memories", "import", "all.jsonl", "--folder", "copy")
    assert again.stdout == "added 0 memories, 2 here already\n"
    undone = run("memories", "undo", "--all", lines[1].rpartition(" ")[2], "--folder", "copy")
    assert undone.exit_code == 0
    assert texts(run, "--folder", "copy", "--user", "ben") == []


def test_one_user_for_another(run: Run) -> None:
    run("memories", "export", "ben.jsonl", "--user", "ben")
    failed = run("memories", "import", "ben.jsonl", "--user", "carl")
    assert failed.exit_code == 1
    assert "name one of them with from_namespace" in failed.stderr
    run("memories", "import", "ben.jsonl", "--user", "carl", "--from-user", "ben")
    assert texts(run, "--user", "carl") == ["the dog is black"]


def test_json_reports(run: Run) -> None:
    exported = json.loads(run("memories", "export", "m.jsonl", "--json").stdout)
    assert (exported["num_memories"], exported["namespaces"]) == (1, [["memories", "default"]])
    loaded = json.loads(run("memories", "import", "m.jsonl", "--json").stdout)
    assert (loaded["num_added"], loaded["num_unchanged"]) == (0, 1)


def test_a_file_is_not_replaced_by_accident(run: Run) -> None:
    Path("m.jsonl").write_text("precious", encoding="utf-8")
    failed = run("memories", "export", "m.jsonl")
    assert failed.exit_code == 1
    assert "the file 'm.jsonl' exists" in failed.stderr
    assert Path("m.jsonl").read_text(encoding="utf-8") == "precious"
    assert run("memories", "export", "m.jsonl", "--force").exit_code == 0


def test_a_damaged_file(run: Run) -> None:
    run("memories", "export", "m.jsonl")
    whole = Path("m.jsonl").read_bytes()
    Path("m.jsonl").write_bytes(whole.replace(b"grey", b"blue"))
    failed = run("memories", "import", "m.jsonl")
    assert failed.exit_code == 1
    assert "m.jsonl, line 2: the line's checksum is wrong" in failed.stderr


def test_conflicts_are_told(run: Run) -> None:
    run("memories", "export", "m.jsonl")
    run("remember", "change the cat is grey to the cat is white")
    kept = run("memories", "import", "m.jsonl").stdout
    assert "it has another text here (--on-conflict replace)" in kept
    failed = run("memories", "import", "m.jsonl", "--on-conflict", "error")
    assert failed.exit_code == 1
    replaced = run("memories", "import", "m.jsonl", "--on-conflict", "replace").stdout
    assert replaced.startswith("added 0 memories, replaced 1\n")
    assert texts(run) == ["the cat is grey"]


def test_mem0(run: Run) -> None:
    records: list[dict[str, Any]] = [
        {"id": "m1", "memory": "Likes tea", "user_id": "ann"},
        {"id": "m2", "memory": "", "user_id": "ann"},
    ]
    Path("mem0.json").write_text(json.dumps({"results": records}), encoding="utf-8")
    done = run("memories", "import", "mem0.json", "--from", "mem0")
    assert "skipped record 2: there is no text in 'memory'" in done.stdout
    assert texts(run, "--user", "ann") == ["Likes tea"]
    failed = run("memories", "import", "mem0.json")
    assert "this is no file of langgraph-memskill memories" in failed.stderr
