"""`memskill train locomo --evolve` with the extractive model and a designer that works by rules."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from langgraph_memskill.testing.designer import RuleDesigner

SAMPLE = Path(str(files("langgraph_memskill.benchmarks"))) / "data" / "sample_conversation.json"


@pytest.fixture
def rules(monkeypatch: pytest.MonkeyPatch) -> RuleDesigner:
    """The model "rules" is the designer that works by rules."""
    from langgraph_memskill import models

    designer, load = RuleDesigner(), models.load_model

    def found(spec: Any, **options: Any) -> Any:
        return designer if spec == "rules" else load(spec, **options)

    monkeypatch.setattr(models, "load_model", found)
    return designer


@pytest.fixture
def worse_second_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the first evolution has made of the skills, it serves worse."""
    from langgraph_memskill.trainers import loop

    end_stage = loop.TrainingRun._end_stage

    async def ended(run: Any, outer: int) -> Any:
        if outer == 1:
            halved = tuple(reward / 2 for reward in run._state.stage_rewards)
            run._state = loop.replace(run._state, stage_rewards=halved)
        return await end_stage(run, outer)

    monkeypatch.setattr(loop.TrainingRun, "_end_stage", ended)


@pytest.mark.slow
def test_four_stages_one_of_them_rolled_back(run, tmp_path, rules, worse_second_stage) -> None:
    done = run(
        "train", "locomo", "--data", SAMPLE, "--out", "r", "--evolve", "--designer", "rules",
        "--max-changes", 1, "--reflections", 1, "--trials", 1, "--patience", 4,
        "--max-evolves", 9, "--bias-updates", 2, "--protect-seeds",
        "--set=outer_epochs=4", "--set=inner_epochs=2", "--set=episodes=1", "--set=hidden_dim=8",
        "--set=window_sessions=1",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "memskill skills log --folder r" in done.stdout
    manifest = json.loads(Path("r/run.json").read_text(encoding="utf-8"))
    assert manifest["evolution"]["settings"]["reflection_rounds"] == 1
    assert manifest["config"]["bias_updates"] == 2
    log = json.loads(run("skills", "log", "--folder", "r", "--json").stdout)["versions"]
    assert [version["note"]["stage"] for version in log] == [0, 1, 2, 3]
    parents = [version["parent"] for version in log]
    assert parents[:3] == [None, log[0]["id"], log[0]["id"]]  # stage 1 was rolled back
    tried = set(log[1]["skills"]) - set(log[0]["skills"])
    assert tried
    assert not tried & set(log[2]["skills"])
    assert log[1]["note"]["reward"] < log[0]["note"]["reward"]
    assert all(tried <= set(request.tried) for request in rules.requests if request.tried)
    assert any(request.tried for request in rules.requests)
    cases = json.loads(run("evolve", "--show-cases", "--folder", "r", "--json").stdout)["cases"]
    assert {key for version in log for key in version["note"]["cases"]} - {None}
    assert all(case["diagnosis"]["cause"] for case in cases)
    biases = [
        json.loads(line)["skills/bias_scale"]
        for line in Path("r/metrics.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert biases[:4] == [0.0, 0.0, 1.0, 0.5]
    page = Path("r/curves.html").read_text(encoding="utf-8")
    assert "Family of the skill banks" in page
    assert all(name in page for name in tried)
    again = run("train", "locomo", "--resume", "r", "--json")
    assert again.exit_code == 0, again.output
