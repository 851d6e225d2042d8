"""Who earns what: evidence by span, plays of one window beside each other, and what that learns."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from langgraph_memskill.controller.distribution import gumbel_noise, joint_log_prob, perturbed_top_k
from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.errors import ConfigError
from langgraph_memskill.trainers.baselines import compared
from langgraph_memskill.trainers.config import TrainConfig, config_of
from langgraph_memskill.trainers.credit import less_other_plays, recalled_turns, span_shares
from langgraph_memskill.trainers.material import TrainingQuestion, TrainingTrace, plan_episodes
from langgraph_memskill.trainers.ppo import PPOConfig, PPOTrainer
from langgraph_memskill.trainers.rollout import RolloutStep, SkillOffer


def span(*turn_ids):
    return SimpleNamespace(turns=[SimpleNamespace(id=turn_id) for turn_id in turn_ids], session="1")


def test_a_step_earns_the_share_of_the_evidence_in_its_span():
    spans = [span("a", "b"), span("c"), span("d")]
    asked = [(("a", "c"), frozenset({"a"})), (("a", "b"), frozenset({"b", "c"}))]
    shares = span_shares(spans, asked)
    # Span 0 holds a, a and b, of which a and b were found; what question 2 found of c is not asked.
    assert shares[:2].tolist() == [pytest.approx(2 / 3), 0.0]
    assert np.isnan(shares[2])


def test_a_turn_in_two_spans_counts_for_both_and_one_in_none_for_nobody():
    shares = span_shares([span("a"), span("a", "b")], [(("a", "z"), frozenset({"a", "z"}))])
    assert shares.tolist() == [1.0, 1.0]


def test_recalled_turns_come_from_all_sources():
    sources = [SimpleNamespace(turn_ids=("a",)), SimpleNamespace(turn_ids=("b", "a"))]
    assert recalled_turns([SimpleNamespace(sources=sources)]) == {"a", "b"}


def test_a_play_is_compared_with_the_mean_of_the_others():
    rewards = np.array([[1.0, np.nan], [0.5, np.nan], [0.0, np.nan]])
    assert less_other_plays(rewards).tolist() == [[0.75, 0.0], [0.0, 0.0], [-0.75, 0.0]]


def test_a_single_play_has_nothing_to_be_compared_with():
    with pytest.raises(ConfigError, match="1 plays"):
        less_other_plays(np.ones((1, 2)))


OFFER = SkillOffer(
    names=("left", "right"),
    embeddings=np.eye(2, dtype=np.float32),
    is_new=np.zeros(2, dtype=np.bool_),
)


def step(state, choice, reward, log_prob=0.0):
    return RolloutStep(
        state=state, offer=OFFER, chosen=(choice,), log_prob=log_prob, value=0.0, reward=reward
    )


def episode(window, *rewards):
    steps = tuple(step(np.zeros(2, np.float32), 0, reward) for reward in rewards)
    return SimpleNamespace(plan=SimpleNamespace(window=window, id="e"), steps=steps)


def rewards_of(episodes):
    return [[step.reward for step in steps] for steps in episodes]


def test_plays_of_one_window_are_compared_and_a_lone_one_is_left_out():
    played = [episode(0, 1.0, 0.2), episode(0, 0.0, 0.2), episode(1, 0.9)]
    assert rewards_of(compared(played, "plays")) == [[1.0, 0.0], [-1.0, 0.0]]


def test_the_default_baseline_leaves_rewards_as_they_are():
    assert rewards_of(compared([episode(0, 1.0), episode(1, 0.5)], "critic")) == [[1.0], [0.5]]


def test_the_method_is_the_default():
    config = TrainConfig()
    assert (config.credit, config.plays, config.baseline) == ("episode", 1, "critic")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"credit": "turn"}, "credit='turn'"),
        ({"baseline": "mean"}, "baseline='mean'"),
        ({"plays": 0}, "plays=0"),
        ({"plays": 3, "episodes": 4}, "must divide episodes=4"),
        ({"baseline": "plays"}, "at least 2"),
    ],
)
def test_values_that_do_not_fit_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**values)


def test_the_options_are_read_from_plain_values():
    config = config_of({"credit": "span", "plays": 2, "baseline": "plays"})
    assert (config.credit, config.plays, config.baseline) == ("span", 2, "plays")


def traces(make_span):
    return [
        TrainingTrace(
            id=name,
            spans=tuple(make_span(name, n) for n in range(3)),
            questions=(TrainingQuestion(id="q", text="?", answers=("x",), evidence=(f"{name}0",)),),
        )
        for name in "ab"
    ]


def test_plays_share_window_and_questions_but_not_the_seed(make_span):
    config = TrainConfig(episodes=4, plays=2)
    plans = plan_episodes(traces(make_span), config, outer=0, inner=0)
    assert [plan.window for plan in plans] == [0, 0, 1, 1]
    assert plans[0].trace_id == plans[1].trace_id != plans[2].trace_id
    assert (plans[0].spans, plans[0].questions) == (plans[1].spans, plans[1].questions)
    assert len({plan.seed for plan in plans}) == 4
    assert len({plan.id for plan in plans}) == 4


def test_windows_and_seeds_do_not_depend_on_the_option_where_it_is_off(make_span):
    plans = plan_episodes(traces(make_span), TrainConfig(), outer=1, inner=2)
    assert [plan.id for plan in plans] == [f"o1-i2-e{n}" for n in range(4)]
    assert [plan.window for plan in plans] == [0, 1, 2, 3]


STATES = np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32)
BANDIT = PPOConfig(
    learning_rate=3e-3, epochs=4, minibatch_size=0, discount=0.0, gae_lambda=0.0, target_kl=0.0
)


def learnt(seed, *, by_span, updates=40, plays=8):
    """Train where span 0 needs "left" and span 1 needs "right"; windows hold both, in any order."""
    policy = SkillPolicy(state_dim=2, skill_dim=2, hidden_dim=32, seed=seed)
    trainer = PPOTrainer(policy, BANDIT, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    skills = torch.from_numpy(OFFER.embeddings)
    for _ in range(updates):
        # Many spans that cannot be influenced stand beside two that can, and their luck is large.
        luck = torch.randn(plays, 2, generator=generator).numpy() * 3
        with torch.no_grad():
            logits, _ = policy.eval()(torch.from_numpy(STATES), skills)
        logits = logits.double().repeat(plays, 1)
        chosen = perturbed_top_k(logits, gumbel_noise(tuple(logits.shape), generator), 1)
        log_probs = joint_log_prob(logits, chosen).view(plays, 2).tolist()
        picks = chosen.view(plays, 2).numpy()
        earned = (picks == np.array([0, 1])).astype(float)
        if not by_span:  # one reward for the whole episode, given to its end
            earned = np.stack([np.zeros(plays), earned.sum(1) + luck.sum(1)], axis=1)
        buffer = trainer.new_buffer()
        for play, row in enumerate(less_other_plays(earned)):
            buffer.add(
                [
                    step(STATES[i], int(picks[play, i]), float(row[i]), log_probs[play][i])
                    for i in range(2)
                ]
            )
        trainer.update(buffer)
    with torch.no_grad():
        logits, _ = policy.eval()(torch.from_numpy(STATES), skills)
    return policy, logits.argmax(dim=1).tolist()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_credit_by_span_solves_a_bandit_whose_best_skill_depends_on_the_span(seed):
    assert learnt(seed, by_span=True)[1] == [0, 1]


def test_one_reward_at_the_end_does_not_solve_it():
    """The first span is never credited without discounting, so all seeds cannot succeed."""
    assert [learnt(seed, by_span=False)[1] for seed in range(3)] != [[0, 1]] * 3


def test_the_same_seed_gives_equal_weights():
    first, second = (learnt(3, by_span=True, updates=3)[0] for _ in range(2))
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True)
    )


@pytest.fixture
def make_span():
    from langgraph_memskill.records import Span, Turn

    base = Span(id="s", index=0, text="text", session="1")

    def make(name, number):
        turn = Turn(id=f"{name}{number}", speaker="Ann", text="text")
        return replace(base, id=f"{name}-{number}", index=number, turns=(turn,))

    return make
