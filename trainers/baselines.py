"""What the rewards of an update are compared with before the critic sees them."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from langgraph_memskill.trainers.config import BaselineName
from langgraph_memskill.trainers.credit import less_other_plays
from langgraph_memskill.trainers.episodes import PlayedEpisode
from langgraph_memskill.trainers.rollout import RolloutStep

logger = logging.getLogger(__name__)


def compared(played: Sequence[PlayedEpisode], baseline: BaselineName) -> list[list[RolloutStep]]:
    """The steps that an update learns from, with their rewards less the baseline.

    Args:
        played: Episodes in the order of their plans.
        baseline: "critic" leaves rewards as they are; "plays" takes off the mean of the window's
            other plays. A play whose others all failed has none, and is left out.
    """
    if baseline == "critic":
        return [list(episode.steps) for episode in played]
    steps = []
    for _, group in groupby(played, key=lambda episode: episode.plan.window):
        plays = list(group)
        if len(plays) < 2:
            logger.warning("episode %s has nothing to be compared with", plays[0].plan.id)
            continue
        rewards_PL = np.array([[step.reward for step in play.steps] for play in plays])
        for play, row in zip(plays, less_other_plays(rewards_PL).tolist(), strict=True):
            steps.append([replace(s, reward=r) for s, r in zip(play.steps, row, strict=True)])
    return steps
