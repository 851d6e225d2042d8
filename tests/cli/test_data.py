"""`memskill data`."""

import json
from pathlib import Path

from tests.cli.conftest import Run

RECORD = {
    "context": "Document 1:\nOslo\nOslo is a city.",
    "input": "Where is Oslo?",
    "num_docs": 1,
    "index": 0,
    "answers": ["Norway"],
}


def write(records: object, name: str = "eval.json") -> str:
    Path(name).write_text(json.dumps(records), encoding="utf-8")
    return name


def test_a_file_that_is_right(run: Run) -> None:
    done = run("data", "check", write([RECORD]))
    assert done.exit_code == 0, done.output
    assert "eval.json: hotpotqa" in done.stdout
    assert "1 sample, 1 document," in done.stdout
    assert "0 errors, 0 warnings" in done.stdout


def test_a_file_that_is_wrong(run: Run) -> None:
    failed = run("data", "check", write([RECORD, {**RECORD, "index": 1, "answers": [""]}]))
    assert failed.exit_code == 1
    assert "error record 1: the gold answer is empty" in failed.stdout
    assert "add the answer, or take the question out" in failed.stdout


def test_several_files_for_machines(run: Run) -> None:
    files = [write([RECORD]), write({"train": [], "val": [], "test": [0]}, "splits.json")]
    done = run("data", "check", *files, "--no-tokens", "--json")
    first, second = json.loads(done.stdout)["files"]
    assert (first["format"], first["samples"], first["tokens"]) == ("hotpotqa", 1, None)
    assert second["splits"] == {"train": 0, "val": 0, "test": 1}


def test_what_stands_in_a_file_does_not_steer_the_terminal(run: Run) -> None:
    failed = run("data", "check", write([{**RECORD, "answers": {"\x1b[31mred": 1}}]))
    assert "\x1b" not in failed.stdout


def test_a_data_set_that_nobody_knows(run: Run) -> None:
    failed = run("data", "get", "chess")
    assert failed.exit_code == 1
    assert "known are locomo, longmemeval, hotpotqa" in failed.stderr


def test_a_folder_that_lacks_the_files(run: Run) -> None:
    failed = run("data", "get", "locomo", "--from", ".", "--to", "data")
    assert failed.exit_code == 1
    assert "CC BY-NC 4.0" in failed.stdout
    assert "has neither locomo10.json" in failed.stderr


def test_files_of_another_content_are_not_taken_for_the_official_ones(run: Run) -> None:
    write([], "locomo10.json")
    failed = run("data", "get", "locomo", "--from", ".", "--to", "data")
    assert "not the official file" in failed.stderr
    assert not Path("data/locomo/locomo10.json").exists()


def test_files_from_a_folder(run: Run) -> None:
    Path("usb").mkdir()
    for number in (50, 100, 200):
        write([RECORD], f"usb/eval_{number}.json")
    done = run("data", "get", "hotpotqa", "--from", "usb", "--to", "data", "--json")
    [data_set] = json.loads(done.stdout)["data_sets"]
    assert data_set["licence"] == "CC BY-SA 4.0"
    assert [file["path"] for file in data_set["files"]] == [
        f"data/hotpotqa/eval_{number}.json" for number in (50, 100, 200)
    ]
