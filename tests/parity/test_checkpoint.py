"""Parity kit section 13: the paper's checkpoints are imported, and never executed."""

import json
import os
import random
from contextlib import closing

import numpy as np
import pytest
import torch
from langchain_core.embeddings import Embeddings
from safetensors.torch import load_file

from langgraph_memskill import MemSkillMemory
from langgraph_memskill.controller.files import load_controller, read_controller
from langgraph_memskill.controller.selectors import SelectionRequest
from langgraph_memskill.errors import CheckpointError
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.trainers.reference.content import (
    read_reference_checkpoint,
    resume_point,
)
from langgraph_memskill.trainers.reference.importing import import_checkpoint
from langgraph_memskill.trainers.reference.pickles import read_torch_file

FOLDER = "checkpoint"


class KitEncoder(Embeddings):
    """Knows the vectors that the checkpoint holds for its skills' descriptions."""

    def __init__(self, manifest):
        self.name = manifest["config"]["state_encoder"]
        self.dim = manifest["controller_shape"]["op_dim"]
        skills = manifest["operation_bank"]["operations"].values()
        self.vectors = {skill["description"]: skill["embedding"] for skill in skills}

    def encode(self, texts):
        other = np.eye(self.dim, dtype=np.float32)[0].tolist()
        return np.array([self.vectors.get(text, other) for text in texts], np.float32)

    def embed_documents(self, texts):
        return self.encode(texts).tolist()

    def embed_query(self, text):
        return self.encode([text])[0].tolist()


@pytest.fixture(scope="module")
def manifest(kit):
    return kit.document(f"{FOLDER}/manifest.json")


@pytest.fixture(scope="module")
def file(kit, manifest):
    return kit.path(f"{FOLDER}/{manifest['file']}")


@pytest.fixture(scope="module")
def checkpoint(file):
    return read_reference_checkpoint(file)


@pytest.fixture(scope="module")
def imported(file, tmp_path_factory):
    return import_checkpoint(file, tmp_path_factory.mktemp("imports") / "memdir")


def forward(weights, states, skills):
    """The network in float64 NumPy, written from METHOD step 3: logits [B, N]."""

    def layer(name, rows):
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return rows @ weight.astype(np.float64).T + bias

    def two(name, rows):
        return np.maximum(layer(f"{name}.2", np.maximum(layer(f"{name}.0", rows), 0)), 0)

    hidden, options = two("state_net", states), two("op_net", skills)
    pairs = np.stack([np.hstack([np.broadcast_to(h, options.shape), options]) for h in hidden])
    return layer("actor_head.2", np.maximum(layer("actor_head.0", pairs), 0))[..., 0]


def test_the_canaries_are_refused_by_name_and_not_executed(kit):
    for case in kit.cases(f"{FOLDER}/canaries.json"):
        variable = case["expected"]["environment_variable_that_must_stay_unset"]
        assert variable not in os.environ
        with pytest.raises(CheckpointError) as refusal:
            import_checkpoint(kit.path(f"{FOLDER}/{case['file']}"), "never-made")
        assert variable not in os.environ
        foreign = [name for name in case["pickle_globals"] if name.startswith("__builtin__")]
        assert all(name in str(refusal.value) for name in foreign), case["id"]
        assert not os.path.exists("never-made")


def test_the_controller_has_the_tensors_of_the_file(kit, imported):
    expected = kit.tensors(f"{FOLDER}/controller_state.safetensors")
    state = read_controller(imported.folder / "controller").policy.state_dict()
    assert state.keys() == expected.keys()
    for name, tensor in state.items():
        np.testing.assert_array_equal(tensor.numpy(), expected[name])


def test_the_imported_folder_selects_the_skills_that_the_weights_say(kit, manifest, file, imported):
    weights = kit.tensors(f"{FOLDER}/controller_state.safetensors")
    encoder = KitEncoder(manifest)
    order = manifest["after_reference_load"]["candidate_order"]
    skills = manifest["operation_bank"]["operations"]
    k = manifest["controller_shape"]["action_top_k"]
    steps = [step for log in read_torch_file(file)["training_logs"] for step in log["steps"]]
    states = np.array([step["state_embedding"].values for step in steps], np.float32)
    states = states.reshape(len(steps), -1)
    logits = forward(weights, states, np.array([skills[name]["embedding"] for name in order]))
    bank = SkillBank.load(imported.folder / "skills")
    requests = [
        SelectionRequest(state[: encoder.dim], state[encoder.dim :].reshape(1, -1))
        for state in states
    ]
    selector = load_controller(imported.folder / "controller", encoder=encoder)
    for row, selection in zip(logits, selector.select(requests, bank, k), strict=True):
        assert selection.candidates == tuple(order)
        assert selection.skills == tuple(order[i] for i in np.argsort(-row, kind="stable")[:k])
    assert len(steps) > 1


def test_a_memory_opens_on_the_imported_folder(manifest, file, tmp_path):
    imported = import_checkpoint(file, tmp_path / "memdir")
    encoder = KitEncoder(manifest)
    with closing(MemSkillMemory.open(imported.folder, "extractive", encoder=encoder)) as memory:
        result = memory.remember("Ann moved to Lisbon in May.", user_id="ann")
    (selection,) = result.selections
    assert selection.selector == "controller"
    assert set(selection.candidates) == set(manifest["operation_bank"]["operations"])


def test_the_bank_has_order_texts_types_and_statistics_of_the_file(manifest, imported):
    bank = SkillBank.load(imported.folder / "skills")
    expected = manifest["operation_bank"]
    assert list(bank.names) == manifest["after_reference_load"]["operation_names_in_order"]
    assert bank.capacity == expected["max_ops"]
    for skill in bank:
        operation = expected["operations"][skill.name]
        meta, found = operation["meta_info"], skill.statistics
        assert skill.description == operation["description"]
        assert skill.instructions == operation["instruction_template"]
        assert skill.action_type == operation["update_type"]
        assert found.usage_count == meta["usage_count"]
        assert found.mean_reward == pytest.approx(meta["avg_reward"], rel=1e-9, abs=1e-12)
        assert list(found.recent_rewards) == pytest.approx(meta["recent_rewards"], abs=1e-12)
        assert found.usage_ema == pytest.approx(meta["recent_usage_ema"], rel=1e-9, abs=1e-12)


def test_new_skills_stay_new(manifest, checkpoint, imported):
    expected = sorted(manifest["after_reference_load"]["new_operation_names"])
    assert sorted(checkpoint.bank.new_names) == list(imported.new_skills) == expected


def test_the_run_stands_where_the_reference_would_go_on(manifest, checkpoint):
    expected = manifest["after_reference_load"]
    assert checkpoint.resume.completed_outer_epochs == expected["completed_outer_epoch"]
    assert checkpoint.resume.step == expected["wandb_step_cursor"]


def test_resume_points_of_partial_and_old_checkpoints(kit):
    wrong = []
    for case in kit.cases(f"{FOLDER}/resume_point.json"):
        fields = dict(case["checkpoint_fields"])
        if isinstance(fields.get("training_logs"), int):
            fields["training_logs"] = [{}] * fields["training_logs"]
        found = resume_point(
            fields,
            inner_epochs=case["current_inner_epochs"],
            outer_epochs=case["current_outer_epochs"],
        )
        expected = case["expected"]
        if found != (expected["completed_outer_epoch"], expected["wandb_step_cursor"]):
            wrong.append((case["id"], found, expected))
    assert wrong == []


def test_the_optimizer_state_is_the_files(kit, manifest, checkpoint, imported):
    expected = kit.tensors(f"{FOLDER}/optimizer_state.safetensors")
    order = manifest["optimizer_parameter_order"]
    stored = load_file(imported.folder / "training/optimizer.safetensors")
    assert len(stored) == len(expected)
    for key, array in expected.items():
        number, slot = key.split(".", 1)
        found = stored[f"{slot}.{order[int(number)]}"]
        np.testing.assert_array_equal(found.numpy().reshape(array.shape), array)
    group = dict(manifest["optimizer_param_groups"][0])
    del group["params"]
    assert dict(checkpoint.optimizer.settings) == group


def test_an_optimizer_of_torch_goes_on_with_the_state(checkpoint):
    optimizer = torch.optim.Adam(checkpoint.policy.parameters())
    optimizer.load_state_dict(checkpoint.optimizer.state_dict())
    assert optimizer.param_groups[0]["lr"] == checkpoint.optimizer.settings["lr"]
    first = optimizer.state[next(checkpoint.policy.parameters())]["exp_avg"]
    assert torch.equal(first, checkpoint.optimizer.slots["state_net.0.weight"]["exp_avg"])


def test_the_generators_go_on_with_the_numbers_of_the_reference(manifest, checkpoint):
    expected = manifest["after_reference_load"]["next_random_numbers"]
    python, numpy = random.Random(), np.random.RandomState()
    python.setstate(checkpoint.random_states.python)
    numpy.set_state(checkpoint.random_states.numpy)
    generator = torch.Generator()
    generator.set_state(checkpoint.random_states.torch)
    assert [python.random() for _ in range(4)] == expected["python_random"]
    assert numpy.rand(4).tolist() == expected["numpy_rand"]
    assert numpy.randint(0, 1000, 4).tolist() == expected["numpy_randint_1000"]
    assert torch.rand(4, generator=generator).tolist() == expected["torch_rand"]


def test_snapshots_hard_cases_and_counters_are_kept_as_json(manifest, imported):
    progress = json.loads((imported.folder / "training/progress.json").read_text("utf-8"))
    expected = manifest["after_reference_load"]
    snapshots = progress["snapshot_manager"]
    assert snapshots["best_snapshot_idx"] == expected["best_snapshot_idx"]
    assert len(snapshots["snapshots"]) == expected["n_snapshots"]
    pool = progress["designer_state"]["case_collector"]["failure_pool"]
    assert list(pool) == expected["failure_pool_keys"]
    for name in ("total_steps", "new_action_bias_active", "new_action_bias_step"):
        assert progress[name] == expected[name]
    assert progress["stage_rewards"] == expected["stage_rewards"]
    logs = (imported.folder / "training/logs.jsonl").read_text("utf-8").splitlines()
    rewards = [entry["reward"] for entry in manifest["training_logs"]]
    assert [json.loads(line)["reward"] for line in logs] == rewards


def test_the_report_says_what_is_left_out(imported):
    text = " ".join(imported.left_out)
    assert "steps of the training log" in text
    assert "command line" in text
    assert "embeddings of skills" in text
