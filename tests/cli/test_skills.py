import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from langgraph_memskill.memory_folder import DEFAULT_PACKS
from langgraph_memskill.skills.bank import SkillBank

Run = Callable[..., Result]


def test_list(run: Run, prepared: Path) -> None:
    bank = SkillBank.seed(*DEFAULT_PACKS)
    listed = json.loads(run("skills", "list", "--folder", prepared, "--json").stdout)
    assert [skill["name"] for skill in listed["skills"]] == sorted(bank.names)
    shown = run("skills", "list", "--folder", prepared).stdout.splitlines()
    assert [line.split()[0] for line in shown[:-1]] == sorted(bank.names)
    assert shown[-1] == f"{len(bank)} skills in {prepared / 'skills'}"


def test_show(run: Run, prepared: Path) -> None:
    skill = SkillBank.seed()["insert"]
    shown = json.loads(run("skills", "show", "insert", "--folder", prepared, "--json").stdout)
    assert (shown["instructions"], shown["action_type"]) == (skill.instructions, "insert")
    card = run("skills", "show", "insert", "--folder", prepared).stdout
    assert skill.description in card
    assert "## When to use" in card


def test_an_unknown_skill(run: Run, prepared: Path) -> None:
    failed = run("skills", "show", "nonsense", "--folder", prepared)
    assert failed.exit_code == 1
    assert "error: " in failed.stderr
    assert "'nonsense'" in failed.stderr


def test_lint_of_good_skills(run: Run, prepared: Path) -> None:
    done = run("skills", "lint", "--folder", prepared)
    assert done.exit_code == 0
    assert done.stdout.startswith("0 errors, ")


@pytest.mark.parametrize("as_json", [False, True])
def test_lint_of_a_broken_skill(run: Run, as_json: bool) -> None:
    file = Path("skills/broken/SKILL.md")
    file.parent.mkdir(parents=True)
    file.write_text("---\nname: broken\n---\nDo \x1b[31m something.\n", encoding="utf-8")
    done = run("skills", "lint", "skills", *(["--json"] if as_json else []))
    assert done.exit_code == 1
    assert "\x1b" not in done.stdout
    if as_json:
        found = json.loads(done.stdout)
        assert found["errors"] >= 1
        assert found["errors"] == sum(issue["level"] == "error" for issue in found["issues"])
        assert {"field": "description", "skill": "broken"}.items() <= found["issues"][0].items()
    else:
        assert f"error: {file}: description: " in done.stdout


def test_lint_of_nothing(run: Run) -> None:
    failed = run("skills", "lint", "nowhere")
    assert failed.exit_code == 1
    assert "nowhere" in failed.stderr


def test_a_broken_skill_stops_remembering_but_not_reading(run: Run, fakes: object) -> None:
    run("remember", "remember one")
    Path("memdir/skills/insert/SKILL.md").write_text("no front matter", encoding="utf-8")
    failed = run("remember", "remember two")
    assert failed.exit_code == 1
    assert "SKILL.md" in failed.stderr
    assert "one" in run("memories", "list").stdout
