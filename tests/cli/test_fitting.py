"""fit, evaluate-policy and controller on the traces of a world whose best choices are known."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

from langgraph_memskill.controller.files import read_controller, save_controller
from langgraph_memskill.records import ActionType
from langgraph_memskill.testing.logged_bandit import LoggedBandit
from langgraph_memskill.testing.traces import make_episode, make_step
from langgraph_memskill.traces.rows import BankTrace, SkillTrace
from langgraph_memskill.traces.writer import TraceWriter

Run = Callable[..., Result]
WORLD = LoggedBandit(k=1)
SEED = 300


def write(folder: Path, num_episodes: int, *, sampled: bool = True) -> None:
    skills = tuple(
        SkillTrace(name=name, description=name, instructions="Do.", action_type=ActionType.INSERT)
        for name in WORLD.offer.names
    )
    with TraceWriter(folder) as writer:
        writer.add_bank(
            BankTrace(
                version="bank-1", encoder="words", skills=skills, embeddings=WORLD.offer.embeddings
            )
        )
        for episode in WORLD.record(WORLD.policy(SEED), num_episodes, sampled=sampled):
            (step,) = episode.steps
            fields: dict[str, Any] = {
                "num_steps": 1,
                "state": step.state,
                "chosen": step.chosen,
                "log_prob": step.log_prob,
                "probabilities": np.full(4, 0.25, np.float32),
                "sampled": sampled,
                "bias": None,
                "process_reward": None,
            }
            writer.add_steps([make_step(episode.id, **fields)])
        for episode in WORLD.record(WORLD.policy(SEED), num_episodes, sampled=sampled):
            writer.add_episode(make_episode(episode.id, reward=episode.reward, source="f1"))


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded") / "traces"
    write(folder, 400)
    return folder


@pytest.fixture
def start(tmp_path: Path) -> Path:
    save_controller(tmp_path / "start", WORLD.policy(SEED), encoder_name="words", k=1)
    return tmp_path / "start"


@pytest.fixture
def memdir(run: Run, fakes: object) -> Path:
    run("remember", "remember something", "--folder", "memdir")
    document = json.loads(Path("memdir/memory.json").read_text(encoding="utf-8"))
    document["dims"] = 6  # the toy world's embeddings are narrower than the toy encoder's
    Path("memdir/memory.json").write_text(json.dumps(document), encoding="utf-8")
    return Path("memdir")


def test_fit_then_evaluate_then_promote_then_roll_back(
    run: Run, traces: Path, start: Path, memdir: Path
) -> None:
    fitted = run("fit", "--traces", traces, "--controller", start, "--out", "new")
    assert "the traces are fresh" in fitted.stdout
    assert "weighted-ppo" in fitted.stdout
    new = read_controller("new")
    assert WORLD.value(new.policy) > WORLD.value(WORLD.policy(SEED)) + 0.2
    assert new.settings.notes["fit"]["holdout"] == 0.2

    judged = run(
        "evaluate-policy", "--traces", traces, "--controller", "new", "--promote", memdir, "--json"
    )
    found = json.loads(judged.stdout)
    assert (found["promoted"], found["objection"]) == (True, None)
    low, high = found["evaluation"]["doubly_robust"][1:]
    assert low <= WORLD.value(new.policy) <= high
    assert found["evaluation"]["episodes"] < 120  # only what fit left out

    log = run("controller", "log", "--folder", memdir).stdout
    assert f"similarity → {new.settings.version}" in log
    assert "doubly robust 0." in log
    assert run("controller", "rollback", "--folder", memdir).exit_code == 0
    current = json.loads(run("controller", "log", "--folder", memdir, "--json").stdout)["current"]
    assert current == "similarity"


def test_a_controller_that_is_not_better_is_not_promoted_unless_forced(
    run: Run, traces: Path, start: Path, memdir: Path
) -> None:
    command = ["evaluate-policy", "--traces", traces, "--controller", start, "--promote", memdir]
    refused = run(*command)
    assert refused.exit_code == 1
    assert "not promoted: its lower bound" in refused.stderr
    assert not (memdir / "controller" / "controller.json").exists()
    forced = run(*command, "--force")
    assert forced.exit_code == 0
    assert (memdir / "controller" / "controller.json").exists()
    assert "forced; " in run("controller", "log", "--folder", memdir).stdout


def test_a_controller_of_another_encoder_is_not_promoted(
    run: Run, traces: Path, start: Path, fakes: object
) -> None:
    run("remember", "remember something", "--folder", "memdir")
    done = run(
        *("evaluate-policy", "--traces", traces, "--controller", start),
        *("--promote", "memdir", "--force"),
    )
    assert done.exit_code == 1
    assert "made for the encoder 'words' (width 6)" in done.stderr


def test_traces_without_chance_are_fitted_by_regression_and_cannot_judge(
    run: Run, tmp_path: Path, start: Path
) -> None:
    write(tmp_path / "greedy", 60, sampled=False)
    fitted = run("fit", "--traces", tmp_path / "greedy", "--controller", start, "--out", "new")
    assert "awr: " in fitted.stdout
    assert "were not drawn" in fitted.stdout
    judged = run("evaluate-policy", "--traces", tmp_path / "greedy", "--controller", "new")
    assert judged.exit_code == 1
    assert "Record with --explore" in judged.stderr
    refused = run(
        *("fit", "--traces", tmp_path / "greedy", "--controller", start, "--out", "other"),
        *("--method", "ppo"),
    )
    assert refused.exit_code == 1
    assert not Path("other").exists()


def test_force_promotes_where_nothing_can_be_estimated(
    run: Run, tmp_path: Path, start: Path, memdir: Path
) -> None:
    write(tmp_path / "greedy", 60, sampled=False)
    done = run(
        *("evaluate-policy", "--traces", tmp_path / "greedy", "--controller", start),
        *("--promote", memdir, "--force"),
    )
    assert done.exit_code == 0
    assert "Record with --explore" in done.stderr
    assert "forced; no estimate" in run("controller", "log", "--folder", memdir).stdout


def test_fit_from_fresh_weights(run: Run, traces: Path) -> None:
    done = run("fit", "--traces", traces, "--out", "new", "--rounds", "2", "--json")
    found = json.loads(done.stdout)
    assert len(found["report"]["rounds"]) == 2
    assert read_controller("new").settings.version == found["version"]
    assert read_controller("new").settings.encoder == "words"


def test_what_was_skipped_is_said(run: Run, traces: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(traces, tmp_path / "copy")
    with TraceWriter(copy) as writer:
        state = np.ones(12, np.float32)
        writer.add_steps([make_step("lost", num_steps=1, bank_version="gone", state=state)])
        writer.add_episode(make_episode("lost", reward=1.0, source="f1"))
    done = run("fit", "--traces", copy, "--out", "new", "--rounds", "1")
    assert "skipped 1 episode: its bank version 'gone' is missing (lost)" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "magic"], "--method 'magic' is none of ppo, weighted-ppo, awr"),
        (["--holdout", "2"], "holdout=2.0 must be a share"),
        (["--holdout", "1"], "no episode to learn from"),
        (["--rounds", "0"], "rounds=0"),
        (["--controller", "nowhere"], "nowhere"),
    ],
)
def test_bad_options(run: Run, traces: Path, arguments: list[str], message: str) -> None:
    done = run("fit", "--traces", traces, "--out", "new", *arguments)
    assert done.exit_code == 1
    assert message in done.stderr
    assert not Path("new").exists()


def test_no_traces(run: Run, tmp_path: Path) -> None:
    done = run("fit", "--traces", tmp_path / "none", "--out", "new")
    assert done.exit_code == 1
    assert "there are no traces" in done.stderr
