import pytest
import torch

from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.errors import ConfigError
from langgraph_memskill.testing.logged_bandit import LoggedBandit
from langgraph_memskill.trainers.fitting import FitConfig, FitMethod, FitRound, choose_method, fit
from langgraph_memskill.trainers.policy_shift import PolicyShift, measure_shift
from langgraph_memskill.trainers.ppo import PPOConfig

FAST = PPOConfig(learning_rate=2e-3)


def weights(policy: SkillPolicy) -> torch.Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in policy.parameters()])


def moved(policy: SkillPolicy, size: float) -> SkillPolicy:
    """The policy with its actor disturbed, as if it had been trained on since."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in policy.actor_head.parameters():
            tensor.add_(size * torch.randn(tensor.shape, generator=generator))
    return policy


@pytest.mark.parametrize(("k", "length", "better"), [(1, 1, 0.2), (2, 2, 0.08)])
def test_fresh_traces_make_a_bad_policy_better(k: int, length: int, better: float) -> None:
    world = LoggedBandit(k=k, length=length)
    policy = world.policy(300)
    before = world.value(policy)
    report = fit(policy, world.record(policy, 400), FitConfig(ppo=FAST))
    assert report.rounds[0].method is FitMethod.PPO
    assert "the traces are fresh: 100% of the steps are effective" in report.reason
    assert world.value(policy) > before + better


def test_stale_traces_are_weighted_and_still_help() -> None:
    world = LoggedBandit()
    episodes = world.record(world.policy(300), 400)
    policy = moved(world.policy(300), 0.12)
    before = world.value(policy)
    report = fit(policy, episodes, FitConfig(ppo=FAST))
    assert report.rounds[0].method is FitMethod.WEIGHTED_PPO
    assert "stale" in report.reason
    assert world.value(policy) > before + 0.2


def test_foreign_traces_are_learnt_from_by_regression() -> None:
    world = LoggedBandit(spread=1.5)
    recorded, policy = world.policy(300), world.policy(305)
    episodes = world.record(recorded, 600)
    before = max(world.value(policy), world.value(recorded))
    report = fit(policy, episodes, FitConfig(ppo=FAST))
    assert {entry.method for entry in report.rounds} == {FitMethod.AWR}
    assert "foreign" in report.reason
    assert world.value(policy) > before + 0.1


def test_choices_without_chance_are_learnt_from_by_regression() -> None:
    world = LoggedBandit()
    recorded, policy = world.policy(302), world.policy(7)
    episodes = world.record(recorded, 200, sampled=False)
    report = fit(policy, episodes, FitConfig(ppo=FAST))
    assert {entry.method for entry in report.rounds} == {FitMethod.AWR}
    assert "200 of 200 choices were not drawn" in report.reason
    assert report.shift.sampled_steps == 0


def test_episodes_without_chance_are_left_out_beside_others() -> None:
    world = LoggedBandit()
    drawn = world.record(world.policy(300), 100)
    taken = world.record(world.policy(300), 20, sampled=False)
    both, alone = world.policy(300), world.policy(300)
    report = fit(both, [*taken, *drawn], FitConfig(ppo=FAST, rounds=2))
    fit(alone, drawn, FitConfig(ppo=FAST, rounds=2))
    assert torch.equal(weights(both), weights(alone))
    assert (report.episodes, report.left_out_episodes) == (100, 20)
    assert "20 of 120 episodes are left out" in report.reason


def test_regression_that_is_asked_for_learns_from_all_episodes() -> None:
    world = LoggedBandit()
    policy = world.policy(300)
    episodes = [*world.record(policy, 20), *world.record(policy, 20, sampled=False)]
    report = fit(policy, episodes, FitConfig(method=FitMethod.AWR, rounds=1))
    assert (report.episodes, report.left_out_episodes) == (40, 0)


def test_the_rounds_end_when_the_traces_can_say_no_more() -> None:
    world = LoggedBandit()
    policy = world.policy(300)
    seen: list[FitRound] = []
    report = fit(
        policy, world.record(policy, 300), FitConfig(ppo=FAST, rounds=100), on_round=seen.append
    )
    assert report.shift.ess_share < 0.3
    assert "moved as far as these traces can judge" in report.reason
    assert tuple(seen) == report.rounds
    assert len(seen) < 100


def test_the_same_seed_gives_the_same_weights() -> None:
    world = LoggedBandit(k=2)
    episodes = world.record(world.policy(1), 60)
    found = []
    for seed in (1, 1, 2):
        policy = world.policy(3)
        fit(policy, episodes, FitConfig(rounds=2), seed=seed)
        found.append(weights(policy))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize("method", [FitMethod.PPO, FitMethod.WEIGHTED_PPO])
def test_ppo_on_choices_without_chance_is_refused(method: FitMethod) -> None:
    world = LoggedBandit()
    policy = world.policy(1)
    before = weights(policy).clone()
    with pytest.raises(ConfigError, match="none of 20 was: use 'awr'"):
        fit(policy, world.record(policy, 20, sampled=False), FitConfig(method=method))
    assert torch.equal(weights(policy), before)


def test_no_episode_is_refused() -> None:
    with pytest.raises(ConfigError, match="no episode"):
        fit(LoggedBandit().policy(1), [])


def shift(ess_share: float, kl: float, sampled: int = 10) -> PolicyShift:
    return PolicyShift(steps=10, sampled_steps=sampled, ess_share=ess_share, kl=kl)


@pytest.mark.parametrize(
    ("found", "method"),
    [
        (shift(1.0, 0.0), FitMethod.PPO),
        (shift(0.9, 0.02), FitMethod.PPO),
        (shift(0.9, 0.021), FitMethod.WEIGHTED_PPO),
        (shift(0.89, 0.0), FitMethod.WEIGHTED_PPO),
        (shift(0.3, 9.0), FitMethod.WEIGHTED_PPO),
        (shift(0.29, 9.0), FitMethod.AWR),
        (shift(1.0, 0.0, sampled=9), FitMethod.AWR),
    ],
)
def test_the_method_follows_from_the_distance(found: PolicyShift, method: FitMethod) -> None:
    assert choose_method(found, FitConfig()).method is method


def test_the_distance_to_oneself_is_nothing_and_grows_with_the_disturbance() -> None:
    world = LoggedBandit(k=2)
    steps = [step for e in world.record(world.policy(1), 200) for step in e.steps]
    found = [measure_shift(moved(world.policy(1), size), steps) for size in (0.0, 0.05, 0.2)]
    assert found[0].kl == pytest.approx(0, abs=1e-6)
    assert found[0].ess_share == pytest.approx(1, abs=1e-5)
    assert found[0].kl < found[1].kl < found[2].kl
    assert found[0].ess_share > found[1].ess_share > found[2].ess_share


@pytest.mark.parametrize("values", [{"rounds": 0}, {"temperature": 0}, {"truncation": 0.5}])
def test_settings_out_of_range(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        FitConfig(**values)
