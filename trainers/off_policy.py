"""What a controller would have scored on episodes that another one has recorded.

Two estimates, each with a bootstrap interval over episodes, which are the independent units:

    weighted importance sampling:  sum_i w_i R_i / sum_i w_i
    weighted doubly robust:        sum_i sum_t [ w_it r_it - (w_it Q_it - w_i,t-1 V_it) ]

w_it is the product of pi(choice) / mu(choice) over the steps up to t, divided by its sum over the
episodes; r_it is the final reward at an episode's last step and 0 before; Q and V are a model's
predictions of it for the choice made and on average over the controller's choices (Precup et al.,
2000; Jiang and Li, 2016; Thomas and Brunskill, 2016). Intervals are percentile intervals of a level
that is raised as few effective episodes demand (Hesterberg, 2015): plain ones, and bias-corrected
ones still more, are too narrow when a few episodes hold most of the weight
(`benchmarks.learning.offline`). The controller is judged as one that draws
its skills: where it is sure it draws what it would pick.

Shapes: E episodes, L steps of the longest one, T steps altogether, R resamples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from langgraph_memskill.controller.distribution import gumbel_noise, perturbed_top_k
from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.errors import ConfigError, TraceError
from langgraph_memskill.ranges import check_above, check_count
from langgraph_memskill.trainers.logged import LoggedEpisode
from langgraph_memskill.trainers.outcome_model import SkillIndex, StepTable, cross_fitted
from langgraph_memskill.trainers.policy_shift import Judgement, effective_sample_size

Matrix = NDArray[np.float64]

MIN_EPISODES = 10
"""Fewer episodes give no interval worth the name."""

_NUMBERS_AT_ONCE = 4_000_000
_HIGHEST_LEVEL = 1 - 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationConfig:
    """How the estimates are made.

    Raises:
        ConfigError: If a value is out of its range.
    """

    resamples: int = 2000
    """Of the bootstrap, >= 100."""
    confidence: float = 0.95
    """Of the intervals, in (0, 1)."""
    draws: int = 256
    """Choices that are drawn at each step to find how likely each skill is picked, >= 1."""
    folds: int = 5
    """Of the cross-fitted outcome model, >= 2."""
    min_ess: float = 10.0
    """Effective episodes that a verdict takes at least, > 0."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_count(self, 100, "resamples")
        check_count(self, 1, "draws")
        check_count(self, 2, "folds")
        check_count(self, 0, "seed")
        check_above(self, 0.0, "min_ess")
        if not 0 < self.confidence < 1:
            raise ConfigError(f"confidence={self.confidence!r} must be between 0 and 1")


class Estimate(NamedTuple):
    """A number with its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyEvaluation:
    """What a controller would have scored."""

    episodes: int
    """Episodes that were used."""
    steps: int
    unsampled_episodes: int
    """Episodes that were left out because a choice in them was not drawn: they cannot say what
    another choice would have brought."""
    logged: Estimate
    """Mean reward of the episodes as they were."""
    weighted_importance_sampling: Estimate
    doubly_robust: Estimate
    ess: float
    """Effective number of episodes behind the estimates, in [1, episodes]."""
    confidence: float
    min_ess: float

    @property
    def objection(self) -> str | None:
        """Why the controller has not been shown to be better; None if it has."""
        if self.ess < self.min_ess:
            return (
                f"only {self.ess:.1f} of {self.episodes} episodes are effective, and "
                f"{self.min_ess:g} are needed: record more, or fit in smaller steps"
            )
        if self.doubly_robust.low <= self.logged.value:
            return (
                f"its lower bound {self.doubly_robust.low:.3f} is not above the recorded mean "
                f"{self.logged.value:.3f}"
            )
        return None


def evaluate_policy(
    policy: SkillPolicy,
    episodes: Sequence[LoggedEpisode],
    config: EvaluationConfig | None = None,
) -> PolicyEvaluation:
    """Estimate what a controller would have scored.

    Args:
        policy: The controller's network.
        episodes: Recorded episodes that it was not trained on.
        config: How.

    Raises:
        TraceError: If fewer than `MIN_EPISODES` episodes were recorded with drawn choices.
    """
    config = config or EvaluationConfig()
    used = [episode for episode in episodes if episode.sampled]
    if len(used) < MIN_EPISODES:
        if len(episodes) < MIN_EPISODES:
            raise TraceError(
                f"only {len(episodes)} episodes were held out, and at least {MIN_EPISODES} are "
                "needed for an estimate: record more, or hold more out"
            )
        raise TraceError(
            f"{len(used)} of {len(episodes)} episodes have choices that were drawn at random, and "
            f"at least {MIN_EPISODES} are needed: choices of a selector that always takes the best "
            "say nothing about others. Record with --explore"
        )
    terms = _terms(policy, used, config)
    ess = effective_sample_size(terms.log_weights_EL[:, -1])
    return PolicyEvaluation(
        episodes=len(used),
        steps=sum(len(episode.steps) for episode in used),
        unsampled_episodes=len(episodes) - len(used),
        logged=_estimate(terms.mean_reward, len(used), terms, config),
        weighted_importance_sampling=_estimate(terms.importance_sampling, ess, terms, config),
        doubly_robust=_estimate(terms.doubly_robust, ess, terms, config),
        ess=ess,
        confidence=config.confidence,
        min_ess=config.min_ess,
    )


@dataclass(frozen=True, slots=True)
class _Terms:
    """What the estimates are sums of; every method takes indices of episodes, [..., E]."""

    rewards_E: Matrix
    log_weights_EL: Matrix
    """Of the steps so far; constant after an episode's last step."""
    residuals_EL: Matrix
    """r - Q; 0 after the last step."""
    values_EL: Matrix
    """V; 0 after the last step."""

    def mean_reward(self, rows: NDArray[np.int64]) -> Matrix:
        mean: Matrix = self.rewards_E[rows].mean(axis=-1)
        return mean

    def importance_sampling(self, rows: NDArray[np.int64]) -> Matrix:
        weights = _normalised(self.log_weights_EL[:, -1][rows], axis=-1)
        total: Matrix = (weights * self.rewards_E[rows]).sum(axis=-1)
        return total

    def doubly_robust(self, rows: NDArray[np.int64]) -> Matrix:
        weights = _normalised(self.log_weights_EL[rows], axis=-2)
        before = np.full_like(weights, 1 / rows.shape[-1])
        before[..., 1:] = weights[..., :-1]
        terms = weights * self.residuals_EL[rows] + before * self.values_EL[rows]
        total: Matrix = terms.sum(axis=(-2, -1))
        return total


def _terms(
    policy: SkillPolicy, episodes: Sequence[LoggedEpisode], config: EvaluationConfig
) -> _Terms:
    steps = [step for episode in episodes for step in episode.steps]
    judgement = Judgement(policy, steps, with_bias=False)
    log_ratio_T = judgement.log_probs - np.array([step.log_prob for step in steps])
    table = _table(episodes, judgement, config)
    predicted = cross_fitted(table, folds=config.folds)
    lengths = [len(episode.steps) for episode in episodes]
    shape = (len(episodes), max(lengths))
    log_ratio, values, residuals = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    place = 0
    for number, length in enumerate(lengths):
        rows = slice(place, place + length)
        log_ratio[number, :length] = log_ratio_T[rows]
        values[number, :length] = predicted.of_policy_T[rows]
        residuals[number, :length] = -predicted.of_choice_T[rows]
        residuals[number, length - 1] += episodes[number].reward
        place += length
    rewards = np.array([episode.reward for episode in episodes])
    return _Terms(rewards, log_ratio.cumsum(axis=1), residuals, values)


def _table(
    episodes: Sequence[LoggedEpisode], judgement: Judgement, config: EvaluationConfig
) -> StepTable:
    index = SkillIndex.of(episodes)
    steps = [step for episode in episodes for step in episode.steps]
    picked = np.zeros((len(steps), len(index.names)))
    likely = np.zeros_like(picked)
    generator = torch.Generator().manual_seed(config.seed)
    columns = {id(step.offer): index.columns(step.offer.names) for step in steps}
    for row, (step, logits) in enumerate(zip(steps, judgement.logits, strict=True)):
        own = columns[id(step.offer)]
        picked[row, own[list(step.chosen)]] = 1
        likely[row, own] = _likely(logits[: len(own)], len(step.chosen), config.draws, generator)
    return StepTable(
        states_TS=np.stack([step.state for step in steps]),
        picked_TM=picked,
        likely_TM=likely,
        progress_T=np.concatenate(
            [np.arange(len(episode.steps)) / len(episode.steps) for episode in episodes]
        ),
        rewards_T=np.repeat(
            [episode.reward for episode in episodes], [len(episode.steps) for episode in episodes]
        ),
        episode_T=np.repeat(np.arange(len(episodes)), [len(episode.steps) for episode in episodes]),
    )


def _likely(
    logits: NDArray[np.float64], k: int, draws: int, generator: torch.Generator
) -> NDArray[np.float64]:
    """Probability of every skill to be among k draws without replacement, [N]."""
    if k == 1:
        weights = np.exp(logits - logits.max())
        exact: NDArray[np.float64] = weights / weights.sum()
        return exact
    noise = gumbel_noise((draws, len(logits)), generator).double()
    chosen = perturbed_top_k(torch.from_numpy(logits).expand(draws, -1), noise, k)
    counts = np.bincount(chosen.flatten().numpy(), minlength=len(logits))
    found: NDArray[np.float64] = counts.astype(np.float64) / draws
    return found


def _normalised(log_weights: Matrix, axis: int) -> Matrix:
    weights = np.exp(log_weights - log_weights.max(axis=axis, keepdims=True))
    scaled: Matrix = weights / weights.sum(axis=axis, keepdims=True)
    return scaled


def expanded_level(confidence: float, effective: float) -> float:
    """The level of a percentile interval that covers as a t interval does (Hesterberg, 2015).

    A bootstrap of n units is too narrow by the factor sqrt((n - 1) / n), and takes the normal
    distribution's tails for those of Student's t.

    Args:
        confidence: What is to be covered, in (0, 1).
        effective: Effective number of units; below 2 it counts as 2.

    Returns:
        A level in [confidence, 1).
    """
    from scipy.stats import norm, t

    units = max(effective, 2.0)
    quantile = t.ppf((1 + confidence) / 2, units - 1) * np.sqrt(units / (units - 1))
    return min(float(1 - 2 * norm.sf(quantile)), _HIGHEST_LEVEL)


def _estimate(
    statistic: Callable[[NDArray[np.int64]], Matrix],
    effective: float,
    terms: _Terms,
    config: EvaluationConfig,
) -> Estimate:
    """A statistic of all episodes with its interval."""
    from scipy.stats import bootstrap

    rows = np.arange(len(terms.rewards_E))
    interval = bootstrap(
        (rows,),
        lambda resampled, axis: statistic(resampled),
        n_resamples=config.resamples,
        batch=max(1, _NUMBERS_AT_ONCE // terms.values_EL.size),
        vectorized=True,
        confidence_level=expanded_level(config.confidence, effective),
        method="percentile",
        rng=np.random.default_rng(config.seed),
    ).confidence_interval
    return Estimate(float(statistic(rows)), float(interval.low), float(interval.high))
