import json
from pathlib import Path

import pytest

from langgraph_memskill.memory import MemSkillMemory

DATA = [
    {
        "sample_id": name,
        "conversation": {
            "speaker_a": name,
            "speaker_b": "Bo",
            "session_1_date_time": "1:00 pm on 3 May, 2023",
            "session_1": [
                {"speaker": name, "dia_id": "D1:1", "text": f"I moved to {place} in May."},
                {"speaker": "Bo", "dia_id": "D1:2", "text": "My grey cat is called Biscuit."},
            ],
        },
        "qa": [
            {"question": f"Where did {name} move?", "answer": place, "evidence": ["D1:1"],
             "category": 4},
            {"question": "What is the cat called?", "answer": "Biscuit", "evidence": ["D1:2"],
             "category": 1},
        ],
    }
    for name, place in (("Ann", "Lisbon"), ("Cleo", "Oslo"))
]  # fmt: skip
QUICK = [
    f"--set={setting}"
    for setting in ("outer_epochs=1", "inner_epochs=2", "episodes=2", "hidden_dim=8")
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.json"
    path.write_text(json.dumps(DATA))
    return path


@pytest.fixture(autouse=True)
def _toy_encoder(monkeypatch, encoder):
    monkeypatch.setattr("langgraph_memskill.cli.train._encoder", lambda _: encoder)


def test_a_trained_controller_is_installed_and_used(run, data, tmp_path, encoder, model):
    memory_folder = tmp_path / "memdir"
    done = run("train", "locomo", "--data", data, "--out", "r", *QUICK,
               "--install", memory_folder, "--json")  # fmt: skip
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["state"]["step"] == 2
    with MemSkillMemory.open(memory_folder, model, encoder=encoder) as memory:
        assert memory.controller.version == report["controller_version"]
        result = memory.remember("Ann: remember the blue door", user_id="u")
    assert result.selections[0].selector == "controller"
    assert (Path("r") / "run.json").is_file()


def test_a_run_is_resumed_from_its_folder(run, data):
    run("train", "locomo", "--data", data, "--out", "r", *QUICK)
    done = run("train", "locomo", "--resume", "r", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["state"]["step"] == 2


def test_settings_come_from_toml_and_flags_go_before_it(run, data, tmp_path):
    (tmp_path / "c.toml").write_text("inner_epochs = 7\nepisodes = 2\n[ppo]\nepochs = 3\n")
    done = run("train", "locomo", "--data", data, "--out", "r", "--config", "c.toml",
               "--set", "outer_epochs=1", "--set", "inner_epochs=1")  # fmt: skip
    assert done.exit_code == 0, done.output
    config = json.loads((Path("r") / "run.json").read_text())["config"]
    assert (config["inner_epochs"], config["episodes"], config["ppo"]["epochs"]) == (1, 2, 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "epochz=3"], "'epochz' is unknown"),
        (["--set", "ppo.clip=0"], "clip=0"),
        (["--set", "reward=llm_judge"], "needs an LLM"),
        (["--conversation", "Zoe"], "it holds Ann, Cleo"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(run, data, arguments, words):
    done = run("train", "locomo", "--data", data, "--out", "r", *arguments)
    assert done.exit_code == 1
    assert words in done.stderr
    assert not Path("r").exists() or not (Path("r") / "run.json").exists()


def test_a_run_folder_is_not_overwritten(run, data):
    run("train", "locomo", "--data", data, "--out", "r", *QUICK)
    done = run("train", "locomo", "--data", data, "--out", "r", *QUICK)
    assert done.exit_code == 1
    assert "--resume r" in done.stderr


def test_a_resumed_run_needs_the_same_data(run, data):
    run("train", "locomo", "--data", data, "--out", "r", *QUICK)
    data.write_text(json.dumps(DATA[:1]))
    done = run("train", "locomo", "--resume", "r")
    assert done.exit_code == 1
    assert "not the file" in done.stderr


def test_no_data_and_no_run(run):
    assert "--data" in run("train", "locomo").stderr
    assert "no training run" in run("train", "locomo", "--resume", "nowhere").stderr
