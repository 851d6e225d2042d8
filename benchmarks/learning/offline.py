"""Learning from recorded traces in a world whose true values are known.

Run `python -m langgraph_memskill.benchmarks.learning.offline`. Four skills, states of two kinds,
two picks a step; see `langgraph_memskill.testing.logged_bandit`. Two questions: do the intervals of
`evaluate-policy` hold the truth, and how good does `fit` make a policy from traces of each age?
"""

import argparse
import json
from dataclasses import asdict, dataclass

import numpy as np
import torch

from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.testing.logged_bandit import LoggedBandit
from langgraph_memskill.trainers.fitting import FitConfig, fit
from langgraph_memskill.trainers.off_policy import EvaluationConfig, evaluate_policy
from langgraph_memskill.trainers.ppo import PPOConfig

_RESAMPLES = 500
_STALE = 0.12


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """An estimate over many pairs of a recorded and a judged policy."""

    estimate: str
    covered: float
    """Share of the intervals (95%) that hold the true value."""
    bounded: float
    """Share of the lower bounds, on which a verdict rests, that are not above it (97.5%)."""
    error: float
    """Mean absolute error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """What fitting to traces of one age is worth; true expected rewards, means over seeds."""

    traces: str
    methods: dict[str, int]
    """How often each method was chosen for the first round."""
    recorded: float
    """Of the policy that made the traces."""
    before: float
    after: float


def accuracies(pairs: int, episodes: int, steps: int) -> list[Accuracy]:
    """Compare the estimates, and the recorded mean as the naive one, with the truth."""
    world = LoggedBandit(k=2, length=steps, spread=0.6)
    found: dict[str, list[tuple[bool, bool, float]]] = {}
    for seed in range(pairs):
        recorded, judged = world.policy(1000 + seed), world.policy(2000 + seed)
        truth = world.value(judged)
        config = EvaluationConfig(resamples=_RESAMPLES, seed=seed)
        result = evaluate_policy(judged, world.record(recorded, episodes, seed=seed), config)
        for name, estimate in (
            ("recorded mean", result.logged),
            ("weighted importance sampling", result.weighted_importance_sampling),
            ("doubly robust", result.doubly_robust),
        ):
            row = (
                estimate.low <= truth <= estimate.high,
                estimate.low <= truth,
                abs(estimate.value - truth),
            )
            found.setdefault(name, []).append(row)
    return [
        Accuracy(
            estimate=name,
            covered=round(covered, 3),
            bounded=round(bounded, 3),
            error=round(error, 4),
        )
        for name, rows in found.items()
        for covered, bounded, error in [np.mean(rows, axis=0).tolist()]
    ]


def gains(seeds: int, episodes: int) -> list[Gain]:
    """Fit to fresh, stale and foreign traces, and to those of a policy that takes the best."""
    ages = ("fresh", "stale", "foreign", "half drawn", "not drawn")
    return [_gain(name, seeds, episodes) for name in ages]


def _gain(traces: str, seeds: int, episodes: int) -> Gain:
    world = LoggedBandit(k=2, spread=2.0 if traces == "foreign" else 1.0)
    config = FitConfig(ppo=PPOConfig(learning_rate=2e-3))
    methods: dict[str, int] = {}
    values = []
    for seed in range(seeds):
        recorded = world.policy(3000 + seed)
        policy = world.policy((4000 if traces == "foreign" else 3000) + seed)
        if traces == "stale":
            _disturb(policy, seed)
        num_drawn = {"not drawn": 0, "half drawn": episodes // 2}.get(traces, episodes)
        logged = [
            *world.record(recorded, num_drawn, seed=seed),
            *world.record(recorded, episodes - num_drawn, seed=seed + 50, sampled=False),
        ]
        before = world.value(policy)
        method = fit(policy, logged, config, seed=seed).rounds[0].method.value
        methods[method] = methods.get(method, 0) + 1
        values.append((world.value(recorded), before, world.value(policy)))
    means = [round(float(mean), 3) for mean in np.mean(values, axis=0)]
    return Gain(traces=traces, methods=methods, recorded=means[0], before=means[1], after=means[2])


def _disturb(policy: SkillPolicy, seed: int) -> None:
    """Move the actor, as if it had been trained on since the traces were recorded."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in policy.actor_head.parameters():
            tensor.add_(_STALE * torch.randn(tensor.shape, generator=generator))


def main() -> None:
    """Print a JSON line for every result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--episodes", type=int, default=400)
    parser.add_argument("--few-episodes", type=int, default=60)
    arguments = parser.parse_args()
    for episodes in (arguments.episodes, arguments.few_episodes):
        for steps in (1, 3):
            for accuracy in accuracies(arguments.pairs, episodes, steps):
                case = {"episodes": episodes, "steps": steps}
                print(json.dumps(case | asdict(accuracy)), flush=True)
    for gain in gains(arguments.seeds, arguments.episodes):
        print(json.dumps(asdict(gain)), flush=True)


if __name__ == "__main__":
    main()
