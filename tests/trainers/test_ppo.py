import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from langgraph_memskill.controller.distribution import NewSkillBias, joint_log_prob, new_skill_bias
from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.errors import ConfigError, TrainingError
from langgraph_memskill.process_reward import ProcessRewardConfig
from langgraph_memskill.trainers.batches import make_batch
from langgraph_memskill.trainers.ppo import PPOConfig, PPOTrainer, evaluate, ppo_loss
from langgraph_memskill.trainers.returns import RedistributionConfig, gae, redistribute
from langgraph_memskill.trainers.rollout import RolloutBuffer, RolloutStep, SkillOffer

DIM = 4


def offer_of(num_skills: int, *, seed: int = 0, bias: NewSkillBias | None = None) -> SkillOffer:
    rows = np.random.default_rng(seed).normal(size=(num_skills, DIM)).astype(np.float32)
    return SkillOffer(
        names=tuple(f"skill_{n}" for n in range(num_skills)),
        embeddings=rows,
        is_new=np.arange(num_skills) == 0,
        bias=bias,
    )


def step_of(offer: SkillOffer, *, seed: int = 0, chosen=(0,), reward=1.0) -> RolloutStep:
    state = np.random.default_rng(seed).normal(size=2 * DIM).astype(np.float32)
    return RolloutStep(
        state=state, offer=offer, chosen=chosen, log_prob=-1.0, value=0.25, reward=reward
    )


def policy_of(seed: int = 0) -> SkillPolicy:
    return SkillPolicy(state_dim=2 * DIM, skill_dim=DIM, hidden_dim=16, seed=seed)


def play(
    policy: SkillPolicy, offer: SkillOffer, generator: torch.Generator, buffer: RolloutBuffer
) -> float:
    """Two-armed bandit: the left skill pays in positive states, the right one in the others."""
    sign = 1.0 if torch.rand((), generator=generator) < 0.5 else -1.0
    state = np.full(2 * DIM, sign, np.float32)
    with torch.no_grad():
        logits, values = policy(
            torch.from_numpy(state).unsqueeze(0), torch.from_numpy(offer.embeddings)
        )
    arm = int(torch.multinomial(torch.softmax(logits[0], -1), 1, generator=generator))
    reward = float((arm == 0) == (sign > 0))
    buffer.add(
        [
            RolloutStep(
                state=state,
                offer=offer,
                chosen=(arm,),
                log_prob=float(torch.log_softmax(logits[0], -1)[arm]),
                value=float(values[0]),
                reward=reward,
            )
        ]
    )
    return reward


def solve_bandit(seed: int, updates: int) -> tuple[SkillPolicy, float]:
    offer, generator = offer_of(2), torch.Generator().manual_seed(seed)
    trainer = PPOTrainer(policy_of(), PPOConfig(learning_rate=0.01), seed=seed)
    mean = 0.0
    for _ in range(updates):
        buffer = trainer.new_buffer()
        mean = sum(play(trainer.policy, offer, generator, buffer) for _ in range(64)) / 64
        trainer.update(buffer)
    return trainer.policy, mean


def test_a_bandit_with_two_skills_is_solved():
    _, mean = solve_bandit(seed=1, updates=20)
    assert mean > 0.95


def test_equal_seeds_give_equal_weights_and_other_seeds_do_not():
    first, again, other = (solve_bandit(seed, updates=3)[0].state_dict() for seed in (5, 5, 6))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_advantages_by_hand():
    # discount 0.5, lambda 0.5, two episodes of two steps and one.
    # Step 1 ends: delta = 2 - 1 = 1. Step 0: delta = 1 + 0.5 * 1 - 0 = 1.5, A = 1.5 + 0.25 * 1.
    # Step 2 ends: 3 - 2 = 1.
    found = gae([1, 2, 3], [0, 1, 2], [False, True, True], discount=0.5, gae_lambda=0.5)
    assert found.advantages.tolist() == [1.75, 1.0, 1.0]
    assert found.returns.tolist() == [1.75, 2.0, 3.0]


def test_an_unfinished_episode_goes_on_with_the_last_value():
    found = gae([1], [0.5], [False], discount=0.5, gae_lambda=1.0, last_value=2.0)
    assert found.advantages.tolist() == [1.5]


def test_the_final_reward_is_shared_out():
    # 60% for the last step, and 0.4 with weights 0.5 and 1 over both.
    shares = redistribute(1.5, 2, RedistributionConfig(decay=0.5))
    assert shares.tolist() == pytest.approx([0.2, 1.3])


def test_steps_of_different_banks_in_one_batch_score_as_alone():
    policy = policy_of()
    bias = NewSkillBias(p_min=0.9, scale=0.5)
    offers = [offer_of(2), offer_of(5, seed=1, bias=bias), offer_of(3, bias=NewSkillBias())]
    chosen = [(1,), (4, 0, 2), (2, 1)]
    steps = [step_of(o, seed=n, chosen=c) for n, (o, c) in enumerate(zip(offers, chosen))]  # noqa: B905
    batch = make_batch(steps, returns=np.zeros(3), advantages=np.zeros(3))
    with torch.no_grad():
        found = evaluate(policy, batch)
        for row, step in enumerate(steps):
            logits, value = policy(
                torch.from_numpy(step.state).unsqueeze(0), torch.from_numpy(step.offer.embeddings)
            )
            if step.offer.bias is not None:
                is_new = torch.from_numpy(step.offer.is_new).unsqueeze(0)
                logits = new_skill_bias(logits, is_new, step.offer.bias)
            alone = joint_log_prob(logits, torch.tensor([step.chosen]))
            assert found.log_probs_B[row].item() == pytest.approx(alone.item(), abs=1e-5)
            assert found.values_B[row].item() == pytest.approx(value.item(), abs=1e-5)
            assert torch.isneginf(found.logits_BN[row, len(step.offer.names) :]).all()


def test_padding_gets_no_gradient_that_is_not_finite():
    policy = policy_of()
    steps = [step_of(offer_of(1)), step_of(offer_of(4, seed=2), chosen=(3, 2, 0))]
    batch = make_batch(steps, returns=np.ones(2), advantages=np.ones(2))
    ppo_loss(evaluate(policy, batch), batch, PPOConfig()).total.backward()
    assert all(torch.isfinite(p.grad).all() for p in policy.parameters() if p.grad is not None)


def test_each_distinct_skill_is_encoded_once():
    """Two bank versions that differ in one skill: six skills on offer, four different ones."""
    first = offer_of(3)
    second = replace(first, embeddings=first.embeddings.copy())
    second.embeddings[1] = 7.0
    steps = [step_of(first), step_of(second), step_of(first)]
    batch = make_batch(steps, returns=np.zeros(3), advantages=np.zeros(3))
    assert batch.skills_MD.shape == (4, DIM)
    assert batch.candidates_BN is not None
    assert batch.candidates_BN.tolist() == [[0, 1, 2], [0, 3, 2], [0, 1, 2]]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"reward": math.nan}, "reward is nan"),
        ({"value": math.inf}, "value is inf"),
        ({"log_prob": math.nan}, "log_prob is nan"),
        ({"state": np.zeros(6, np.float32)}, "shape"),
        ({"state": np.full(2 * DIM, np.nan, np.float32)}, "not finite"),
        ({"chosen": (0, 0)}, "twice"),
        ({"chosen": ()}, "empty"),
        ({"chosen": (2,)}, "no skill of 2"),
    ],
)
def test_an_unusable_episode_is_left_out_and_counted(change, word, caplog):
    trainer = PPOTrainer(policy_of())
    buffer = trainer.new_buffer()
    good = step_of(offer_of(2))
    assert not buffer.add([good, replace(good, **change)])
    assert word in caplog.text
    assert buffer.add([good])
    metrics = trainer.update(buffer)
    assert (metrics.steps, metrics.episodes, metrics.skipped_episodes) == (1, 1, 1)


def test_skills_of_another_width_are_left_out(caplog):
    wide = replace(offer_of(2), embeddings=np.zeros((2, DIM + 1), np.float32))
    buffer = PPOTrainer(policy_of()).new_buffer()
    assert not buffer.add([step_of(wide)])
    assert "width 5, not 4" in caplog.text


def test_an_episode_without_steps_is_left_out():
    """QUIRK 12: its reward goes to no other episode."""
    buffer = PPOTrainer(policy_of()).new_buffer()
    assert not buffer.add([])
    assert buffer.skipped_episodes == 1


def test_a_gradient_that_is_not_finite_stops_the_training():
    trainer = PPOTrainer(policy_of(), PPOConfig(normalise_advantages=False))
    buffer = trainer.new_buffer()
    buffer.add([step_of(offer_of(2), reward=1e30)])
    with pytest.raises(TrainingError, match="last checkpoint"):
        trainer.update(buffer)


def test_an_update_stops_when_the_policy_has_moved_too_far():
    trainer = PPOTrainer(policy_of(), PPOConfig(epochs=4, target_kl=0.001))
    buffer = trainer.new_buffer()
    # The stored log-probability is far above the present one, so old - new is large at once.
    buffer.add([replace(step_of(offer_of(2)), log_prob=0.0)])
    metrics = trainer.update(buffer)
    assert (metrics.epochs, metrics.stopped_early) == (1, True)


def test_metrics_of_an_untouched_policy():
    """The first pass over one minibatch sees the policy that chose: no KL, nothing clipped."""
    policy, offer = policy_of(), offer_of(3)
    steps = [step_of(offer, seed=n, chosen=(n % 3,)) for n in range(6)]
    with torch.no_grad():
        states = torch.from_numpy(np.stack([s.state for s in steps]))
        logits, _ = policy(states, torch.from_numpy(offer.embeddings))
        own = joint_log_prob(logits, torch.tensor([s.chosen for s in steps])).tolist()
    trainer = PPOTrainer(policy, PPOConfig(epochs=1))
    buffer = trainer.new_buffer()
    buffer.add([replace(s, log_prob=p) for s, p in zip(steps, own, strict=True)])
    metrics = trainer.update(buffer)
    assert metrics.means is not None
    assert metrics.means.kl == pytest.approx(0, abs=1e-6)
    assert metrics.means.clip_fraction == 0
    assert metrics.skill_usage == pytest.approx(
        {"skill_0": 1 / 3, "skill_1": 1 / 3, "skill_2": 1 / 3}
    )


@pytest.mark.parametrize(
    "values",
    [{"learning_rate": 0}, {"epochs": 0}, {"clip": math.nan}, {"discount": 1.5}, {"epochs": True}],
)
def test_numbers_out_of_range_are_refused(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        PPOConfig(**values)


def test_reward_configs_check_their_ranges():
    with pytest.raises(ConfigError, match="budget"):
        ProcessRewardConfig(budget=-1)
    with pytest.raises(ConfigError, match="last_share"):
        RedistributionConfig(last_share=2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_gpu_learns_the_same():
    states = []
    for device in ("cpu", "cuda"):
        trainer = PPOTrainer(policy_of(), seed=3, device=device)
        buffer = trainer.new_buffer()
        for number in range(8):
            offer = offer_of(2 + number % 3, seed=number)
            buffer.add([step_of(offer, seed=n, reward=n / 7) for n in range(8)])
        trainer.update(buffer)
        states.append({k: v.cpu() for k, v in trainer.policy.state_dict().items()})
    for name in ("state_net.0.weight", "op_net.0.weight", "critic_head.0.weight"):
        torch.testing.assert_close(states[0][name], states[1][name], rtol=1e-4, atol=1e-5)
