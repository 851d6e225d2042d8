"""A plain peer to compare with: REINFORCE (Williams, 1992), one step at a time, one pass.

For each step the gradient of its log-probability is multiplied with what came after it, less the
running mean of all returns. No critic, no clipping, no second look at a step.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from langgraph_memskill.controller.distribution import joint_log_prob
from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.trainers.rollout import RolloutStep


class Reinforce:
    """A policy with its optimiser and the running mean of its returns."""

    def __init__(
        self, policy: SkillPolicy, *, learning_rate: float = 1e-3, discount: float = 0.99
    ) -> None:
        """Make the trainer.

        Args:
            policy: Trained in place.
            learning_rate: Of Adam.
            discount: Of later rewards.
        """
        self._policy = policy
        self._discount = discount
        self._optimizer = torch.optim.Adam(policy.parameters(), lr=learning_rate)
        self._sum, self._count = 0.0, 0

    def update(self, episodes: Sequence[Sequence[RolloutStep]]) -> None:
        """Take one gradient step for the episodes of one batch."""
        steps = [step for episode in episodes for step in episode]
        returns = [value for episode in episodes for value in self._returns(episode)]
        baseline = self._sum / self._count if self._count else float(np.mean(returns))
        self._sum += sum(returns)
        self._count += len(returns)
        states = torch.from_numpy(np.stack([step.state for step in steps]))
        skills = torch.from_numpy(steps[0].offer.embeddings)
        chosen = torch.tensor([step.chosen for step in steps])
        self._policy.train()
        log_probs = joint_log_prob(self._policy(states, skills).logits, chosen)
        loss: Tensor = -(log_probs * (torch.tensor(returns) - baseline)).mean()
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it bare
        self._optimizer.step()

    def _returns(self, episode: Sequence[RolloutStep]) -> list[float]:
        total = 0.0
        found = []
        for step in reversed(episode):
            total = step.reward + self._discount * total
            found.append(total)
        return found[::-1]
