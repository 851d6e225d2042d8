"""The synthetic world rewards what it says, and both ways to train learn a small one."""

import numpy as np
import pytest
import torch

from langgraph_memskill.benchmarks.learning.synthetic import (
    RECOMMENDED,
    Contender,
    Outcome,
    run,
    table,
)
from langgraph_memskill.benchmarks.learning.synthetic_world import (
    SyntheticWorld,
    WorldConfig,
    best_reward_of,
    roll_out,
)
from langgraph_memskill.errors import ConfigError

SMALL = WorldConfig(num_kinds=2, num_skills=4, needed=1, spans_per_episode=2, noise=0.05)


def test_picking_what_is_needed_earns_the_best_reward() -> None:
    world = SyntheticWorld(3)
    spans = world.draw(5)
    assert world.rewards(spans, world.needs_CK[spans.kinds_EL]).tolist() == [1.0] * 5


def test_a_third_of_the_needed_skills_earns_a_third() -> None:
    world = SyntheticWorld(3)
    spans = world.draw(2)
    chosen = world.needs_CK[spans.kinds_EL].copy()
    others = np.array([sorted(set(range(9)) - set(needs))[:2] for needs in world.needs_CK])
    chosen[..., 1:] = others[spans.kinds_EL]
    assert world.rewards(spans, chosen) == pytest.approx([1 / 3, 1 / 3])


def test_chance_earns_k_of_n() -> None:
    world = SyntheticWorld(0)
    policy, spans = world.new_policy(0), world.draw(400)
    for parameter in policy.parameters():
        torch.nn.init.zeros_(parameter)  # all skills are equally likely
    steps = roll_out(policy, world, spans, torch.Generator().manual_seed(0))
    rewards = [sum(step.reward for step in episode) for episode in steps]
    assert np.mean(rewards) == pytest.approx(3 / 9, abs=0.02)


def test_equal_seeds_give_equal_worlds() -> None:
    first, second = SyntheticWorld(5), SyntheticWorld(5)
    assert np.array_equal(first.needs_CK, second.needs_CK)
    assert np.array_equal(first.draw(3).states_ELS, second.draw(3).states_ELS)


def test_a_rollout_shares_the_episodes_reward_out() -> None:
    world = SyntheticWorld(1)
    spans = world.draw(4)
    policy = world.new_policy(0)
    episodes = roll_out(policy, world, spans, torch.Generator().manual_seed(1))
    chosen = np.array([[step.chosen for step in episode] for episode in episodes])
    totals = [sum(step.reward for step in episode) for episode in episodes]
    assert totals == pytest.approx(world.rewards(spans, chosen).tolist())


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ConfigError, match="num_skills"):
        WorldConfig(num_skills=2, needed=3)


@pytest.mark.parametrize(
    "contender",
    [
        Contender(name="ppo", ppo=RECOMMENDED),
        Contender(name="reinforce", learning_rate=3e-3),
    ],
    ids=lambda contender: contender.name,
)
def test_a_small_world_is_learned(contender: Contender) -> None:
    [outcome] = run([contender], seeds=[0], max_episodes=3000, config=SMALL)
    assert outcome.episodes[0] is not None
    assert outcome.final[0] >= 0.9


def test_the_same_seed_gives_the_same_numbers() -> None:
    contender = Contender(name="ppo", ppo=RECOMMENDED)
    results = [run([contender], seeds=[1], max_episodes=96, config=SMALL) for _ in range(2)]
    assert results[0] == results[1]


def test_an_untrained_policy_is_not_the_best() -> None:
    world = SyntheticWorld(0)
    assert best_reward_of(world.new_policy(0), world, world.draw(64)) < 0.7


def test_the_table_says_where_the_goal_was_not_reached() -> None:
    text = table([Outcome(name="x", episodes=[32, None], final=[0.9, 0.5])])
    assert "    32      -" in text
    assert text.endswith("0.700")
