"""`memskill train alfworld` with the real engine, tiny games and the extractive model."""

import json
from pathlib import Path
from typing import Any

import pytest

from langgraph_memskill.alfworld.games import list_games
from langgraph_memskill.controller.files import read_controller
from langgraph_memskill.evolution.pool import HardCasePool
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.testing.designer import RuleDesigner
from langgraph_memskill.trainers.metrics.names import Metric
from langgraph_memskill.trainers.metrics.reading import read_lines
from tests.alfworld.tiny_games import write_games
from tests.cli.conftest import Run
from tests.conftest import ReadingModel, WordEncoder

pytest.importorskip("alfworld", reason="the extra alfworld is not installed")

QUICK = [
    f"--set={setting}"
    for setting in (
        "outer_epochs=1", "inner_epochs=2", "episodes=2", "hidden_dim=8", "concurrency=2",
        "games.pairs.min_remembered=1", "games.pairs.max_remembered=2", "games.pairs.num_played=1",
        "games.max_steps=4", "games.span_tokens=200",
    )
]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_games(tmp_path_factory.mktemp("games"), train=6, valid_seen=1)


@pytest.fixture(autouse=True)
def _toy_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("langgraph_memskill.embedding.load_encoder", lambda *_, **__: WordEncoder())


@pytest.fixture
def trajectories(run: Run, data: Path) -> Path:
    file = data / "train.json"
    if not file.exists():
        run("alfworld", "replay", "--data", data, "--out", file, "--workers", 2)
    return file


def train(run: Run, *options: object) -> Any:
    done = run("train", "alfworld", *options)
    assert done.exit_code == 0, done.output
    return done


def test_a_trained_controller_is_installed_and_played_with(
    run: Run, data: Path, trajectories: Path
) -> None:
    done = train(run, "--data", data, "--train", trajectories, "--out", "r", *QUICK,
                 "--install", "memdir", "--json")  # fmt: skip
    report = json.loads(done.stdout)
    assert (report["state"]["step"], report["state"]["failed_episodes"]) == (2, 0)
    assert read_controller(Path("r/controller")).settings.version == report["controller_version"]
    with MemSkillMemory.open("memdir", ReadingModel(), encoder=WordEncoder()) as memory:
        assert memory.controller is not None
        assert memory.controller.version == report["controller_version"]
        result = memory.remember("Ann: remember the blue door", user_id="u")
    assert result.selections[0].selector == "controller"
    values = [line.values for line in read_lines(Path("r/metrics.jsonl")).whole]
    assert [line[Metric.UNSCORED_QUERIES] for line in values] == [0.0, 0.0]
    assert all(line[Metric.FINAL_REWARD] in (0.0, 0.5, 1.0) for line in values)
    benched = run("bench", "alfworld", "--data", data, "--train", trajectories, "--rows",
                  "controller", "--controller", "r/controller", "--skills", "r/skills",
                  "--max-steps", 4, "--json")  # fmt: skip
    assert benched.exit_code == 0, benched.output
    assert json.loads(benched.stdout)["rows"][0]["name"] == "controller"


def test_without_trajectories_the_expert_plays_first(run: Run, data: Path) -> None:
    done = train(run, "--data", data, "--out", "r", "--train-games", 4, *QUICK, "--json")
    assert "the expert plays 4 games" in done.stderr
    played = json.loads(Path("r/trajectories.json").read_text(encoding="utf-8"))
    assert sorted(map(len, played.values())) == [2, 2]
    assert len(json.loads(Path("r/run.json").read_text(encoding="utf-8"))["trace_ids"]) == 4


def test_a_run_goes_on_only_with_the_games_that_it_was_started_with(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_games(tmp_path / "games", train=4)
    train(run, "--data", data, "--out", "r", *QUICK)
    refused = run("train", "alfworld", "--resume", "r", "--data", data)
    assert refused.exit_code == 1
    assert "--resume goes on with the run's own settings" in refused.stderr
    monkeypatch.setenv("ALFWORLD_DATA", "/elsewhere")  # is there for all commands
    assert train(run, "--resume", "r").exit_code == 0
    wrong = run("train", "locomo", "--resume", "r")
    assert "memskill train alfworld --resume r" in wrong.stderr
    path = list_games(data, "train")[0].path
    path.write_text(path.read_text(encoding="utf-8") + " ", encoding="utf-8")
    changed = run("train", "alfworld", "--resume", "r")
    assert changed.exit_code == 1
    assert "are not those that the run was started with" in changed.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--agent", "llm"], "name one with --model"),
        (["--agent", "expert"], "games.agent: Input should be 'similarity' or 'llm'"),
        (["--set=reward=f1"], "reward='f1' is no reward of games"),
        (["--set=window_sessions=2"], "window_sessions is a setting of conversations"),
        (["--set=games.pairs.num_played=0"], "num_played=0"),
    ],
)
def test_settings_that_do_not_fit_start_nothing(
    run: Run, data: Path, options: list[str], message: str
) -> None:
    done = run("train", "alfworld", "--data", data, "--out", "r", *options)
    assert done.exit_code == 1
    assert message in done.stderr
    assert not Path("r").exists()


def test_conversations_have_no_settings_of_games(run: Run, data: Path) -> None:
    file = Path("c.json")
    file.write_text("[]", encoding="utf-8")
    for setting in ("reward=success", "games.max_steps=3"):
        done = run("train", "locomo", "--data", file, "--set", setting)
        assert done.exit_code == 1


def test_failed_games_reach_the_designer_with_their_trajectories(
    run: Run, data: Path, trajectories: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from langgraph_memskill import models

    designer, load = RuleDesigner(), models.load_model

    def found(spec: Any, **options: Any) -> Any:
        return designer if spec == "rules" else load(spec, **options)

    monkeypatch.setattr(models, "load_model", found)
    train(run, "--data", data, "--train", trajectories, "--out", "r", *QUICK,
          "--set=outer_epochs=2", "--set=inner_epochs=1", "--set=games.max_steps=1",
          "--evolve", "--designer", "rules", "--trials", 1, "--reflections", 0)  # fmt: skip
    pool = HardCasePool(Path("r/evolution/cases.db"))
    cases = pool.cases()
    pool.close()
    assert cases
    assert all("TRAJECTORY_STATUS: FAILED" in (case.trajectory or "") for case in cases)
    assert designer.requests
    assert all(request.is_interactive for request in designer.requests)
