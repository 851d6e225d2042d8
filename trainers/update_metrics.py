"""What an update of the policy did, in numbers for people and for graphs.

Shapes: B steps of one pass over (a part of) the buffer, N most candidates of a step.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from langgraph_memskill.controller.distribution import NO_CHOICE, choice_statistics
from langgraph_memskill.trainers.batches import RolloutBatch
from langgraph_memskill.trainers.rollout import RolloutBuffer

_EPSILON = 1e-8


class MinibatchRecord(NamedTuple):
    """What one gradient step saw, before it changed the weights; tensors without gradient."""

    rows: Tensor
    """Which steps of the buffer, int64 [B]."""
    total: Tensor
    policy: Tensor
    value: Tensor
    approx_kl: Tensor
    gradient_norm: Tensor
    """Before it was scaled down."""
    logits: Tensor
    """[B, N]."""
    log_probs: Tensor
    """[B]."""
    values: Tensor
    """[B]."""
    entropy: Tensor
    """[B]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMeans:
    """Means over steps, each taken when its minibatch was evaluated."""

    steps: int
    entropy: float
    """Of one draw, in nats."""
    choice_entropy: float
    """Among the chosen skills, in nats."""
    choice_mass: float
    """Total probability of the chosen skills."""
    choice_binary_entropy: float
    """Of "chosen or not", in nats."""
    approx_kl: float
    """Mean of old minus new log-probability: METHOD's estimate, which can be negative."""
    kl: float
    """Mean of r - 1 - ln r: an estimate of the same divergence that is never negative."""
    clip_fraction: float
    """Share of steps whose ratio is outside of the clip."""
    explained_variance: float | None
    """1 - var(R - V) / var(R); 1 is a perfect critic. None for a single step (QUIRK 7)."""
    value: float
    value_return: float
    """The return that the critic should have said."""
    advantage: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateMetrics:
    """One update of the policy."""

    skipped: bool = False
    """Whether nothing was done because there was no step to learn from."""
    steps: int = 0
    """In the buffer."""
    episodes: int = 0
    skipped_episodes: int = 0
    """Episodes that the buffer refused."""
    epochs: int = 0
    """Passes that were made."""
    stopped_early: bool = False
    """Whether the KL estimate ended the update before its last epoch."""
    minibatches: int = 0
    loss: float = 0.0
    policy_loss: float = 0.0
    value_loss: float = 0.0
    gradient_norm: float = 0.0
    """Before it was scaled down; losses and this are means over minibatches."""
    means: StepMeans | None = None
    """Over all steps of all passes; None if skipped."""
    last_epoch: StepMeans | None = None
    """Over the steps of the last pass; None if skipped."""
    skill_usage: dict[str, float] = field(default_factory=dict)
    """Share of the steps that picked a skill, by name; skills that nobody picked are left out."""


def summarise(
    epochs: Sequence[Sequence[MinibatchRecord]],
    batch: RolloutBatch | None,
    buffer: RolloutBuffer,
    *,
    clip: float = 0.2,
    planned_epochs: int | None = None,
) -> UpdateMetrics:
    """Put an update's records together.

    Args:
        epochs: The minibatches of every pass; none if the update was skipped.
        batch: All steps of the buffer.
        buffer: Where they came from.
        clip: Of the ratio.
        planned_epochs: Passes that were asked for.
    """
    records = [record for epoch in epochs for record in epoch]
    if not records or batch is None:
        return UpdateMetrics(skipped=True, skipped_episodes=buffer.skipped_episodes)
    means = {
        name: torch.stack([getattr(record, name) for record in records]).mean().item()
        for name in ("total", "policy", "value", "gradient_norm")
    }
    return UpdateMetrics(
        steps=len(buffer),
        episodes=buffer.num_episodes,
        skipped_episodes=buffer.skipped_episodes,
        epochs=len(epochs),
        stopped_early=planned_epochs is not None and len(epochs) < planned_epochs,
        minibatches=len(records),
        loss=means["total"],
        policy_loss=means["policy"],
        value_loss=means["value"],
        gradient_norm=means["gradient_norm"],
        means=step_means(records, batch, clip=clip),
        last_epoch=step_means(epochs[-1], batch, clip=clip),
        skill_usage=skill_usage(buffer),
    )


def step_means(
    records: Sequence[MinibatchRecord], batch: RolloutBatch, *, clip: float
) -> StepMeans:
    """Means over all steps of some minibatches, computed in one go.

    Args:
        records: At least one.
        batch: The whole buffer that their rows are of.
        clip: Of the ratio.
    """
    rows = torch.cat([record.rows for record in records])
    log_ratio = torch.cat([record.log_probs for record in records]) - batch.log_probs_B[rows]
    values = torch.cat([record.values for record in records])
    returns = batch.returns_B[rows]
    draws = batch.draws.rows(rows)
    chosen = draws.indices.masked_fill(~draws.is_drawn, NO_CHOICE)
    logits = torch.cat([record.logits for record in records])
    choice = choice_statistics(logits, chosen)
    ratio = log_ratio.exp()
    columns = {
        "entropy": torch.cat([record.entropy for record in records]),
        "choice_entropy": choice.entropy,
        "choice_mass": choice.mass,
        "choice_binary_entropy": choice.binary_entropy,
        "approx_kl": -log_ratio,
        "kl": ratio - 1 - log_ratio,
        "clip_fraction": ((ratio - 1).abs() > clip).float(),
        "value": values,
        "value_return": returns,
        "advantage": batch.advantages_B[rows],
    }
    found = torch.stack(list(columns.values())).mean(dim=1).tolist()
    explained = None
    if len(rows) > 1:
        explained = (1 - (returns - values).var() / (returns.var() + _EPSILON)).item()
    return StepMeans(
        steps=len(rows), explained_variance=explained, **dict(zip(columns, found, strict=True))
    )


def skill_usage(buffer: RolloutBuffer) -> dict[str, float]:
    """Share of the steps that picked each skill, most picked first."""
    counts = Counter(step.offer.names[index] for step in buffer for index in step.chosen)
    return {name: count / len(buffer) for name, count in counts.most_common()}
