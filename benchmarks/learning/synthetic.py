"""How many episodes until a controller earns 90% of the best reward of the synthetic world.

    python -m langgraph_memskill.benchmarks.learning.synthetic

prints a table, and with `--json` the numbers. PPO is this package's trainer with METHOD's numbers
and with the ones recommended here; the peer is plain per-step REINFORCE. All get the same worlds,
the same sampling, and their rewards in the same way. The peer may have the best of several learning
rates.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import torch
import typer

from langgraph_memskill.benchmarks.learning.reinforce import Reinforce
from langgraph_memskill.benchmarks.learning.synthetic_world import (
    BEST_REWARD,
    SyntheticWorld,
    WorldConfig,
    best_reward_of,
    roll_out,
)
from langgraph_memskill.trainers.ppo import PPOConfig, PPOTrainer
from langgraph_memskill.trainers.returns import RedistributionConfig
from langgraph_memskill.trainers.rollout import RolloutStep

Update = Callable[[Sequence[Sequence[RolloutStep]]], object]

GOAL = 0.9
"""Share of the best reward at which a controller counts as trained."""
TUNED = PPOConfig(learning_rate=1e-3, entropy_coefficient=0.01, target_kl=0.05)
"""Faster than METHOD's numbers where an episode costs little."""
_TEST_EPISODES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One way to train."""

    name: str
    batch_size: int
    """Episodes an update."""
    ppo: PPOConfig | None = None
    """None is the peer."""
    redistribution: RedistributionConfig = RedistributionConfig()
    """How an episode's reward reaches its steps."""
    learning_rate: float = 1e-3
    """Of the peer."""


CONTENDERS = (
    Contender(name="PPO, METHOD's numbers", ppo=PPOConfig(), batch_size=16),
    Contender(name="PPO, recommended", ppo=TUNED, batch_size=16),
    *(
        Contender(name=f"REINFORCE, rate {rate:g}", learning_rate=rate, batch_size=16)
        for rate in (3e-4, 1e-3, 3e-3)
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came out for one way to train."""

    name: str
    episodes: list[int | None] = field(default_factory=list)
    """Episodes until the goal, one a seed; None where it was not reached."""
    final: list[float] = field(default_factory=list)
    """Share of the best reward at the end, one a seed."""


def run(
    contenders: Iterable[Contender] = CONTENDERS,
    *,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    max_episodes: int = 8000,
    config: WorldConfig | None = None,
) -> list[Outcome]:
    """Train every contender in every seed's world.

    Args:
        contenders: The ways to train.
        seeds: Each makes a world, a network and a stream of samples.
        max_episodes: Where to give up.
        config: Sizes of the world.

    Returns:
        One outcome a contender.
    """
    outcomes = []
    for contender in contenders:
        outcome = Outcome(name=contender.name)
        for seed in seeds:
            reached, final = _train(contender, seed, max_episodes, config)
            outcome.episodes.append(reached)
            outcome.final.append(final)
        outcomes.append(outcome)
    return outcomes


def _train(
    contender: Contender, seed: int, max_episodes: int, config: WorldConfig | None
) -> tuple[int | None, float]:
    world = SyntheticWorld(seed, config)
    test = world.draw(_TEST_EPISODES)
    policy = world.new_policy(seed)
    generator = torch.Generator().manual_seed(seed)
    update = _updater(contender, policy, seed)
    share = 0.0
    for done in range(0, max_episodes, contender.batch_size):
        spans = world.draw(contender.batch_size)
        update(roll_out(policy, world, spans, generator, contender.redistribution))
        share = best_reward_of(policy, world, test) / BEST_REWARD
        if share >= GOAL:
            return done + contender.batch_size, share
    return None, share


def _updater(contender: Contender, policy: "torch.nn.Module", seed: int) -> Update:
    if contender.ppo is None:
        return Reinforce(policy, learning_rate=contender.learning_rate).update
    trainer = PPOTrainer(policy, contender.ppo, seed=seed)

    def update(episodes: Sequence[Sequence[RolloutStep]]) -> None:
        buffer = trainer.new_buffer()
        for episode in episodes:
            buffer.add(episode)
        trainer.update(buffer)

    return update
