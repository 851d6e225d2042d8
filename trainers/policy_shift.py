"""How far a policy is from the one whose choices were recorded.

Shapes: T steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.trainers.batches import make_batch
from langgraph_memskill.trainers.gradients import Evaluation
from langgraph_memskill.trainers.logged import LoggedStep, without_bias
from langgraph_memskill.trainers.ppo import evaluate

_STEPS_AT_ONCE = 1024
_LARGEST = 50.0
"""Log-ratios above it are all the same: hopelessly far, and no overflow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyShift:
    """The distance, by the choices that were drawn at random."""

    steps: int
    """All steps."""
    sampled_steps: int
    """Those whose choice was drawn; the others say nothing about the distance."""
    ess_share: float
    """Effective sample size of their importance weights as a share of them, in [0, 1]; 0 if there
    are none."""
    kl: float
    """Mean of r - 1 - ln r, an estimate of KL(recorded || policy) in nats; infinite if there are
    none."""


class Judgement:
    """What a policy says about recorded steps."""

    def __init__(
        self, policy: SkillPolicy, steps: Sequence[LoggedStep], *, with_bias: bool = True
    ) -> None:
        """Evaluate the choices, in batches and without gradient.

        Args:
            policy: On any device.
            steps: At least one.
            with_bias: Whether the exploration bonus counts that was in force at each step.
        """
        parts = [
            _evaluate(policy, steps[start : start + _STEPS_AT_ONCE], with_bias)
            for start in range(0, len(steps), _STEPS_AT_ONCE)
        ]
        self.log_probs = np.concatenate([part.log_probs_B.cpu().double() for part in parts])
        """float64 [T]."""
        self.values = np.concatenate([part.values_B.cpu().double() for part in parts])
        """float64 [T]."""
        self.logits: list[NDArray[np.float64]] = [
            row for part in parts for row in part.logits_BN.cpu().double().numpy()
        ]
        """T rows; -inf where a row is padded."""


def measure_shift(policy: SkillPolicy, steps: Sequence[LoggedStep]) -> PolicyShift:
    """Compare a policy with the recorded choices.

    Args:
        policy: On any device.
        steps: At least one.
    """
    drawn = [step for step in steps if step.sampled]
    if not drawn:
        return PolicyShift(steps=len(steps), sampled_steps=0, ess_share=0.0, kl=float("inf"))
    logged = np.array([step.log_prob for step in drawn])
    log_ratio = Judgement(policy, drawn).log_probs - logged
    return PolicyShift(
        steps=len(steps),
        sampled_steps=len(drawn),
        ess_share=effective_sample_size(log_ratio) / len(drawn),
        kl=float(np.mean(np.expm1(log_ratio.clip(max=_LARGEST)) - log_ratio)),
    )


def effective_sample_size(log_weights: NDArray[np.float64]) -> float:
    """(sum w)^2 / sum w^2 (Kish, 1965), in [1, T].

    Args:
        log_weights: [T], at least one finite.
    """
    weights = np.exp(log_weights - log_weights.max())
    return float(weights.sum() ** 2 / (weights**2).sum())


def _evaluate(policy: SkillPolicy, steps: Sequence[LoggedStep], with_bias: bool) -> Evaluation:
    rollout = [step.rollout() for step in steps]
    if not with_bias:
        # Steps that share an offer go on sharing one.
        plain = {id(step.offer): without_bias(step.offer) for step in steps}
        rollout = [replace(step, offer=plain[id(step.offer)]) for step in rollout]
    zeros = np.zeros(len(rollout))
    device = next(policy.parameters()).device
    with torch.inference_mode():
        batch = make_batch(rollout, returns=zeros, advantages=zeros, device=device)
        return evaluate(policy, batch)
