"""The README's benchmark of one's own, as it is printed there."""

import json
import re
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
DIARIES = [
    {
        "id": "ann",
        "text": "Ann moved to Lisbon on 3 May 2023.\n\nHer grey cat is called Biscuit.",
        "asked": [
            {"question": "Where did Ann move?", "answer": "Lisbon"},
            {"question": "What is Ann's cat called?", "answer": "Biscuit"},
        ],
    }
]


@pytest.fixture
def code():
    found = re.search(r"A benchmark of your own.*?```python\n(.*?)```", README.read_text(), re.S)
    return found[1]


@pytest.fixture
def command(code, monkeypatch, tmp_path):
    """The README's file and command in a folder with some diaries."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "diary", raising=False)
    (tmp_path / "diary.py").write_text(code, encoding="utf-8")
    (tmp_path / "FILE").write_text(json.dumps(DIARIES), encoding="utf-8")
    printed = re.search(r"`memskill (bench task diary:TASK --data FILE)`", README.read_text())
    yield printed[1].split()
    sys.modules.pop("diary", None)


def test_it_has_about_thirty_lines(code):
    assert len(code.splitlines()) <= 35


def test_it_runs(run, command):
    done = run(*command, "--model", "extractive", "--rows", "none,rag,similarity", "--json")
    assert done.exit_code == 0, done.output
    rows = {row["name"]: row["categories"][-1] for row in json.loads(done.stdout)["rows"]}
    assert {name: (row["items"], row["failed"]) for name, row in rows.items()} == {
        "none": (2, 0),
        "rag": (2, 0),
        "similarity": (2, 0),
    }
    assert rows["none"]["metrics"]["f1"]["mean"] == 0.0
    assert rows["similarity"]["metrics"]["f1"]["mean"] > 0.3


def test_its_loader_says_what_is_wrong_with_a_file(run, command, tmp_path):
    (tmp_path / "FILE").write_text(json.dumps([{"id": "ann", "asked": []}]), encoding="utf-8")
    done = run(*command, "--model", "extractive")
    assert done.exit_code == 1
    assert "record 0: the field 'text' is missing" in done.stderr
