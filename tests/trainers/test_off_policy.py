"""Estimates against a world whose true values are known."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.errors import ConfigError, TraceError
from langgraph_memskill.testing.logged_bandit import WORTH, LoggedBandit
from langgraph_memskill.trainers.off_policy import (
    Estimate,
    EvaluationConfig,
    PolicyEvaluation,
    evaluate_policy,
    expanded_level,
)
from langgraph_memskill.trainers.policy_shift import effective_sample_size

QUICK = EvaluationConfig(resamples=300, draws=64)


def covers(estimate: Estimate, truth: float) -> bool:
    return estimate.low <= truth <= estimate.high


def test_the_true_value_of_a_uniform_policy_is_the_mean_worth() -> None:
    policy = SkillPolicy(state_dim=12, skill_dim=6, hidden_dim=4)
    with torch.no_grad():
        policy.actor_head.get_parameter("2.weight").zero_()
    for k in (1, 2, 4):
        assert LoggedBandit(k=k).value(policy) == pytest.approx(WORTH.mean())


@pytest.mark.parametrize(("k", "length"), [(1, 1), (2, 1), (2, 2)])
def test_intervals_cover_the_truth_and_beat_the_recorded_mean(k: int, length: int) -> None:
    world = LoggedBandit(k=k, length=length, spread=0.6)
    covered, errors, naive = [], [], []
    for seed in range(20):
        recorded, judged = world.policy(100 + seed), world.policy(200 + seed)
        truth = world.value(judged)
        found = evaluate_policy(judged, world.record(recorded, 300, seed=seed), QUICK)
        pair = (found.doubly_robust, found.weighted_importance_sampling)
        covered.append([covers(estimate, truth) for estimate in pair])
        errors.append(abs(found.doubly_robust.value - truth))
        naive.append(abs(found.logged.value - truth))
    # 19 of 20 on average; 16 or more with a probability of 0.997.
    assert (np.sum(covered, axis=0) >= 16).all()
    assert np.mean(errors) < 0.7 * np.mean(naive)


@pytest.mark.slow
def test_intervals_hold_when_few_episodes_have_most_of_the_weight() -> None:
    """Plain percentile intervals cover 88 of 100 here."""
    world = LoggedBandit(k=2, length=3, spread=0.6)
    covered, effective = 0, []
    for seed in range(100):
        judged = world.policy(2000 + seed)
        logged = world.record(world.policy(1000 + seed), 60, seed=seed)
        found = evaluate_policy(judged, logged, QUICK)
        covered += covers(found.doubly_robust, world.value(judged))
        effective.append(found.ess)
    assert np.median(effective) < 15
    assert covered >= 93


def test_few_effective_episodes_raise_the_level_of_the_interval() -> None:
    # t(0.975, 9) = 2.2622, times sqrt(10 / 9) = 2.3846; 2 (1 - Phi(2.3846)) = 0.0171.
    assert expanded_level(0.95, 10) == pytest.approx(0.9829, abs=1e-4)
    assert expanded_level(0.95, 1e7) == pytest.approx(0.95, abs=1e-4)
    assert expanded_level(0.95, 0.3) == expanded_level(0.95, 2) < 1


def test_the_model_makes_the_estimate_sharper_than_weights_alone() -> None:
    world = LoggedBandit(spread=0.6)
    widths = []
    for seed in range(5):
        episodes = world.record(world.policy(seed), 300, seed=seed)
        found = evaluate_policy(world.policy(50 + seed), episodes, QUICK)
        pair = (found.doubly_robust, found.weighted_importance_sampling)
        widths.append([estimate.high - estimate.low for estimate in pair])
    sharper, wider = np.mean(widths, axis=0)
    assert sharper < 0.8 * wider


def test_a_policy_judged_by_its_own_traces_scored_what_it_scored() -> None:
    world = LoggedBandit(k=2)
    policy = world.policy(1)
    found = evaluate_policy(policy, world.record(policy, 200), QUICK)
    assert found.ess == pytest.approx(200, rel=1e-4)
    mean = found.logged.value
    assert found.weighted_importance_sampling.value == pytest.approx(mean, abs=1e-5)
    assert found.doubly_robust.value == pytest.approx(mean, abs=0.02)
    assert found.objection is not None
    assert "is not above the recorded mean" in found.objection


def test_weighted_importance_sampling_by_hand() -> None:
    world = LoggedBandit()
    policy = world.policy(1)
    template = world.record(policy, 10)
    with torch.no_grad():
        policy.actor_head.get_parameter("2.weight").zero_()  # all four skills get 1/4
    episodes = []
    for number, episode in enumerate(template):
        log_prob = math.log(0.5 if number < 5 else 0.125)
        step = replace(episode.steps[0], log_prob=log_prob)
        episodes.append(replace(episode, steps=(step,), reward=float(number < 5)))
    found = evaluate_policy(policy, episodes, QUICK)
    # Weights 0.25 / 0.5 = 0.5 with reward 1, and 0.25 / 0.125 = 2 with reward 0.
    assert found.weighted_importance_sampling.value == pytest.approx(0.2)
    assert found.ess == pytest.approx(12.5**2 / (5 * 0.25 + 5 * 4))


def test_the_same_seed_gives_the_same_intervals() -> None:
    world = LoggedBandit(k=2)
    episodes = world.record(world.policy(1), 60)
    one, other = (evaluate_policy(world.policy(2), episodes, QUICK) for _ in range(2))
    assert one == other


def test_choices_that_were_not_drawn_are_refused() -> None:
    world = LoggedBandit()
    policy = world.policy(1)
    with pytest.raises(TraceError, match="0 of 50 episodes .* --explore"):
        evaluate_policy(policy, world.record(policy, 50, sampled=False), QUICK)


def test_episodes_that_were_not_drawn_are_left_out_and_counted() -> None:
    world = LoggedBandit()
    policy = world.policy(1)
    episodes = world.record(policy, 50) + world.record(policy, 7, seed=1, sampled=False)
    found = evaluate_policy(policy, episodes, QUICK)
    assert (found.episodes, found.unsampled_episodes) == (50, 7)


def test_too_few_episodes_are_refused() -> None:
    world = LoggedBandit()
    policy = world.policy(1)
    with pytest.raises(TraceError, match="only 9 episodes were held out, and at least 10"):
        evaluate_policy(policy, world.record(policy, 9), QUICK)


def evaluation(low: float, ess: float) -> PolicyEvaluation:
    better = Estimate(0.7, low, 0.8)
    return PolicyEvaluation(
        episodes=100,
        steps=100,
        unsampled_episodes=0,
        logged=Estimate(0.5, 0.4, 0.6),
        weighted_importance_sampling=better,
        doubly_robust=better,
        ess=ess,
        confidence=0.95,
        min_ess=10,
    )


@pytest.mark.parametrize(
    ("low", "ess", "objection"),
    [
        (0.51, 10, None),
        (0.5, 10, "not above"),
        (0.51, 9.9, "only 9.9 of 100 episodes are effective"),
    ],
)
def test_the_verdict(low: float, ess: float, objection: str | None) -> None:
    found = evaluation(low, ess).objection
    assert found is objection if objection is None else objection in str(found)


def test_effective_sample_size_by_hand() -> None:
    assert effective_sample_size(np.log([1.0, 1.0, 2.0])) == pytest.approx(16 / 6)
    assert effective_sample_size(np.array([1000.0, 0.0])) == 1.0


@pytest.mark.parametrize(
    "values", [{"confidence": 1.0}, {"confidence": 0.0}, {"resamples": 10}, {"folds": 1}]
)
def test_settings_out_of_range(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        EvaluationConfig(**values)
