"""`memskill bench alfworld` with the real engine and tiny games."""

import json

import pytest

from langgraph_memskill.alfworld.games import list_games
from langgraph_memskill.benchmarks.run_log import read_run_log
from langgraph_memskill.controller.files import save_controller
from langgraph_memskill.controller.policy import SkillPolicy
from tests.alfworld.tiny_games import write_games
from tests.conftest import ReadingModel, WordEncoder

pytest.importorskip("alfworld", reason="the extra alfworld is not installed")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_games(tmp_path_factory.mktemp("games"), train=2, valid_seen=2)


@pytest.fixture(autouse=True)
def _fake_models(monkeypatch):
    monkeypatch.setattr("langgraph_memskill.models.load_model", lambda *_, **__: ReadingModel())
    monkeypatch.setattr("langgraph_memskill.embedding.load_encoder", lambda *_, **__: WordEncoder())


def bench(run, data, *options):
    return run("bench", "alfworld", "--data", data, "--workers", 2, "--max-steps", 6, *options)


def test_the_table_has_a_line_for_each_task_type_and_one_for_all(run, data):
    result = bench(run, data, "--agent", "expert")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[1] == ["system", "task", "type", "games", "errors", "success", "steps"]
    name = ["expert", "agent,", "no", "memory"]
    assert lines[2][:6] == [*name, "pick_and_place_simple", "1"]
    assert lines[3][:6] == [*name, "pick_clean_then_place_in_recep", "1"]
    assert lines[4] == [
        *name,
        "overall",
        "2",
        "0",
        "1.000",
        "[1.000,",
        "1.000]",
        "5.0",
        "[4.0,",
        "6.0]",
    ]


def test_a_game_that_cannot_be_loaded_is_named(run, tmp_path):
    data = write_games(tmp_path / "games", train=1, valid_seen=2)
    game = list_games(data, "valid_seen")[1]
    game.path.write_text("{}", encoding="utf-8")
    result = bench(run, data, "--agent", "expert")
    assert f"error, in no mean: none: {game.id}: GameLoadError" in result.stdout


def test_without_trajectories_the_expert_plays_training_games(run, data, tmp_path):
    result = bench(run, data, "--rows", "rag", "--train-games", "2", "--json")
    assert "the expert plays 2 games of the split train" in result.stderr
    document = json.loads(result.stdout)
    assert document["settings"]["training_trajectories"] == 2
    assert document["rows"][0]["name"] == "rag"
    again = bench(run, data, "--rows", "rag", "--train-games", "2", "--json")
    assert json.loads(again.stdout)["times"]["resumed_items"] == 2


def test_games_that_would_be_remembered_are_refused_before_the_expert_plays(run, data, tmp_path):
    result = bench(run, data, "--split", "train", "--rows", "rag", "--train-games", "2")
    assert result.exit_code == 1
    assert "hold the game json_2.1.1/train" in result.stderr
    assert "the expert plays" not in result.stderr
    assert not (tmp_path / "bench-runs").exists()


def test_trajectories_come_from_a_replay(run, data, tmp_path):
    run("alfworld", "replay", "--data", data, "--out", "train.json", "--limit", "1")
    result = bench(run, data, "--rows", "none,rag", "--train", "train.json", "--json")
    document = json.loads(result.stdout)
    assert document["settings"]["training_trajectories"] == 1
    assert [row["name"] for row in document["rows"]] == ["none", "rag"]


def test_agents_without_memory_have_one_row(run, data):
    result = bench(run, data, "--agent", "random", "--rows", "none,rag", "--limit", "1", "--json")
    assert [row["name"] for row in json.loads(result.stdout)["rows"]] == ["none"]
    assert "random uses no memory" in result.stderr


def test_a_model_must_be_named_for_the_agent_that_asks_one(run, data):
    result = bench(run, data, "--agent", "llm")
    assert result.exit_code == 1
    assert "name one with --model" in result.stderr


def test_a_dry_run_plays_nothing_and_counts_what_there_would_be(run, data, tmp_path):
    options = ("--agent", "llm", "--model", "m", "--rows", "none,rag", "--train-games", "2")
    first = bench(run, data, *options, "--dry-run", "--json")
    document = json.loads(first.stdout)
    assert document["training_games_to_play"] == 2
    assert not (tmp_path / "bench-runs").exists()
    run("alfworld", "replay", "--data", data, "--out", "train.json")
    rows = ("--rows", "none,rag,similarity", "--train", "train.json", "--dry-run")
    known = bench(run, data, *options[:4], *rows, "--json")
    none, rag, similarity = json.loads(known.stdout)["rows"]
    assert (none["games"], none["commands"], none["calls"], none["spans"]) == (2, 12, 12, 0)
    assert rag["tokens"] > none["tokens"] > 12 * 900
    assert similarity["calls"] == similarity["spans"] + 12
    assert "nothing was played or called" in bench(run, data, *options[:4], *rows).stdout


def test_a_dry_run_knows_what_was_read(run, data):
    run("alfworld", "replay", "--data", data, "--out", "train.json")
    options = ("--rows", "similarity", "--train", "train.json", "--limit", "1", "--json")
    before = json.loads(bench(run, data, *options, "--dry-run").stdout)["rows"][0]
    bench(run, data, *options)
    after = json.loads(bench(run, data, *options, "--dry-run").stdout)["rows"][0]
    assert (after["spans"], after["cached_spans"]) == (0, before["spans"])
    assert before["spans"] > 0


def test_games_can_be_named(run, data):
    def games(*options):
        result = bench(run, data, "--agent", "random", *options, "--json")
        assert result.exit_code == 0, result.stderr
        categories = json.loads(result.stdout)["rows"][0]["categories"]
        return [category["category"] for category in categories[:-1]]

    clean = list_games(data, "valid_seen")[1]
    assert games("--sample", clean.task_type) == ["pick_clean_then_place_in_recep"]
    assert games("--sample", clean.id.split("/")[2]) == ["pick_clean_then_place_in_recep"]
    assert games("--sample", clean.id) == ["pick_clean_then_place_in_recep"]
    refused = bench(run, data, "--agent", "random", "--sample", "pick_two")
    assert "no game 'pick_two'" in refused.stderr


def test_a_trained_controller_has_a_row(run, data, tmp_path):
    encoder = WordEncoder()
    policy = SkillPolicy(state_dim=2 * encoder.dim, skill_dim=encoder.dim, hidden_dim=8, seed=3)
    stored = save_controller(tmp_path / "controller", policy, encoder_name=encoder.name)
    options = ("--train-games", "2", "--limit", "1", "--controller", tmp_path / "controller")
    result = bench(run, data, *options, "--json")
    assert result.exit_code == 0, result.stderr
    rows = json.loads(result.stdout)["rows"]
    assert [row["name"] for row in rows] == ["none", "rag", "random", "similarity", "controller"]
    assert rows[-1]["settings"]["selector_version"] == stored.version
    log = read_run_log(next((tmp_path / "bench-runs").glob("alfworld-*")))
    [build] = log.rows[-1].builds
    assert sum(build.skill_uses.values()) > 0
    again = bench(run, data, "--rows", "controller", "--limit", "1")
    assert "needs the folder of a trained controller" in again.stderr


def test_a_controller_of_another_encoder_is_refused_before_a_game_is_played(run, data, tmp_path):
    policy = SkillPolicy(state_dim=6, skill_dim=3, hidden_dim=8)
    save_controller(tmp_path / "controller", policy, encoder_name="another")
    result = bench(run, data, "--rows", "controller", "--controller", tmp_path / "controller")
    assert result.exit_code == 1
    assert "another" in result.stderr
    assert not (tmp_path / "bench-runs").exists()
