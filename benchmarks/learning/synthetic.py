"""How many episodes until a controller earns 90% of the best reward of the synthetic world.

    python -m langgraph_memskill.benchmarks.learning.synthetic

prints a table, and with `--json` the numbers. PPO is this package's trainer with METHOD's numbers
and with the ones recommended here; the peer is plain per-step REINFORCE with several learning
rates. All get the same worlds, networks and streams of spans.
"""

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field

import torch

from langgraph_memskill.benchmarks.learning.reinforce import Reinforce
from langgraph_memskill.benchmarks.learning.synthetic_world import (
    BEST_REWARD,
    SyntheticWorld,
    WorldConfig,
    best_reward_of,
    roll_out,
)
from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.trainers.ppo import PPOConfig, PPOTrainer
from langgraph_memskill.trainers.returns import RedistributionConfig
from langgraph_memskill.trainers.rollout import RolloutStep

Update = Callable[[Sequence[Sequence[RolloutStep]]], object]

GOAL = 0.9
"""Share of the best reward at which a controller counts as trained."""
RECOMMENDED = PPOConfig(
    learning_rate=3e-3,
    epochs=10,
    minibatch_size=64,
    discount=1.0,
    gae_lambda=1.0,
    entropy_coefficient=0.1,
    target_kl=0.0,
)
"""For short episodes with a reward at their end: every step is credited with the whole episode,
more entropy keeps the policy from settling on skills that suit no span in particular, and the clip
alone bounds an update."""
_TEST_EPISODES = 64
_AT_THE_END = RedistributionConfig(enabled=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One way to train."""

    name: str
    ppo: PPOConfig | None = None
    """None is the peer."""
    learning_rate: float = 1e-3
    """Of the peer."""
    redistribution: RedistributionConfig = _AT_THE_END
    """How an episode's reward reaches its steps."""
    batch_size: int = 32
    """Episodes an update."""


CONTENDERS = (
    Contender(name="PPO, recommended here", ppo=RECOMMENDED),
    Contender(
        name="PPO, METHOD's numbers",
        ppo=PPOConfig(),
        redistribution=RedistributionConfig(),
        batch_size=16,
    ),
    *(
        Contender(name=f"REINFORCE, learning rate {rate:g}", learning_rate=rate)
        for rate in (1e-3, 3e-3, 1e-2)
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
    max_episodes: int = 3000,
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


def _updater(contender: Contender, policy: SkillPolicy, seed: int) -> Update:
    if contender.ppo is None:
        return Reinforce(policy, learning_rate=contender.learning_rate).update
    trainer = PPOTrainer(policy, contender.ppo, seed=seed)

    def update(episodes: Sequence[Sequence[RolloutStep]]) -> None:
        buffer = trainer.new_buffer()
        for episode in episodes:
            buffer.add(episode)
        trainer.update(buffer)

    return update


def table(outcomes: Iterable[Outcome]) -> str:
    """The outcomes for people, one line a way to train."""
    lines = [f"{'':32} episodes until {GOAL:.0%} of the best, a seed   share at the end"]
    for outcome in outcomes:
        reached = " ".join(f"{count or '-':>6}" for count in outcome.episodes)
        final = sum(outcome.final) / len(outcome.final)
        lines.append(f"{outcome.name:32} {reached:44} {final:.3f}")
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark and print what came out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--max-episodes", type=int, default=3000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    outcomes = run(seeds=range(options.seeds), max_episodes=options.max_episodes)
    print(json.dumps([asdict(o) for o in outcomes]) if options.json else table(outcomes))


if __name__ == "__main__":
    main()
