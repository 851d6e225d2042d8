import errno
import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.errors import CheckpointError
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.trainers.checkpoints import Checkpoints, TrainState
from langgraph_memskill.trainers.ppo import PPOTrainer
from langgraph_memskill.trainers.rollout import RolloutStep, SkillOffer


def trainer_of(seed: int = 0, hidden_dim: int = 8) -> PPOTrainer:
    return PPOTrainer(
        SkillPolicy(state_dim=8, skill_dim=4, hidden_dim=hidden_dim, seed=seed), seed=seed
    )


def update(trainer: PPOTrainer) -> None:
    offer = SkillOffer(
        names=("a", "b"),
        embeddings=np.eye(2, 4, dtype=np.float32),
        is_new=np.zeros(2, dtype=np.bool_),
    )
    buffer = trainer.new_buffer()
    buffer.add(
        [
            RolloutStep(
                state=np.full(8, n, np.float32),
                offer=offer,
                chosen=(n % 2,),
                log_prob=-0.7,
                value=0.0,
                reward=float(n % 2),
            )
            for n in range(40)
        ]
    )
    trainer.update(buffer)


def equal(first: PPOTrainer, second: PPOTrainer) -> bool:
    pairs = zip(first.policy.parameters(), second.policy.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path / "checkpoints", keep=2)


def test_a_restored_trainer_goes_on_like_the_one_that_was_saved(checkpoints):
    """Weights, Adam's moments and the order of the steps are all back."""
    trainer = trainer_of()
    update(trainer)
    checkpoints.save(trainer, TrainState(step=1))
    update(trainer)
    restored = trainer_of(seed=7)
    assert checkpoints.load(restored).step == 1
    update(restored)
    assert equal(trainer, restored)


def test_the_state_comes_back_as_it_was(checkpoints):
    bank = SkillBank.seed()
    bank.record_reward("insert", 0.5)
    state = TrainState(
        step=3,
        updates_since_change=2,
        stage_rewards=(0.25, 0.5),
        recent_rewards=(0.5,),
        bank=bank.to_json(),
        new_skills=("insert",),
        evolution={"pool": [{"question": "Where?", "failures": 2}]},
    )
    checkpoints.save(trainer_of(), state)
    found = checkpoints.load(trainer_of())
    assert found == state
    assert SkillBank.from_json(found.bank)["insert"].statistics.mean_reward == 0.5


def test_the_last_ones_and_the_best_are_kept(checkpoints):
    for step in range(1, 6):
        checkpoints.save(trainer_of(), TrainState(step=step, best_step=min(step, 2)))
    assert checkpoints.steps() == [2, 4, 5]
    assert isinstance(checkpoints.policy(2), SkillPolicy)


@pytest.mark.parametrize("after", range(1, 6))
def test_a_disk_that_fills_up_costs_no_earlier_checkpoint(checkpoints, monkeypatch, after):
    trainer = trainer_of()
    checkpoints.save(trainer, TrainState(step=1))
    update(trainer)
    sync, left = os.fsync, after

    def full(descriptor: int) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr("langgraph_memskill.trainers.checkpoints.os.fsync", full)
    with pytest.raises(CheckpointError, match="No space left"):
        checkpoints.save(trainer, TrainState(step=2))
    monkeypatch.undo()
    assert checkpoints.load(trainer_of(), 1).step == 1
    assert not list(checkpoints.folder.glob(".*"))


def test_a_damaged_checkpoint_is_passed_over(checkpoints, caplog):
    trainer = trainer_of()
    checkpoints.save(trainer, TrainState(step=1))
    path = checkpoints.save(trainer, TrainState(step=2)) / "policy.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    assert checkpoints.load(trainer_of(seed=3)).step == 1
    assert "policy.safetensors is not what was written" in caplog.text


@pytest.mark.parametrize("name", ["policy.safetensors", "optimizer.safetensors", "state.json"])
def test_without_a_whole_checkpoint_the_error_names_the_damage(checkpoints, name):
    trainer = trainer_of()
    update(trainer)
    path = checkpoints.save(trainer, TrainState(step=1)) / name
    path.write_bytes(b"{" + path.read_bytes()[:100])
    other = trainer_of(seed=5)
    with pytest.raises(CheckpointError, match="is damaged"):
        checkpoints.load(other)
    assert equal(other, trainer_of(seed=5))  # nothing has been changed


def test_a_checkpoint_of_a_newer_version_is_refused(checkpoints):
    path = checkpoints.save(trainer_of(), TrainState(step=1)) / "state.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"format_version": 99}))
    with pytest.raises(CheckpointError, match=r"99.*upgrade"):
        checkpoints.load(trainer_of())


def test_a_network_of_another_shape_is_refused(checkpoints):
    checkpoints.save(trainer_of(), TrainState(step=1))
    with pytest.raises(CheckpointError, match="another shape"):
        checkpoints.load(trainer_of(hidden_dim=16))


def test_no_checkpoint_at_all(checkpoints):
    with pytest.raises(CheckpointError, match="no checkpoint"):
        checkpoints.load(trainer_of())


def test_the_same_step_may_be_written_again(checkpoints):
    checkpoints.save(trainer_of(), TrainState(step=1))
    state = replace(TrainState(step=1), episodes=8)
    checkpoints.save(trainer_of(seed=1), state)
    found = trainer_of()
    assert checkpoints.load(found).episodes == 8
    assert equal(found, trainer_of(seed=1))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("devices", [("cuda", "cpu"), ("cpu", "cuda"), ("cuda", "cuda")])
def test_a_checkpoint_goes_from_device_to_device(tmp_path, devices):
    first, second = (
        PPOTrainer(SkillPolicy(state_dim=8, skill_dim=4, hidden_dim=8), seed=3, device=device)
        for device in devices
    )
    update(first)
    Checkpoints(tmp_path).save(first, TrainState(step=1))
    Checkpoints(tmp_path).load(second)
    slots = second.optimizer.state_dict()["state"].values()
    tensors = [*second.policy.parameters(), *(slot["exp_avg"] for slot in slots)]
    assert {tensor.device.type for tensor in tensors} == {devices[1]}
    assert torch.equal(first.generator.get_state(), second.generator.get_state())
    update(first)
    update(second)
    pairs = zip(first.policy.parameters(), second.policy.parameters(), strict=True)
    assert all(torch.allclose(a.cpu(), b.cpu(), rtol=1e-4, atol=1e-6) for a, b in pairs)
