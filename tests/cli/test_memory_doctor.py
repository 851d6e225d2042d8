"""memories doctor."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

Run = Callable[..., Result]
Hashes = Callable[[Path], dict[str, str]]
pytestmark = pytest.mark.usefixtures("fakes")


@pytest.fixture(autouse=True)
def memdir(run: Run, fakes: object) -> None:
    run("remember", "remember Ann lives in Oslo")


def texts(run: Run) -> list[str]:
    found: list[dict[str, Any]] = json.loads(run("memories", "list", "--json").stdout)["memories"]
    return sorted(memory["content"] for memory in found)


def test_a_sound_memory(run: Run) -> None:
    done = run("memories", "doctor")
    assert done.exit_code == 0
    assert done.stdout == "checked 1 memory of 1 user\nnothing is wrong\n"


def test_faults_are_shown_then_fixed_then_undone(run: Run) -> None:
    run("remember", "remember Hello!")
    run("remember", "remember Ann lives in Rome")
    found = run("memories", "doctor")
    assert found.exit_code == 1
    assert "found 1 junk\n  default it is a greeting or a filler" in found.stdout
    assert "found 1 contradiction\n" in found.stdout
    assert "'oslo' in one, 'rome' in the other" in found.stdout
    assert found.stdout.endswith("2 problems; --fix repairs what is safe\n")
    assert len(texts(run)) == 3
    fixed = run("memories", "doctor", "--fix")
    assert fixed.exit_code == 1
    lines = fixed.stdout.splitlines()
    assert "fixed 1 junk" in lines
    assert "left 1 contradiction" in lines
    assert lines[-1] == "1 problem"
    assert texts(run) == ["Ann lives in Oslo", "Ann lives in Rome"]
    run("memories", "undo", "--all", lines[-2].rpartition(" ")[2])
    assert len(texts(run)) == 3


def test_json(run: Run) -> None:
    run("remember", "remember Hello!", "--user", "ben")
    report = json.loads(run("memories", "doctor", "--json").stdout)
    assert (report["num_memories"], report["num_wrong"], report["repair"]) == (2, 1, None)
    [finding] = report["findings"]
    assert (finding["kind"], finding["contents"]) == ("junk", ["Hello!"])
    assert run("memories", "doctor", "--user", "default").exit_code == 0
    done = run("memories", "doctor", "--fix", "--json")
    report = json.loads(done.stdout)
    assert (done.exit_code, report["num_wrong"], report["repair"]["num_changes"]) == (0, 0, 1)


def test_no_memory_is_made(run: Run) -> None:
    failed = run("memories", "doctor", "--folder", "nowhere")
    assert failed.exit_code == 1
    assert "there is no memory in the folder 'nowhere'" in failed.stderr
    assert not Path("nowhere").exists()
