"""`memskill evolve` and `memskill feedback --question`, over a folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from langgraph_memskill.testing.designer import RuleDesigner

Run = Callable[..., Result]
QUESTION = "Where does Clara keep her bicycle?"


@pytest.fixture
def designer(monkeypatch: pytest.MonkeyPatch, fakes: Any) -> RuleDesigner:
    """Commands with "--model designer" get the rules, all others the model that obeys orders."""
    rules = RuleDesigner()

    def load(model: Any, **_: Any) -> Any:
        return rules if model in ("designer", rules) else fakes

    monkeypatch.setattr("langgraph_memskill.memory.load_model", load)
    return rules


@pytest.fixture
def asked(run: Run, designer: RuleDesigner) -> str:
    """A memory in memdir, with one hard case; the episode's id."""
    done = run("remember", "remember Clara rides daily", "--user", "u", "--json")
    episode = json.loads(done.stdout)["results"][0]["episode_id"]
    options = ("--question", QUESTION, "--expected", "in the old shed")
    assert run("feedback", episode, "0", *options).exit_code == 0
    return str(episode)


def waiting(run: Run) -> str:
    return str(json.loads(run("evolve", "--model", "designer", "--approve", "--json").stdout)["id"])


def skills(run: Run) -> set[str]:
    listed = json.loads(run("skills", "list", "--json").stdout)
    return {skill["name"] for skill in listed["skills"]}


def test_cases_are_listed_with_what_they_retrieved(run: Run, asked: str) -> None:
    shown = run("evolve", "--show-cases").stdout
    assert QUESTION in shown
    assert "in the old shed" in shown
    assert "Clara rides daily" in shown
    assert "never stored" in shown
    assert shown.splitlines()[-1] == "1 hard case"


def test_cases_for_machines(run: Run, asked: str) -> None:
    [case] = json.loads(run("evolve", "--show-cases", "--json").stdout)["cases"]
    assert (case["question"], case["namespace"]) == (QUESTION, ["memories", "u"])
    assert case["episode_id"] == asked


def test_good_feedback_takes_a_case_away(run: Run, asked: str) -> None:
    run("feedback", "another", "1", "--question", QUESTION, "--user", "u")
    assert run("evolve", "--show-cases").stdout.splitlines()[-1] == "0 hard cases"


def test_a_question_about_nobodys_memories_is_refused(run: Run, asked: str) -> None:
    refused = run("feedback", "unknown", "0", "--question", "Who asks?")
    assert refused.exit_code == 1
    assert "--user" in refused.stderr
    assert run("evolve", "--show-cases").stdout.splitlines()[-1] == "1 hard case"


def test_evolving_shows_what_is_new(run: Run, asked: str) -> None:
    shown = run("evolve", "--model", "designer").stdout
    assert "1. new skill places_storage (insert)" in shown
    assert "+Writes down places that concern bicycle" in shown
    assert "places_storage" in skills(run)


def test_the_extractive_model_is_refused(run: Run, prepared: Path) -> None:
    done = run("evolve", "--folder", prepared, "--model", "extractive")
    assert done.exit_code == 1
    assert "the extractive model cannot design skills" in done.stderr


def test_a_useless_designer_is_an_error_that_changes_nothing(
    run: Run, asked: str, designer: RuleDesigner
) -> None:
    designer.unreadable = 99
    before = skills(run)
    done = run("evolve", "--model", "designer")
    assert done.exit_code == 1
    assert "no analysis" in done.stdout
    assert skills(run) == before


def test_a_person_is_asked_first(run: Run, asked: str) -> None:
    evolution = waiting(run)
    assert "places_storage" not in skills(run)
    listed = run("evolve", "--pending").stdout
    assert "waits for a decision" in listed
    assert "+Writes down places" in listed
    done = run("evolve", "--resume", evolution[:8], "--accept", "1")
    assert done.exit_code == 0
    assert "places_storage" in skills(run)
    assert run("evolve", "--pending").stdout.splitlines()[-1] == "0 pending evolutions"


def test_a_person_refuses(run: Run, asked: str) -> None:
    evolution = waiting(run)
    shown = run("evolve", "--resume", evolution, "--refuse", "all").stdout
    assert "refused by a person" in shown
    assert "places_storage" not in skills(run)


def test_a_person_edits_a_saved_text(run: Run, asked: str, tmp_path: Path) -> None:
    evolution = waiting(run)
    run("evolve", "--pending", "--save", tmp_path / "texts")
    file = tmp_path / "texts" / "places_storage" / "SKILL.md"
    file.write_text(file.read_text().replace("Only what the text says", "Name the room"))
    run("evolve", "--resume", evolution, "--edit", f"1={file}")
    shown = json.loads(run("skills", "show", "places_storage", "--json").stdout)
    assert "Name the room" in shown["instructions"]


def test_an_edit_cannot_change_name_or_type(run: Run, asked: str, tmp_path: Path) -> None:
    evolution = waiting(run)
    run("evolve", "--pending", "--save", tmp_path / "texts")
    file = tmp_path / "texts" / "places_storage" / "SKILL.md"
    text = file.read_text()
    file.write_text(text.replace("action_type: insert", "action_type: update"))
    failed = run("evolve", "--resume", evolution, "--edit", f"1={file}")
    assert failed.exit_code == 1
    assert "'places_storage' (update), but change 1 is 'places_storage' (insert)" in failed.stderr
    other = tmp_path / "texts" / "rooms" / "SKILL.md"
    other.parent.mkdir()
    other.write_text(text.replace("name: places_storage", "name: rooms"))
    failed = run("evolve", "--resume", evolution, "--edit", f"1={other}")
    assert "holds 'rooms' (insert), but change 1 is" in failed.stderr
    assert "1 pending evolution" in run("evolve", "--pending").stdout


def test_saving_again_keeps_what_a_person_edited(run: Run, asked: str, tmp_path: Path) -> None:
    waiting(run)
    save = ("evolve", "--pending", "--save", tmp_path / "texts")
    run(*save)
    file = tmp_path / "texts" / "places_storage" / "SKILL.md"
    assert run(*save).exit_code == 0  # the same text
    file.write_text("My own words.\n")
    done = run(*save)
    assert done.exit_code == 1
    assert "holds other texts, which --save does not replace" in done.stderr
    assert file.read_text() == "My own words.\n"


@pytest.mark.parametrize("inside", [".", "drafts"])
def test_undecided_texts_are_not_saved_among_the_skills(run: Run, asked: str, inside: str) -> None:
    waiting(run)
    before = skills(run)
    done = run("evolve", "--pending", "--save", Path("memdir") / "skills" / inside)
    assert done.exit_code == 1
    assert "the memory's own folder of skills" in done.stderr
    assert skills(run) == before


def test_a_decision_must_be_about_every_change(run: Run, asked: str) -> None:
    evolution = waiting(run)
    done = run("evolve", "--resume", evolution, "--accept", "7")
    assert done.exit_code == 1
    assert "there is no change 7" in done.stderr


def test_another_evolution_waits_for_the_decision(run: Run, asked: str) -> None:
    evolution = waiting(run)
    done = run("evolve", "--model", "designer")
    assert done.exit_code == 1
    assert f"evolution {evolution[:8]} waits for a decision" in done.stderr
    assert run("evolve", "--discard", evolution[:8]).exit_code == 0
    assert run("evolve", "--model", "designer").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--accept", "1"), "need --resume"),
        (("--resume", "x", "--accept", "one"), "must be numbers"),
        (("--resume", "x", "--accept", "all", "--refuse", "all"), "contradict"),
        (("--resume", "x", "--edit", "SKILL.md"), "must be N=FILE"),
        (("--resume", "x"), "no evolution has the id 'x'"),
        (("--pending", "--approve"), "give one of them"),
        (("--save", "d"), "--save needs --pending"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_wrong_options(run: Run, asked: str, arguments: tuple[str, ...], message: str) -> None:
    done = run("evolve", *arguments)
    assert done.exit_code == 1
    assert message in done.stderr


def test_a_gate_that_is_required_refuses_what_cannot_be_tried(run: Run, asked: str) -> None:
    before = skills(run)
    document = json.loads(run("evolve", "--model", "designer", "--require-gate", "--json").stdout)
    assert document["status"] == "rejected"
    assert document["gate"]["verdict"] == "not_tried"
    assert skills(run) == before
    shown = run("evolve", "--model", "designer", "--require-gate", "--force").stdout
    assert "nothing was tried: 0 questions" in shown
    assert skills(run) > before


def test_a_held_out_file_that_cannot_be_read(run: Run, asked: str) -> None:
    failed = run("evolve", "--model", "designer", "--held-out", "nowhere.jsonl")
    assert failed.exit_code == 1
    assert "the held-out file nowhere.jsonl cannot be read" in failed.stderr
