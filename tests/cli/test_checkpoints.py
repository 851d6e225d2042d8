"""`memskill import-checkpoint`."""

import json
from pathlib import Path

import torch

from langgraph_memskill.controller.policy import SkillPolicy
from tests.cli.conftest import Run


def checkpoint(path: Path) -> Path:
    skill = {
        "name": "insert",
        "description": "Store new facts.",
        "instruction_template": "Store them.",
        "update_type": "insert",
    }
    torch.save(
        {
            "epoch": 2,
            "controller_state_dict": SkillPolicy(state_dim=4, skill_dim=2).state_dict(),
            "operation_bank": {"operations": {"insert": skill}},
            "config": {"state_encoder": "my encoder", "inner_epochs": 10},
        },
        path,
    )
    return path


def test_people_are_told_what_was_imported(run: Run) -> None:
    done = run("import-checkpoint", checkpoint(Path("a.pt")), "--out", "out")
    assert done.exit_code == 0, done.output
    assert "after outer epoch 2, logging step 19" in done.stdout
    assert "+ 1 skills" not in done.stdout
    assert "memskill remember --folder out --encoder 'my encoder' TEXT" in done.stdout


def test_machines_get_json(run: Run) -> None:
    done = run("import-checkpoint", checkpoint(Path("a.pt")), "--out", "out", "--json")
    report = json.loads(done.stdout)
    assert report["skills"] == ["insert"]
    assert report["completed_outer_epochs"] == 2


def test_a_bad_file_is_one_line(run: Run) -> None:
    Path("a.pt").write_text("hello", encoding="utf-8")
    failed = run("import-checkpoint", "a.pt", "--out", "out")
    assert failed.exit_code == 1
    assert failed.stderr.startswith("error: a.pt is not a zip archive")
    assert not Path("out").exists()
