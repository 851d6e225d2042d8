"""Proximal policy optimisation of the controller (Schulman et al., 2017; METHOD, "Reward").

The choice of a step is an ordered draw of K skills without replacement, so its ratio is that of the
joint log-probabilities. Everything else is PPO as published:

    loss = policy + value_coefficient * value - entropy_coefficient * entropy
    policy = -mean min(r A, clip(r, 1 - clip, 1 + clip) A),  r = exp(new - old log-probability)
    value = mean (V - R)^2 / 2,  or the larger of it and the one with V clipped around its old value

`ppo_loss` says this; `ppo_gradient` differentiates it by what the policy says, and `gradients.py`
takes that back to the weights.

Shapes: B steps of a minibatch, N most candidates of a step.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from langgraph_memskill.controller.distribution import entropy, log_prob_of
from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.errors import TrainingError
from langgraph_memskill.ranges import (
    check_above,
    check_at_least,
    check_count,
    check_share,
)
from langgraph_memskill.trainers.batches import RolloutBatch, make_batch
from langgraph_memskill.trainers.devices import usable_device
from langgraph_memskill.trainers.gradients import Evaluation, EvaluationGradient, PolicyGradient
from langgraph_memskill.trainers.returns import gae, normalised
from langgraph_memskill.trainers.rollout import RolloutBuffer
from langgraph_memskill.trainers.update_metrics import MinibatchRecord, UpdateMetrics, summarise


@dataclass(frozen=True, slots=True, kw_only=True)
class PPOConfig:
    """METHOD's numbers.

    Raises:
        ConfigError: If a value is out of its range.
    """

    learning_rate: float = 1e-4
    """Of Adam, > 0."""
    epochs: int = 4
    """Passes over the steps in one update (METHOD: 2 to 4), >= 1."""
    minibatch_size: int = 32
    """Steps of one gradient, >= 0; 0 takes all at once."""
    discount: float = 0.99
    """Of later rewards, in [0, 1]."""
    gae_lambda: float = 0.95
    """In [0, 1]."""
    clip: float = 0.2
    """How far a ratio may move the policy loss, > 0."""
    value_clip: float = 0.0
    """How far a value may move from its old one, >= 0; 0 sets no bound."""
    value_coefficient: float = 0.5
    entropy_coefficient: float = 0.01
    """Above 0 the loss rewards entropy."""
    max_gradient_norm: float = 0.5
    """Gradients are scaled down to this length, > 0."""
    target_kl: float = 0.02
    """No further epoch once an epoch's mean KL estimate is above it, >= 0; 0 never stops."""
    normalise_advantages: bool = True
    """Whether advantages get mean 0 and deviation 1 over the whole buffer."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_above(self, 0.0, "learning_rate", "clip", "max_gradient_norm")
        check_count(self, 1, "epochs")
        check_count(self, 0, "minibatch_size")
        check_share(self, "discount", "gae_lambda")
        check_at_least(self, 0.0, "value_clip", "value_coefficient", "target_kl")
        check_at_least(self, -1.0, "entropy_coefficient")


class PPOLoss(NamedTuple):
    """The loss of a minibatch and its parts, each a scalar with gradient."""

    total: Tensor
    policy: Tensor
    value: Tensor
    entropy: Tensor
    """The mean, before its coefficient."""


def evaluate(policy: SkillPolicy, batch: RolloutBatch) -> Evaluation:
    """Evaluate the batch's choices under the policy as it is now."""
    logits_BN, values_B = policy(
        batch.states_BS, batch.skills_MD, batch.is_skill_BN, batch.candidates_BN
    )
    logits_BN = batch.biased(logits_BN)
    log_probs_B = log_prob_of(logits_BN, batch.draws)
    return Evaluation(logits_BN, log_probs_B, values_B, entropy(logits_BN))


def ppo_loss(evaluation: Evaluation, batch: RolloutBatch, config: PPOConfig) -> PPOLoss:
    """The clipped loss of a minibatch; see the head of this module."""
    ratio_B = torch.exp(evaluation.log_probs_B - batch.log_probs_B)
    clipped_B = ratio_B.clamp(1 - config.clip, 1 + config.clip)
    policy = -torch.minimum(ratio_B * batch.advantages_B, clipped_B * batch.advantages_B).mean()
    # Half of the squared error here, and half of that again by the coefficient (QUIRK 5, kept).
    value = 0.5 * _value_error(evaluation.values_B, batch, config).mean()
    mean_entropy = evaluation.entropy_B.mean()
    total = policy + config.value_coefficient * value - config.entropy_coefficient * mean_entropy
    return PPOLoss(total, policy, value, mean_entropy)


def ppo_gradient(
    evaluation: Evaluation, batch: RolloutBatch, config: PPOConfig
) -> EvaluationGradient:
    """The derivatives of `ppo_loss` by what the policy says.

    A step whose ratio has left the clip, with an advantage that would have it go further, moves
    nothing; d(r A) / d log-probability is r A everywhere else.
    """
    num_steps = len(evaluation.log_probs_B)
    ratio_B = torch.exp(evaluation.log_probs_B - batch.log_probs_B)
    gain_B = ratio_B * batch.advantages_B
    clipped_B = ratio_B.clamp(1 - config.clip, 1 + config.clip) * batch.advantages_B
    d_log_probs_B = gain_B.masked_fill_(gain_B > clipped_B, 0).div_(-num_steps)
    d_values_B = (evaluation.values_B - batch.returns_B) * (config.value_coefficient / num_steps)
    if config.value_clip > 0:
        is_near_B = (evaluation.values_B - batch.values_B).abs() <= config.value_clip
        own_B = (evaluation.values_B - batch.returns_B).square()
        is_own_B = own_B >= _value_error(evaluation.values_B, batch, config)
        d_values_B = d_values_B * (is_near_B | is_own_B)
    d_entropy_B = torch.full_like(d_values_B, -config.entropy_coefficient / num_steps)
    return EvaluationGradient(d_log_probs_B, d_values_B, d_entropy_B)


def _value_error(values_B: Tensor, batch: RolloutBatch, config: PPOConfig) -> Tensor:
    error_B = (values_B - batch.returns_B).square()
    if config.value_clip <= 0:
        return error_B
    moved_B = (values_B - batch.values_B).clamp(-config.value_clip, config.value_clip)
    return torch.maximum(error_B, (batch.values_B + moved_B - batch.returns_B).square())


class PPOTrainer:
    """A policy with its optimiser and its source of randomness."""

    def __init__(
        self,
        policy: SkillPolicy,
        config: PPOConfig | None = None,
        *,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        """Make the trainer.

        Args:
            policy: Trained in place; it is moved to `device`.
            config: The numbers; None takes METHOD's.
            seed: Of the order of the steps. Equal seeds, policies and rollouts give equal weights
                on one kind of machine.
            device: "cpu", "cuda", "cuda:1" ...

        Raises:
            ConfigError: If the device cannot be used here.
        """
        self.config = config or PPOConfig()
        self.device = usable_device(device)
        self.policy = policy.to(self.device)
        self.optimizer = torch.optim.Adam(
            self.policy.parameters(), lr=self.config.learning_rate, fused=True
        )
        # The order is drawn on the CPU, so that a GPU sees the same minibatches.
        self.generator = torch.Generator().manual_seed(seed)

    def new_buffer(self) -> RolloutBuffer:
        """An empty buffer for this policy's rollouts."""
        return RolloutBuffer(self.policy.state_dim, self.policy.skill_dim)

    def epoch_order(self, num_steps: int) -> Tensor:
        """The order in which the next epoch sees the steps, int64 [num_steps]."""
        return torch.randperm(num_steps, generator=self.generator)

    def update(self, buffer: RolloutBuffer) -> UpdateMetrics:
        """Improve the policy with the buffer's steps: one PPO update.

        Args:
            buffer: Rollouts of the policy as it is now. It is left as it is.

        Returns:
            What happened; for an empty buffer nothing is changed and `skipped` says so.

        Raises:
            TrainingError: If the gradient is not finite. The policy may have changed by then: go
                back to the last checkpoint.
        """
        if len(buffer) == 0:
            return summarise([], None, buffer)
        batch = self.batch_of(buffer)
        epochs: list[list[MinibatchRecord]] = []
        gradient = PolicyGradient(self.policy)
        for _ in range(self.config.epochs):
            epochs.append(self._epoch(batch, gradient))
            mean_kl = torch.stack([record.approx_kl for record in epochs[-1]]).mean().item()
            # The signed estimate, averaged over minibatches (QUIRK 6, kept).
            if self.config.target_kl > 0 and mean_kl > self.config.target_kl:
                break
        return summarise(
            epochs,
            batch,
            buffer,
            clip=self.config.clip,
            planned_epochs=self.config.epochs,
        )

    def batch_of(self, buffer: RolloutBuffer) -> RolloutBatch:
        """The buffer as tensors, with returns and advantages."""
        steps = list(buffer)
        estimated = gae(
            [step.reward for step in steps],
            [step.value for step in steps],
            buffer.is_last,
            discount=self.config.discount,
            gae_lambda=self.config.gae_lambda,
        )
        advantages = estimated.advantages
        if self.config.normalise_advantages:
            advantages = normalised(advantages)
        return make_batch(
            steps, returns=estimated.returns, advantages=advantages, device=self.device
        )

    def _epoch(self, batch: RolloutBatch, gradient: PolicyGradient) -> list[MinibatchRecord]:
        order = self.epoch_order(len(batch.states_BS)).to(self.device)
        size = self.config.minibatch_size or len(order)
        parts = zip(batch.rows(order).split(size), torch.split(order, size), strict=True)
        records = [self._minibatch(part, rows, gradient) for part, rows in parts]
        norms = torch.stack([record.gradient_norm for record in records])
        if not torch.isfinite(norms).all():
            raise TrainingError(
                f"the gradient's length reached {norms.max().item()!r}: the policy's outputs or "
                "the rewards have grown out of range. Go back to the last checkpoint with a lower "
                "learning_rate"
            )
        return records

    def _minibatch(
        self, batch: RolloutBatch, rows: Tensor, gradient: PolicyGradient
    ) -> MinibatchRecord:
        evaluation = gradient.forward(batch)
        gradient.backward(ppo_gradient(evaluation, batch, self.config))
        norm = gradient.clip(self.config.max_gradient_norm)
        self.optimizer.step()
        loss = ppo_loss(evaluation, batch, self.config)
        return MinibatchRecord(
            rows=rows,
            total=loss.total,
            policy=loss.policy,
            value=loss.value,
            approx_kl=(batch.log_probs_B - evaluation.log_probs_B).mean(),
            gradient_norm=norm,
            logits=evaluation.logits_BN,
            log_probs=evaluation.log_probs_B,
            values=evaluation.values_B,
            entropy=evaluation.entropy_B,
        )
