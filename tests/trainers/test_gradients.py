"""The passes that are written out, against autograd over the loss as it reads in the paper."""

import numpy as np
import pytest
import torch

from langgraph_memskill.controller.distribution import NewSkillBias
from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.trainers.batches import RolloutBatch, make_batch
from langgraph_memskill.trainers.gradients import PolicyGradient
from langgraph_memskill.trainers.ppo import PPOConfig, evaluate, ppo_gradient, ppo_loss
from langgraph_memskill.trainers.rollout import RolloutStep, SkillOffer

DIM, HIDDEN = 6, 16


def policy_of(seed: int = 0) -> SkillPolicy:
    return SkillPolicy(state_dim=2 * DIM, skill_dim=DIM, hidden_dim=HIDDEN, seed=seed)


def offer_of(num_skills: int, seed: int, bias: NewSkillBias | None = None) -> SkillOffer:
    return SkillOffer(
        names=tuple(f"skill_{n}" for n in range(num_skills)),
        embeddings=np.random.default_rng(seed).normal(size=(num_skills, DIM)).astype(np.float32),
        is_new=np.arange(num_skills) == 0,
        bias=bias,
    )


def batch_of(offers: list[SkillOffer], *, num_steps: int = 40, k: int = 3) -> RolloutBatch:
    """Steps whose old log-probabilities and values lie on both sides of the clips."""
    generator = np.random.default_rng(7)
    steps = []
    for number in range(num_steps):
        offer = offers[number % len(offers)]
        chosen = generator.permutation(len(offer.names))[:k].tolist()
        steps.append(
            RolloutStep(
                state=generator.normal(size=2 * DIM).astype(np.float32),
                offer=offer,
                chosen=tuple(chosen),
                log_prob=float(generator.uniform(-4, -2)),
                value=float(generator.normal(scale=0.3)),
                reward=0.0,
            )
        )
    return make_batch(
        steps,
        returns=generator.normal(size=num_steps),
        advantages=generator.normal(size=num_steps),
    )


def gradients_by_autograd(
    policy: SkillPolicy, batch: RolloutBatch, config: PPOConfig
) -> dict[str, torch.Tensor]:
    policy.zero_grad()
    ppo_loss(evaluate(policy, batch), batch, config).total.backward()
    return {name: p.grad.clone() for name, p in policy.named_parameters() if p.grad is not None}


BATCHES = {
    "one bank": batch_of([offer_of(8, 1)]),
    "one bank with a bonus": batch_of([offer_of(8, 1, NewSkillBias(p_min=0.9))]),
    "mixed banks": batch_of(
        [offer_of(3, 1), offer_of(8, 2, NewSkillBias(p_min=0.9)), offer_of(5, 3, NewSkillBias())]
    ),
    "fewer candidates than draws": batch_of([offer_of(2, 1), offer_of(1, 2)], k=3),
    "a single step": batch_of([offer_of(4, 1)], num_steps=1),
}
CONFIGS = {
    "METHOD": PPOConfig(),
    "value clip": PPOConfig(value_clip=0.2, entropy_coefficient=0.3, value_coefficient=2.0),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
def test_gradients_equal_those_of_autograd(batch: RolloutBatch, config: PPOConfig):
    policy = policy_of()
    expected = gradients_by_autograd(policy, batch, config)
    gradient = PolicyGradient(policy)
    gradient.backward(ppo_gradient(gradient.forward(batch), batch, config))
    assert expected.keys() == dict(policy.named_parameters()).keys()
    for name, parameter in policy.named_parameters():
        torch.testing.assert_close(
            parameter.grad, expected[name], rtol=1e-4, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
def test_evaluations_equal_those_of_the_network(batch: RolloutBatch):
    policy = policy_of()
    with torch.no_grad():
        expected = evaluate(policy, batch)
    found = PolicyGradient(policy).forward(batch)
    for name in expected._fields:
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), msg=name)


def test_steps_outside_of_both_clips_are_in_the_batches():
    """Otherwise the comparison above would say nothing about them."""
    batch, config = BATCHES["one bank"], CONFIGS["value clip"]
    with torch.no_grad():
        found = evaluate(policy_of(), batch)
    ratio = torch.exp(found.log_probs_B - batch.log_probs_B)
    is_clipped = (ratio - 1).abs() > config.clip
    assert 0 < ((is_clipped) & (batch.advantages_B * (ratio - 1) > 0)).sum() < len(ratio)
    assert 0 < ((found.values_B - batch.values_B).abs() > config.value_clip).sum() < len(ratio)


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
def test_no_tensor_is_made_on_another_device(batch: RolloutBatch):
    """On "meta" nothing is computed, but tensors of two devices do not go together there either."""
    policy, config = policy_of().to("meta"), PPOConfig(value_clip=0.2)
    moved = batch.to("meta")
    gradient = PolicyGradient(policy)
    found = gradient.forward(moved)
    gradient.backward(ppo_gradient(found, moved, config))
    gradient.clip(0.5)
    assert {tensor.device.type for tensor in (gradient.flat, *found)} == {"meta"}
    with pytest.raises((RuntimeError, NotImplementedError)):
        gradient.forward(batch)


def test_one_pass_after_another_forgets_the_first():
    """Buffers are used again, by minibatches of other sizes and other banks too."""
    policy, config = policy_of(), PPOConfig()
    gradient = PolicyGradient(policy)
    for batch in (BATCHES["one bank"], BATCHES["mixed banks"], BATCHES["a single step"]):
        gradient.backward(ppo_gradient(gradient.forward(batch), batch, config))
    found = gradient.flat.clone()
    fresh = PolicyGradient(policy)
    fresh.backward(ppo_gradient(fresh.forward(batch), batch, config))
    assert torch.equal(found, fresh.flat)


def test_a_long_gradient_is_scaled_down_and_a_short_one_is_left():
    gradient = PolicyGradient(policy_of())
    gradient.flat[:2] = torch.tensor([3.0, 4.0])
    assert gradient.clip(10.0).item() == pytest.approx(5.0)
    assert gradient.flat[:2].tolist() == [3.0, 4.0]
    assert gradient.clip(0.5).item() == pytest.approx(5.0)
    assert gradient.flat[:2].tolist() == pytest.approx([0.3, 0.4], rel=1e-5)
