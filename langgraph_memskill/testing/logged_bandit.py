"""A made-up world whose true values are known, and episodes that a policy recorded in it.

Every state belongs to one of two kinds. A step is worth the mean over its picked skills of what
they are worth to its kind; an episode's reward is the mean over its steps, with noise.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from langgraph_memskill.controller.distribution import joint_log_prob, perturbed_top_k
from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.trainers.logged import LoggedEpisode, LoggedStep
from langgraph_memskill.trainers.rollout import SkillOffer

WIDTH = 6
"""Of the embeddings."""
WORTH = np.array([[0.9, 0.3, 0.1, 0.5], [0.1, 0.4, 0.8, 0.2]])
"""Of four skills, to the two kinds of states."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedBandit:
    """The world: how long its episodes are and how many skills a step picks."""

    k: int = 1
    length: int = 1
    noise: float = 0.1
    """Deviation of an episode's reward."""
    spread: float = 1.0
    """Deviation of a random policy's logits in a state; a fresh network is almost uniform."""

    @property
    def offer(self) -> SkillOffer:
        """The four skills."""
        embeddings = np.random.default_rng(1).normal(size=(4, WIDTH)).astype(np.float32)
        return SkillOffer(
            names=("a", "b", "c", "d"), embeddings=embeddings, is_new=np.zeros(4, bool)
        )

    def policy(self, seed: int) -> SkillPolicy:
        """A policy of random weights."""
        policy = SkillPolicy(state_dim=2 * WIDTH, skill_dim=WIDTH, hidden_dim=16, seed=seed)
        with torch.no_grad():
            scale = self.spread / self._logits(policy).std(dim=1).mean().float()
            policy.actor_head.get_parameter("2.weight").mul_(scale)
        return policy

    @property
    def states(self) -> NDArray[np.float32]:
        """Six states, three of each kind, [6, 2 WIDTH]."""
        states = np.random.default_rng(2).normal(scale=0.5, size=(6, 2 * WIDTH))
        states[:3, 0] += 2
        states[3:, 0] -= 2
        return states.astype(np.float32)

    def value(self, policy: SkillPolicy) -> float:
        """The expected reward of a policy, by going through every choice."""
        choices = torch.tensor(list(itertools.permutations(range(4), self.k)))
        total = 0.0
        for number, logits in enumerate(self._logits(policy)):
            log_probs = joint_log_prob(logits.expand(len(choices), -1), choices)
            worth = torch.from_numpy(WORTH[number // 3])[choices].mean(dim=1)
            total += float((log_probs.exp() * worth).sum())
        return total / 6

    def record(
        self, policy: SkillPolicy, episodes: int, *, seed: int = 0, sampled: bool = True
    ) -> list[LoggedEpisode]:
        """Record episodes of a policy.

        Args:
            policy: What chooses.
            episodes: How many.
            seed: Of states, choices and noise.
            sampled: Whether it draws its choices; otherwise it takes the best.
        """
        chance = np.random.default_rng(seed)
        logits, offer, states = self._logits(policy), self.offer, self.states
        numbers = chance.integers(0, 6, size=(episodes, self.length))
        gumbel = chance.gumbel(size=(episodes, self.length, 4)) * sampled
        chosen = perturbed_top_k(logits[numbers], torch.from_numpy(gumbel), self.k)
        log_probs = joint_log_prob(logits[numbers], chosen).numpy()
        found = []
        for row in range(episodes):
            steps = tuple(
                LoggedStep(
                    state=states[numbers[row, place]],
                    offer=offer,
                    chosen=tuple(chosen[row, place].tolist()),
                    log_prob=float(log_probs[row, place]),
                    sampled=sampled,
                    process_reward=0.0,
                )
                for place in range(self.length)
            )
            worth = [
                WORTH[number // 3][list(step.chosen)].mean()
                for number, step in zip(numbers[row], steps, strict=True)
            ]
            reward = float(np.mean(worth) + self.noise * chance.normal())
            found.append(LoggedEpisode(id=f"{seed}-{row:05d}", steps=steps, reward=reward))
        return found

    def _logits(self, policy: SkillPolicy) -> torch.Tensor:
        """Of the six states, float64 [6, 4]."""
        with torch.no_grad():
            states, skills = torch.from_numpy(self.states), torch.from_numpy(self.offer.embeddings)
            logits: torch.Tensor = policy(states, skills).logits.double()
        return logits
