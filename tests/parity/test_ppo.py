"""Parity kit section 3: the PPO loss with its gradients, and complete updates."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from langgraph_memskill.controller.distribution import NewSkillBias
from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.trainers.batches import RolloutBatch, make_batch
from langgraph_memskill.trainers.gradients import PolicyGradient
from langgraph_memskill.trainers.ppo import PPOConfig, PPOTrainer, evaluate, ppo_loss
from langgraph_memskill.trainers.rollout import RolloutBuffer, RolloutStep, SkillOffer
from langgraph_memskill.trainers.update_metrics import MinibatchRecord, StepMeans, step_means

FREE = "actor_head.2.bias"
"""QUIRK 1: its gradient is zero in exact arithmetic, so its value says nothing."""


def policy_of(arrays: dict[str, Any], prefix: str = "") -> SkillPolicy:
    own = {
        name.removeprefix(prefix): torch.from_numpy(array)
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
    return SkillPolicy.from_tensors(own)


def steps_of(
    case: dict[str, Any], arrays: dict[str, Any], prefix: str, log_probs: str, values: str
) -> list[RolloutStep]:
    bias = NewSkillBias(
        p_min=case["new_action_p_min"],
        delta_max=case["new_action_delta_max"],
        scale=case["bias_scale"],
    )
    cuts = np.cumsum(case["op_counts"])[:-1]
    offers = [
        SkillOffer(
            names=tuple(map(str, range(len(rows)))),
            embeddings=rows,
            is_new=mask.astype(np.bool_),
            bias=bias,
        )
        for rows, mask in zip(
            np.split(arrays[f"{prefix}.ops"], cuts),
            np.split(arrays[f"{prefix}.new_op_masks"], cuts),
            strict=True,
        )
    ]
    rewards = case.get("rewards", [0.0] * len(offers))
    rows = zip(
        arrays[f"{prefix}.states"],
        offers,
        case["actions"],
        case[log_probs],
        case[values],
        rewards,
        strict=True,
    )
    return [
        RolloutStep(
            state=state,
            offer=offer,
            # QUIRK 8: always a tuple, also for one skill.
            chosen=(chosen,) if isinstance(chosen, int) else tuple(chosen),
            log_prob=log_prob,
            value=value,
            reward=reward,
        )
        for state, offer, chosen, log_prob, value, reward in rows
    ]


def config_of(case: dict[str, Any], **more: Any) -> PPOConfig:
    return PPOConfig(
        clip=case["clip_epsilon"],
        value_clip=case["vf_clip"],
        entropy_coefficient=case["entropy_coef"],
        value_coefficient=case["value_coef"],
        **more,
    )


def check_info(means: StepMeans, info: dict[str, Any], unstable: bool, **tolerance: float) -> None:
    got = {
        "entropy": means.entropy,
        "topk_entropy": means.choice_entropy,
        "topk_mass": means.choice_mass,
        "approx_kl": means.approx_kl,
        "clip_frac": means.clip_fraction,
        "value_mean": means.value,
        "return_mean": means.value_return,
        "advantage_mean": means.advantage,
    }
    for name, value in got.items():
        assert value == pytest.approx(info[name], rel=tolerance["rtol"], abs=tolerance["atol"]), (
            name
        )
    # QUIRK 2: always finite.
    assert math.isfinite(means.choice_binary_entropy)
    if not unstable:
        assert means.choice_binary_entropy == pytest.approx(
            info["topk_bin_entropy"], rel=tolerance["rtol"], abs=tolerance["atol"]
        )
    # QUIRK 7: one step has no variance, and that is said instead of NaN.
    if means.steps == 1:
        assert info["explained_variance"] == "NaN"
        assert means.explained_variance is None
    else:
        assert means.explained_variance == pytest.approx(
            info["explained_variance"], rel=1e-4, abs=1e-4
        )
    assert means.kl >= -1e-6  # QUIRK 6: the estimate beside the signed one


def recorded(batch: RolloutBatch, policy: SkillPolicy, config: PPOConfig) -> MinibatchRecord:
    found = evaluate(policy, batch)
    loss = ppo_loss(found, batch, config)
    zero = torch.zeros(())
    return MinibatchRecord(
        rows=torch.arange(len(batch.states_BS)),
        total=loss.total,
        policy=loss.policy,
        value=loss.value,
        approx_kl=zero,
        gradient_norm=zero,
        logits=found.logits_BN.detach(),
        log_probs=found.log_probs_B.detach(),
        values=found.values_B.detach(),
        entropy=found.entropy_B.detach(),
    )


def test_losses_and_gradients_equal_the_kit(kit):
    weights = kit.tensors("controller/weights.safetensors")
    arrays = kit.tensors("ppo/loss_tensors.safetensors")
    for case in kit.cases("ppo/loss.json"):
        policy, expected = policy_of(weights), case["expected"]
        steps = steps_of(case, arrays, case["id"], "old_log_probs", "old_values")
        batch = make_batch(
            steps, returns=np.array(case["returns"]), advantages=np.array(case["advantages"])
        )
        config = config_of(case)
        record = recorded(batch, policy, config)
        near = {"rel": 1e-5, "abs": 5e-6}
        assert record.total.item() == pytest.approx(expected["total_loss"], **near), case["id"]
        info = expected["loss_info"]
        assert record.policy.item() == pytest.approx(info["policy_loss"], **near), case["id"]
        assert record.value.item() == pytest.approx(info["value_loss"], **near), case["id"]
        means = step_means([record], batch, clip=config.clip)
        check_info(means, info, expected["bin_entropy_unstable"], rtol=1e-5, atol=5e-6)
        record.total.backward()
        check_gradients(policy, expected)


def check_gradients(policy: SkillPolicy, expected: dict[str, Any]) -> None:
    squares = 0.0
    for name, parameter in policy.named_parameters():
        gradient = parameter.grad
        assert gradient is not None
        squares += float(gradient.double().square().sum())
        if name == FREE:
            assert gradient.abs().max() < 1e-4
            continue
        reference = expected["grads"][name]
        near = {"rel": 1e-5, "abs": 2e-5}
        assert gradient.norm().item() == pytest.approx(reference["l2"], **near), name
        assert gradient.abs().max().item() == pytest.approx(reference["abs_max"], **near), name
        assert gradient.flatten()[:6].tolist() == pytest.approx(reference["head"], **near), name
        assert gradient.sum().item() == pytest.approx(reference["sum"], abs=1e-3, rel=1e-5), name
    assert math.sqrt(squares) == pytest.approx(expected["grad_total_l2"], rel=1e-5, abs=2e-5)


class ReplayingTrainer(PPOTrainer):
    """Takes the recorded orders, and keeps what every minibatch saw."""

    def __init__(self, policy: SkillPolicy, config: PPOConfig, orders: list[list[int]]) -> None:
        super().__init__(policy, config)
        self.orders = list(orders)
        self.records: list[MinibatchRecord] = []

    def epoch_order(self, num_steps: int) -> torch.Tensor:
        return torch.tensor(self.orders.pop(0))

    def _minibatch(
        self, batch: RolloutBatch, rows: torch.Tensor, gradient: PolicyGradient
    ) -> MinibatchRecord:
        self.records.append(super()._minibatch(batch, rows, gradient))
        return self.records[-1]


def buffer_of(policy: SkillPolicy, steps: list[RolloutStep], dones: list[bool]) -> RolloutBuffer:
    buffer = RolloutBuffer(policy.state_dim, policy.skill_dim)
    start = 0
    for number, is_last in enumerate(dones, 1):
        if is_last or number == len(dones):
            assert buffer.add(steps[start:number])
            start = number
    return buffer


def test_whole_updates_equal_the_kit(kit):
    arrays = kit.tensors("ppo/trace_tensors.safetensors")
    for case in kit.cases("ppo/traces.json"):
        name, expected = case["id"].removeprefix("trace-"), case["expected"]
        start = kit.tensors(f"ppo/{case['start_weights_file']}")
        policy = policy_of(start, case["start_weights_prefix"])
        config = config_of(
            case,
            learning_rate=case["optimizer"]["lr"],
            epochs=case["ppo_epochs"],
            minibatch_size=case["minibatch_size"],
            discount=case["gamma"],
            gae_lambda=case["gae_lambda"],
            max_gradient_norm=case["max_grad_norm"],
            target_kl=case["target_kl"],
        )
        trainer = ReplayingTrainer(policy, config, case["permutations"])
        # The last step of a buffer always ends its episode, as it does after finish_episode.
        assert case["dones"][-1]
        steps = steps_of(case, arrays, name, "log_probs", "values")
        buffer = buffer_of(policy, steps, case["dones"])
        batch = trainer.batch_of(buffer)
        assert batch.returns_B.tolist() == pytest.approx(expected["returns"], rel=1e-5, abs=1e-6)

        metrics = trainer.update(buffer)

        assert metrics.epochs == expected["epochs_run"]
        assert metrics.stopped_early == (metrics.epochs < case["ppo_epochs"])
        assert metrics.minibatches == expected["update_info"]["n_updates"]
        check_minibatches(trainer, batch, expected["minibatches"])
        check_weights(trainer, arrays, name, metrics.minibatches)
        check_end_outputs(policy, batch, expected["end_outputs"])
        check_optimizer(trainer, expected["optimizer_state"])
        info = expected["update_info"]
        near = {"rel": 1e-4, "abs": 5e-5}
        assert metrics.policy_loss == pytest.approx(info["policy_loss"], **near)
        assert metrics.value_loss == pytest.approx(info["value_loss"], **near)
        # QUIRK 7: never NaN, and every step counts once however large its minibatch was.
        assert metrics.means is not None
        assert math.isfinite(metrics.means.explained_variance or 0.0)


def check_minibatches(
    trainer: ReplayingTrainer, batch: RolloutBatch, expected: list[dict[str, Any]]
) -> None:
    assert len(trainer.records) == len(expected)
    for record, reference in zip(trainer.records, expected, strict=True):
        near = {"rel": 1e-4, "abs": 5e-5}
        assert len(record.rows) == reference["n"]
        assert record.total.item() == pytest.approx(reference["total_loss"], **near)
        norm = reference["grad_norm_before_clip"]
        assert record.gradient_norm.item() == pytest.approx(norm, **near)
        means = step_means([record], batch, clip=trainer.config.clip)
        unstable = reference["bin_entropy_unstable"]
        check_info(means, reference["loss_info"], unstable, rtol=1e-4, atol=5e-5)


def check_weights(trainer: PPOTrainer, arrays: dict[str, Any], name: str, num_updates: int) -> None:
    loose = 2 * trainer.config.learning_rate * num_updates
    for key, weight in trainer.policy.state_dict().items():
        expected = arrays[f"{name}.end.{key}"]
        difference = np.abs(weight.numpy() - expected)
        if key == FREE:
            assert difference.max() <= loose, key
        elif f"{name}.stable.{key}" in arrays:
            # QUIRK 1: elsewhere Adam blows up rounding noise.
            stable = arrays[f"{name}.stable.{key}"].astype(bool)
            assert difference.max() <= loose, key
            np.testing.assert_allclose(
                weight.numpy()[stable], expected[stable], rtol=1e-5, atol=2e-6, err_msg=key
            )
        else:
            np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-5, atol=1e-5, err_msg=key)


def check_end_outputs(policy: SkillPolicy, batch: RolloutBatch, expected: dict[str, Any]) -> None:
    with torch.no_grad():
        found = evaluate(policy, batch)
    for values, key, atol in (
        (found.log_probs_B, "log_probs", 2e-4),
        (found.values_B, "values", 2e-5),
        (found.entropy_B, "entropy", 2e-5),
    ):
        np.testing.assert_allclose(values.numpy(), expected[key], rtol=2e-5, atol=atol)


def check_optimizer(trainer: PPOTrainer, expected: dict[str, Any]) -> None:
    for name, parameter in trainer.policy.named_parameters():
        state = trainer.optimizer.state[parameter]
        assert float(state["step"]) == expected[name]["step"]
        if name.startswith("actor_head"):
            continue  # QUIRK 1: rounding noise in part
        norm = state["exp_avg"].norm().item()
        assert norm == pytest.approx(expected[name]["exp_avg_l2"], rel=1e-3, abs=1e-6)


def test_an_empty_buffer_changes_nothing(kit):
    for case in kit.cases("ppo/empty_buffer.json"):
        policy = SkillPolicy(state_dim=8, skill_dim=4, hidden_dim=8)
        before = {name: weight.clone() for name, weight in policy.state_dict().items()}
        trainer = PPOTrainer(policy)
        metrics = trainer.update(trainer.new_buffer())
        assert metrics.skipped == case["expected"]["update_info"]["skipped"]
        assert (metrics.policy_loss, metrics.value_loss) == (0.0, 0.0)
        assert metrics.minibatches == 0
        assert all(torch.equal(before[name], w) for name, w in policy.state_dict().items())
