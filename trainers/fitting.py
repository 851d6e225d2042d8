"""Trains a controller on recorded episodes alone, by the method that their age allows.

The traces are fresh while the policy is about the one that made the choices: then the update is PPO
as it is. Once it has moved, PPO's loss is weighted by how much more likely the policy makes each
choice, truncated so that no step decides alone (V-trace's rule; Espeholt et al., 2018), and its
ratio is to the policy at the start of the round, not to the recorded one (Hilton et al., 2022).
Traces of quite another policy carry no such weights: they are learnt from by advantage-weighted
regression (Peng et al., 2019), which makes the choices more likely that went better than expected.
Episodes of a selector that always takes the best carry none either, and say nothing about what else
could have been chosen: they are left out if there are others, because beside drawn choices they
pull the policy to that selector (`benchmarks.learning.offline`, "half drawn").

Shapes: B steps of a minibatch, T steps.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.errors import ConfigError, TrainingError
from langgraph_memskill.ranges import check_above, check_at_least, check_count, check_share
from langgraph_memskill.trainers.batches import RolloutBatch, make_batch
from langgraph_memskill.trainers.gradients import EvaluationGradient, PolicyGradient
from langgraph_memskill.trainers.logged import LoggedEpisode, LoggedStep
from langgraph_memskill.trainers.policy_shift import Judgement, PolicyShift, measure_shift
from langgraph_memskill.trainers.ppo import PPOConfig, PPOTrainer, evaluate
from langgraph_memskill.trainers.returns import RedistributionConfig, gae, normalised, redistribute
from langgraph_memskill.trainers.rollout import RolloutBuffer

logger = logging.getLogger(__name__)


class FitMethod(StrEnum):
    """How a round learns."""

    PPO = "ppo"
    WEIGHTED_PPO = "weighted-ppo"
    """PPO with truncated importance weights."""
    AWR = "awr"
    """Advantage-weighted regression."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitConfig:
    """How a controller is fitted.

    Raises:
        ConfigError: If a value is out of its range.
    """

    method: FitMethod | None = None
    """None chooses by how far the policy is from the recorded one."""
    rounds: int = 20
    """Passes of the method at most, >= 1; PPO's have its own epochs."""
    ppo: PPOConfig = PPOConfig()
    """Of PPO; its learning rate, minibatches, entropy and value coefficients hold for AWR, too."""
    redistribution: RedistributionConfig = RedistributionConfig()
    fresh_kl: float = 0.02
    """KL up to which traces are fresh, > 0: PPO's own limit for one update."""
    fresh_ess: float = 0.9
    """Effective share of the steps from which traces are fresh, in [0, 1]."""
    least_ess: float = 0.3
    """Effective share below which importance weights are not used any more, in [0, 1]."""
    truncation: float = 2.0
    """Largest importance weight, >= 1."""
    temperature: float = 1.0
    """AWR's: advantages are divided by it before the exponential, > 0."""
    largest_weight: float = 20.0
    """AWR's largest weight, >= 1."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_count(self, 1, "rounds")
        check_above(self, 0.0, "fresh_kl", "temperature")
        check_share(self, "fresh_ess", "least_ess")
        check_at_least(self, 1.0, "truncation", "largest_weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRound:
    """One pass."""

    method: FitMethod
    shift: PolicyShift
    """Before the pass."""
    loss: float
    """Mean over its minibatches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitReport:
    """What fitting did."""

    episodes: int
    """Those that were learnt from."""
    left_out_episodes: int
    """Those with a choice that was not drawn, beside others without one."""
    steps: int
    mean_reward: float
    """Of the episodes as recorded."""
    reason: str
    """Why the first method was chosen, and why the rounds ended."""
    rounds: tuple[FitRound, ...]
    shift: PolicyShift
    """At the end."""


class MethodChoice(NamedTuple):
    """A method and why."""

    method: FitMethod
    reason: str


def choose_method(shift: PolicyShift, config: FitConfig) -> MethodChoice:
    """Choose by how far the policy is from the one whose choices were recorded."""
    numbers = f"{shift.ess_share:.0%} of the steps are effective, KL {shift.kl:.3f}"
    if config.method is not None:
        return MethodChoice(config.method, "it was asked for")
    if shift.sampled_steps < shift.steps:
        without = shift.steps - shift.sampled_steps
        return MethodChoice(
            FitMethod.AWR,
            f"{without} of {shift.steps} choices were not drawn but the best of their selector, so "
            "importance weights have no support",
        )
    if shift.ess_share >= config.fresh_ess and shift.kl <= config.fresh_kl:
        return MethodChoice(FitMethod.PPO, f"the traces are fresh: {numbers}")
    if shift.ess_share >= config.least_ess:
        return MethodChoice(FitMethod.WEIGHTED_PPO, f"the traces are stale: {numbers}")
    return MethodChoice(FitMethod.AWR, f"the traces are foreign: {numbers}")


def fit(
    policy: SkillPolicy,
    episodes: Sequence[LoggedEpisode],
    config: FitConfig | None = None,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    on_round: Callable[[FitRound], None] | None = None,
) -> FitReport:
    """Train a policy on recorded episodes.

    Every round measures anew how far the policy has moved. When PPO's weights have worn out, the
    rounds end: these traces can say no more about so different a policy.

    Args:
        policy: Trained in place.
        episodes: What to learn from.
        config: How.
        seed: Of the order of the steps.
        device: Where to.
        on_round: Called after every round.

    Raises:
        ConfigError: If there is no episode, or PPO is asked for and no episode's choices were
            drawn.
        TrainingError: If the numbers grow out of range; the policy is of no use then.
    """
    config = config or FitConfig()
    if not episodes:
        raise ConfigError("there is no episode to learn from")
    drawn = [episode for episode in episodes if episode.sampled]
    # Who asks for regression gets it on everything.
    used = drawn if drawn and config.method is not FitMethod.AWR else episodes
    job = _Fit(policy, used, config, seed, device)
    first = measure_shift(policy, job.steps)
    choice = choose_method(first, config)
    if choice.method is not FitMethod.AWR and not drawn:
        raise ConfigError(
            f"method={choice.method.value!r} needs choices that were drawn at random, and none of "
            f"{len(job.steps)} was: use 'awr'"
        )
    rounds: list[FitRound] = []
    ended = "all rounds were made"
    shift, method = first, choice.method
    for _ in range(config.rounds):
        if rounds and method is not FitMethod.AWR:
            if shift.ess_share < config.least_ess:
                ended = (
                    f"the policy has moved as far as these traces can judge "
                    f"({shift.ess_share:.0%} of the steps are effective)"
                )
                break
            method = choose_method(shift, config).method
        rounds.append(FitRound(method=method, shift=shift, loss=job.run(method)))
        shift = measure_shift(policy, job.steps)
        if on_round is not None:
            on_round(rounds[-1])
    left_out = len(episodes) - len(used)
    beside = (
        f"; {left_out} of {len(episodes)} episodes are left out, because choices in them were not "
        "drawn"
        if left_out
        else ""
    )
    return FitReport(
        episodes=len(used),
        left_out_episodes=left_out,
        steps=len(job.steps),
        mean_reward=float(np.mean([episode.reward for episode in used])),
        reason=f"{choice.method}: {choice.reason}{beside}; {ended}",
        rounds=tuple(rounds),
        shift=shift,
    )


class _Fit:
    """The steps and the optimiser of one fitting."""

    def __init__(
        self,
        policy: SkillPolicy,
        episodes: Sequence[LoggedEpisode],
        config: FitConfig,
        seed: int,
        device: torch.device | str,
    ) -> None:
        self.steps: list[LoggedStep] = [step for e in episodes for step in e.steps]
        self._config = config
        self._episodes = episodes
        self._rewards = np.concatenate(
            [_step_rewards(episode, config.redistribution) for episode in episodes]
        )
        self._trainer = _WeightedTrainer(policy, config, seed=seed, device=device)

    def run(self, method: FitMethod) -> float:
        """One round; returns the mean loss."""
        values = Judgement(self._trainer.policy, self.steps).values
        if method is FitMethod.AWR:
            return self._regress(values)
        self._trainer.weighted = method is FitMethod.WEIGHTED_PPO
        return self._trainer.update(self._buffer(values)).loss

    def _regress(self, values: NDArray[np.float64]) -> float:
        config, trainer = self._config, self._trainer
        buffer = self._buffer(values)
        found = gae(
            self._rewards,
            values,
            buffer.is_last,
            discount=config.ppo.discount,
            gae_lambda=config.ppo.gae_lambda,
        )
        scaled = normalised(found.advantages) / config.temperature
        weights = np.minimum(np.exp(scaled.clip(max=50)), config.largest_weight)
        batch = make_batch(
            list(buffer), returns=found.returns, advantages=weights, device=trainer.device
        )
        order = trainer.epoch_order(len(self.steps)).to(trainer.device)
        gradient = PolicyGradient(trainer.policy)
        parts = batch.rows(order).split(config.ppo.minibatch_size or len(order))
        return float(np.mean([self._regression_step(part, gradient) for part in parts]))

    def _buffer(self, values: NDArray[np.float64]) -> RolloutBuffer:
        buffer = self._trainer.new_buffer()
        place = 0
        for episode in self._episodes:
            rows = range(place, place + len(episode.steps))
            taken = buffer.add(
                [
                    step.rollout(value=float(values[row]), reward=float(self._rewards[row]))
                    for step, row in zip(episode.steps, rows, strict=True)
                ]
            )
            if not taken:
                raise TrainingError(
                    f"episode {episode.id!r} cannot be learnt from: a number in it is out of range"
                )
            place += len(episode.steps)
        return buffer

    def _regression_step(self, batch: RolloutBatch, gradient: PolicyGradient) -> float:
        """One gradient of AWR; the batch's advantages are its weights."""
        config = self._config.ppo
        found = gradient.forward(batch)
        error_B = found.values_B - batch.returns_B
        each = 1 / len(error_B)
        gradient.backward(
            EvaluationGradient(
                log_probs_B=-each * batch.advantages_B,
                values_B=config.value_coefficient * each * error_B,
                entropy_B=torch.full_like(error_B, -config.entropy_coefficient * each),
            )
        )
        norm = gradient.clip(config.max_gradient_norm)
        if not torch.isfinite(norm):
            raise TrainingError(
                f"the gradient's length is {norm.item()!r}: fit with a lower learning_rate"
            )
        self._trainer.optimizer.step()
        loss = (
            -(batch.advantages_B * found.log_probs_B).mean()
            + config.value_coefficient * 0.5 * error_B.square().mean()
            - config.entropy_coefficient * found.entropy_B.mean()
        )
        return float(loss)


class _WeightedTrainer(PPOTrainer):
    """PPO whose steps may be weighted by how likely the present policy makes them."""

    def __init__(
        self, policy: SkillPolicy, config: FitConfig, *, seed: int, device: torch.device | str
    ) -> None:
        super().__init__(policy, config.ppo, seed=seed, device=device)
        self.weighted = False
        self._truncation = config.truncation

    def batch_of(self, buffer: RolloutBuffer) -> RolloutBatch:
        batch = super().batch_of(buffer)
        if not self.weighted:
            return batch
        with torch.no_grad():
            present_B = evaluate(self.policy, batch).log_probs_B
        weight_B = (present_B - batch.log_probs_B).exp().clamp(max=self._truncation)
        # A weight is never negative, so the clipped loss of the weighted advantage is the weighted
        # clipped loss.
        return batch._replace(log_probs_B=present_B, advantages_B=batch.advantages_B * weight_B)


def _step_rewards(episode: LoggedEpisode, config: RedistributionConfig) -> NDArray[np.float64]:
    own = np.array([step.process_reward for step in episode.steps])
    total: NDArray[np.float64] = own + redistribute(episode.reward, len(own), config)
    return total
