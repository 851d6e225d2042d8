"""The names of all training metrics, with their meanings.

A name is a path: what stands before the first slash groups metrics in TensorBoard and on the page
of curves. One number is written for each name and step; a step is an inner epoch, counted from 0
over the whole run.
"""

from enum import StrEnum
from typing import Self

SKILL_USAGE_PREFIX = "skills/usage/"
"""Followed by a skill's name: share of the construction steps that picked it, in [0, 1]."""


class Metric(StrEnum):
    """A metric's name; `meaning` says what the number is."""

    meaning: str

    def __new__(cls, name: str, meaning: str) -> Self:
        """Make a name with its meaning."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.meaning = meaning
        return member

    REWARD = (
        "reward/total",
        "Mean over the batch's episodes of final reward plus process rewards",
    )
    FINAL_REWARD = "reward/final", "Mean final reward of the batch's episodes"
    PROCESS_REWARD = "reward/process", "Mean sum of an episode's process rewards"
    STAGE_REWARD = "reward/stage", "Mean reward of the last quarter of a stage"
    SCORE = "score/raw", "Mean score of the training queries (F1, judge, recall, success)"
    VALIDATION_SCORE = "score/validation", "Mean score on the validation episodes, best skills"
    ENTROPY = "policy/entropy", "Entropy of one draw from the skills, in nats"
    CHOICE_ENTROPY = "policy/choice_entropy", "Entropy among the chosen skills, in nats"
    KL = "policy/kl", "KL of the old from the new policy, estimated by r - 1 - ln r; never negative"
    APPROX_KL = (
        "policy/approx_kl",
        "The method's estimate of the same KL, -ln r; it may be negative",
    )
    CLIP_FRACTION = "policy/clip_fraction", "Share of the steps whose ratio is outside of the clip"
    LOSS = "policy/loss", "Policy part of the loss"
    GRADIENT_NORM = "policy/gradient_norm", "Length of the gradient before it is scaled down"
    VALUE_LOSS = "value/loss", "Value part of the loss, before its coefficient"
    EXPLAINED_VARIANCE = (
        "value/explained_variance",
        "1 - var(return - value) / var(return): 1 is a perfect critic, 0 a constant one",
    )
    VALUE = "value/mean", "Mean estimate of the critic"
    RETURN = "value/return", "Mean return that the critic should have estimated"
    NEW_SKILL_BIAS = "skills/bias_scale", "Scale of the exploration bonus of new skills, in [0, 1]"
    NUM_SKILLS = "skills/count", "Skills in the bank"
    FAILED_CALLS = "failures/calls", "Spans whose model call failed"
    FAILED_REPLIES = "failures/replies", "Spans whose reply could not be read"
    FAILED_QUERIES = "failures/queries", "Share of the queries that count as failed, in [0, 1]"
    UNSCORED_QUERIES = (
        "failures/unscored",
        "Queries without a score: a model or a game's engine failed, or nothing is to be scored",
    )
    FAILED_EPISODES = "failures/episodes", "Episodes that were left out of the update"
    EPISODES = "run/episodes", "Episodes of the batch"
    STEPS = "run/steps", "Construction steps of the batch"
    SECONDS = "run/seconds", "Seconds that the inner epoch took"
    TOKENS = "run/tokens", "Tokens of all model calls of the inner epoch"
    COST = "run/cost_usd", "Estimated cost of the run so far, in US dollars"


def skill_usage(name: str) -> str:
    """Name of the metric that holds a skill's usage."""
    return f"{SKILL_USAGE_PREFIX}{name}"


def meaning_of(name: str) -> str:
    """What a metric's number is; empty if the name is not one of ours."""
    if name.startswith(SKILL_USAGE_PREFIX):
        skill = name.removeprefix(SKILL_USAGE_PREFIX)
        return f"Share of the construction steps that picked {skill}, in [0, 1]"
    try:
        return Metric(name).meaning  # type: ignore[call-arg]  # a look-up by value takes one
    except ValueError:
        return ""
