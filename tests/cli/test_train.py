import json
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from langgraph_memskill.cli import train_run
from langgraph_memskill.cli.train_locomo import NewLocomoRun
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.memory_folder import MemoryFolder
from langgraph_memskill.trainers.metrics.names import Metric
from tests.ports import free_port

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
    monkeypatch.setattr("langgraph_memskill.cli.train_run.load_run_encoder", lambda _: encoder)


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


@pytest.mark.parametrize(("take", "step"), [("best", 1), ("last", 2)])
def test_the_best_controller_or_the_last_is_installed(
    run, data, tmp_path, encoder, model, monkeypatch, take, step
):
    """The second update's answers score nothing, so that the first controller is the best."""
    scores = [1.0, 1.0, 1.0, 1.0]

    async def scorer(question, answer):
        return scores.pop() if scores else 0.0

    monkeypatch.setattr("langgraph_memskill.cli.train_locomo._scorer", lambda *_: scorer)
    done = run("train", "locomo", "--data", data, "--out", "r", *QUICK, "--set=best_updates=1",
               "--install", tmp_path / "memdir", "--take", take, "--json")  # fmt: skip
    assert done.exit_code == 0, done.output
    results = json.loads(done.stdout)["results"]
    assert results[take]["step"] == step
    with MemSkillMemory.open(tmp_path / "memdir", model, encoder=encoder) as memory:
        assert memory.controller.version == results[take]["version"]


def test_skills_that_get_the_trained_wording_are_named_and_kept(
    run, data, tmp_path, encoder, model
):
    folder = tmp_path / "memdir"
    MemSkillMemory.open(folder, model, encoder=encoder).close()
    skill = folder / "skills" / "insert" / "SKILL.md"
    mine = skill.read_text().replace("description:", "description: Mine.", 1)
    skill.write_text(mine)
    done = run("train", "locomo", "--data", data, "--out", "r", *QUICK, "--install", folder)
    assert done.exit_code == 0, done.output
    assert "trained wording (insert); the earlier one is kept as version v2" in done.stderr
    versions = MemoryFolder(folder).skill_versions
    assert "Mine." not in skill.read_text()
    versions.rollback()
    assert skill.read_text() == mine


def test_tensorboard_files_hold_every_update(run, data):
    done = run("train", "locomo", "--data", data, "--out", "r", *QUICK, "--tensorboard")
    assert done.exit_code == 0, done.output
    events = EventAccumulator("r/tensorboard")
    events.Reload()
    assert [event.step for event in events.Scalars(Metric.FINAL_REWARD)] == [0, 1]


@pytest.mark.parametrize(
    ("flags", "module"),
    [(["--tensorboard"], "torch.utils.tensorboard"), (["--wandb", "project"], "wandb")],
)
def test_a_missing_extra_is_named_before_anything_is_written(run, data, monkeypatch, flags, module):
    monkeypatch.setitem(sys.modules, module, None)
    done = run("train", "locomo", "--data", data, "--out", "r", *QUICK, *flags)
    assert done.exit_code == 1
    extra = flags[0].removeprefix("--")
    assert f"pip install 'langgraph-memskill[{extra}]'" in done.stderr
    assert not Path("r").exists()


def test_a_run_is_resumed_from_its_folder(run, data):
    run("train", "locomo", "--data", data, "--out", "r", *QUICK)
    done = run("train", "locomo", "--resume", "r", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["state"]["step"] == 2


def test_a_run_of_another_device_is_resumed_on_this_one(run, data):
    run("train", "locomo", "--data", data, "--out", "r", *QUICK)
    manifest = Path("r") / "run.json"
    manifest.write_text(manifest.read_text().replace('"device": "cpu"', '"device": "abacus:1"'))
    assert "cannot be used here" in run("train", "locomo", "--resume", "r").stderr
    assert run("train", "locomo", "--resume", "r", "--device", "cpu").exit_code == 0


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
        (["--take", "last"], "name a folder"),
        (["--device", "abacus"], "device='abacus' cannot be used here"),
        (["--evolve"], "needs a language model as designer"),
        (["--patience", "2", "--refine-only"], "--patience, --refine-only mean nothing"),
        (["--set", "device=meta:7:1"], "device='meta:7:1' cannot be used here"),
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


def test_a_wrong_address_or_model_of_a_cluster_starts_no_run(run, data, monkeypatch):
    pytest.importorskip("ray", reason="needs Ray: pip install 'langgraph-memskill[ray]'")
    command = ["train", "locomo", "--data", data, "--out", "r", *QUICK]
    spread = ["--executor", "ray", "--ray-address", f"127.0.0.1:{free_port()}"]
    wrong = run(*command, *spread)
    assert wrong.exit_code == 1
    assert "cannot be used" in wrong.stderr
    secret = run(*command, "--model", "https://ann:pw@host/v1#m", *spread)
    assert secret.exit_code == 1
    assert "which are not sent to a cluster" in secret.stderr
    assert not (Path("r") / "run.json").exists()
    done = run(*command, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["state"]["step"] == 2


def test_workers_compute_in_the_number_format_of_the_driver(data, encoder, monkeypatch):
    manifest = NewLocomoRun(data=data, config=None).manifest()
    formats = []
    for is_cuda in (False, True):
        monkeypatch.setattr("torch.cuda.is_available", lambda found=is_cuda: found)
        formats.append(train_run._spread(manifest, encoder).keywords["encoder"].dtype)
    assert formats == ["float32", "bfloat16"]
