"""A made-up world in which each span needs certain skills, so that the best reward is known.

There are kinds of spans ("somebody tells a date", say), and each kind needs K of the N skills. A
span is its kind's embedding with noise, and which skills a kind needs cannot be guessed from the
embeddings: it has to be learned from rewards. The reward of an episode is the share of the needed
skills that were picked, over all its spans, and comes at the end only: nobody says which pick
earned it. The best reward is 1, that of chance K / N.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from langgraph_memskill.controller.distribution import (
    gumbel_noise,
    joint_log_prob,
    perturbed_top_k,
    top_k,
)
from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.errors import ConfigError
from langgraph_memskill.trainers.returns import RedistributionConfig, redistribute
from langgraph_memskill.trainers.rollout import RolloutStep, SkillOffer

# Shapes: C kinds, N skills, K needed and picked skills, D embedding, E episodes, L spans of one.

BEST_REWARD = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldConfig:
    """How large and how noisy the world is."""

    num_kinds: int = 4
    num_skills: int = 9
    """N, at least `needed`."""
    needed: int = 3
    """K, skills that a span needs and that are picked for it."""
    embedding_dim: int = 16
    spans_per_episode: int = 4
    noise: float = 0.15
    """Standard deviation of each number of a span's embedding around its kind's (length 1)."""

    def __post_init__(self) -> None:
        """Check the sizes."""
        sizes = (self.num_kinds, self.needed, self.embedding_dim, self.spans_per_episode)
        if min(sizes) < 1 or self.num_skills < self.needed or self.noise < 0:
            raise ConfigError(
                f"{self!r}: all sizes must be at least 1, num_skills at least needed, and noise "
                "at least 0"
            )


class Spans(NamedTuple):
    """Spans of several episodes, all of one length."""

    kinds_EL: NDArray[np.int64]
    states_ELS: NDArray[np.float32]
    """What the controller sees: the span's embedding, and zeros for the memories; S = 2 D."""


class SyntheticWorld:
    """The world of one seed; another seed has other embeddings and other needs."""

    def __init__(self, seed: int, config: WorldConfig | None = None) -> None:
        """Make the world.

        Args:
            seed: Equal seeds give equal worlds.
            config: Sizes.
        """
        self.config = config or WorldConfig()
        self._generator = np.random.default_rng(seed)
        size = self.config
        self._kinds_CD = self._directions(size.num_kinds)
        self.needs_CK = np.stack(
            [
                self._generator.choice(size.num_skills, size.needed, replace=False)
                for _ in range(size.num_kinds)
            ]
        )
        self.offer = SkillOffer(
            names=tuple(f"skill_{number:02}" for number in range(size.num_skills)),
            embeddings=self._directions(size.num_skills),
            is_new=np.zeros(size.num_skills, dtype=np.bool_),
        )

    def new_policy(self, seed: int) -> SkillPolicy:
        """An untrained controller for this world."""
        dim = self.config.embedding_dim
        return SkillPolicy(state_dim=2 * dim, skill_dim=dim, hidden_dim=64, seed=seed)

    def draw(self, num_episodes: int) -> Spans:
        """Draw new episodes; the world's own generator moves on."""
        size = self.config
        shape = (num_episodes, size.spans_per_episode)
        kinds = self._generator.integers(size.num_kinds, size=shape)
        centres = self._kinds_CD[kinds]
        spans = centres + self._generator.normal(scale=size.noise, size=centres.shape)
        states = np.concatenate([spans, np.zeros_like(spans)], axis=-1).astype(np.float32)
        return Spans(kinds, states)

    def rewards(self, spans: Spans, chosen_ELK: NDArray[np.int64]) -> NDArray[np.float64]:
        """The reward of each episode, in [0, 1], float64 [E]."""
        needed_ELK = self.needs_CK[spans.kinds_EL]
        hits = (chosen_ELK[..., :, None] == needed_ELK[..., None, :]).any(-1)
        shares: NDArray[np.float64] = hits.mean(axis=(1, 2))
        return shares

    def _directions(self, count: int) -> NDArray[np.float32]:
        rows = self._generator.normal(size=(count, self.config.embedding_dim))
        unit: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(
            np.float32
        )
        return unit


@torch.no_grad()
def best_reward_of(policy: SkillPolicy, world: SyntheticWorld, spans: Spans) -> float:
    """Mean reward of the policy's best skills, without exploration."""
    logits = _scores(policy, world, spans).logits
    chosen = top_k(logits, world.config.needed)
    shape = (*spans.kinds_EL.shape, world.config.needed)
    return float(world.rewards(spans, chosen.reshape(shape).numpy()).mean())


@torch.no_grad()
def roll_out(
    policy: SkillPolicy,
    world: SyntheticWorld,
    spans: Spans,
    generator: torch.Generator,
    config: RedistributionConfig | None = None,
) -> list[list[RolloutStep]]:
    """Play the episodes with sampled skills; each one's reward is shared out over its steps.

    Args:
        policy: What samples.
        world: What rewards.
        spans: The episodes.
        generator: Of the sampling.
        config: How a reward reaches the steps; None is METHOD's way.

    Returns:
        The steps of each episode.
    """
    scores = _scores(policy, world, spans)
    noise = gumbel_noise(tuple(scores.logits.shape), generator)
    chosen = perturbed_top_k(scores.logits, noise, world.config.needed)
    log_probs = joint_log_prob(scores.logits, chosen)
    num_episodes, length = spans.kinds_EL.shape
    rewards = world.rewards(spans, chosen.reshape(num_episodes, length, -1).numpy())
    rows = zip(chosen.tolist(), log_probs.tolist(), scores.values.tolist(), strict=True)
    flat = list(rows)
    return [
        _steps(
            spans.states_ELS[number],
            world.offer,
            flat[number * length : (number + 1) * length],
            redistribute(float(reward), length, config).tolist(),
        )
        for number, reward in enumerate(rewards)
    ]


def _steps(
    states_LS: NDArray[np.float32],
    offer: SkillOffer,
    rows: Sequence[tuple[list[int], float, float]],
    rewards: Sequence[float],
) -> list[RolloutStep]:
    return [
        RolloutStep(
            state=state,
            offer=offer,
            chosen=tuple(chosen),
            log_prob=log_prob,
            value=value,
            reward=reward,
        )
        for state, (chosen, log_prob, value), reward in zip(states_LS, rows, rewards, strict=True)
    ]


class _Scores(NamedTuple):
    logits: torch.Tensor
    values: torch.Tensor


def _scores(policy: SkillPolicy, world: SyntheticWorld, spans: Spans) -> _Scores:
    policy.eval()
    states = torch.from_numpy(spans.states_ELS.reshape(-1, spans.states_ELS.shape[-1]))
    output = policy(states, torch.from_numpy(world.offer.embeddings))
    return _Scores(output.logits, output.values)
