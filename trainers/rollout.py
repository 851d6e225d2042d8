"""What training remembers of a rollout: the steps of episodes, until an update has used them."""

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from langgraph_memskill.controller.distribution import NewSkillBias
from langgraph_memskill.errors import ConfigError

logger = logging.getLogger(__name__)

# Shapes: S state width, N candidate skills, K chosen skills, D embedding width.


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SkillOffer:
    """The skills that choices were made from, and the bonus that was in force.

    All steps with the same bank version share one offer.
    """

    names: tuple[str, ...]
    """In the controller's order."""
    embeddings: NDArray[np.float32]
    """Of the descriptions, [N, D]."""
    is_new: NDArray[np.bool_]
    """Skills with the exploration bonus, [N]."""
    bias: NewSkillBias | None = None
    """The bonus; the same one is applied when a choice is evaluated again (METHOD step 5)."""
    version: str = ""
    """Version of the skill bank."""

    def __post_init__(self) -> None:
        """Check that the three fit together.

        Raises:
            ConfigError: If they do not.
        """
        num_skills = len(self.names)
        if self.embeddings.ndim != 2 or len(self.embeddings) != num_skills or num_skills == 0:
            raise ConfigError(
                f"embeddings of shape {self.embeddings.shape} do not fit {num_skills} skills: one "
                "row a skill is needed, and at least one skill"
            )
        if self.is_new.shape != (num_skills,):
            raise ConfigError(
                f"is_new of shape {self.is_new.shape} does not fit {num_skills} skills"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RolloutStep:
    """One choice of skills with what came of it."""

    state: NDArray[np.float32]
    """What the controller saw, [S]."""
    offer: SkillOffer
    chosen: tuple[int, ...]
    """Positions in the offer, in the order of the choice."""
    log_prob: float
    """Joint log-probability of the ordered choice under the policy that made it, in nats."""
    value: float
    """The critic's estimate at that time."""
    reward: float
    """The process reward plus this step's part of the final reward."""


@dataclass(slots=True)
class RolloutBuffer:
    """Steps of whole episodes, one episode after the other, for one update."""

    state_dim: int
    """S of the policy that is trained."""
    skill_dim: int
    """D of the policy that is trained."""
    skipped_episodes: int = 0
    """Episodes that were refused because a number in them cannot be used."""
    _episodes: list[tuple[RolloutStep, ...]] = field(default_factory=list)

    def __len__(self) -> int:
        """Number of steps."""
        return sum(map(len, self._episodes))

    def __iter__(self) -> Iterator[RolloutStep]:
        """Go through the steps in order."""
        return (step for episode in self._episodes for step in episode)

    @property
    def num_episodes(self) -> int:
        """Episodes that were taken."""
        return len(self._episodes)

    @property
    def is_last(self) -> NDArray[np.bool_]:
        """Where an episode ends, [len(self)]."""
        ends = np.zeros(len(self), dtype=np.bool_)
        lengths = np.array([len(episode) for episode in self._episodes], dtype=np.int64)
        ends[lengths.cumsum() - 1] = True
        return ends

    def add(self, episode: Sequence[RolloutStep]) -> bool:
        """Take the steps of one episode.

        An episode without steps, with a reward, value, log-probability or state that is not finite,
        or with embeddings of another width is left out, counted and logged: one such number would
        spoil the advantages of all others.

        Args:
            episode: The steps in order.

        Returns:
            Whether the episode was taken.
        """
        problem = self._problem(episode)
        if problem is not None:
            logger.warning("an episode of %d steps is left out: %s", len(episode), problem)
            self.skipped_episodes += 1
            return False
        self._episodes.append(tuple(episode))
        return True

    def _problem(self, episode: Sequence[RolloutStep]) -> str | None:
        if not episode:
            return "it has no step that could be rewarded"
        for number, step in enumerate(episode):
            if problem := self._step_problem(step):
                return f"step {number}: {problem}"
        return None

    def _step_problem(self, step: RolloutStep) -> str | None:
        for name in ("reward", "value", "log_prob"):
            number = getattr(step, name)
            if not math.isfinite(number):
                return f"{name} is {number!r}"
        if step.state.shape != (self.state_dim,):
            return f"its state has the shape {step.state.shape}, not ({self.state_dim},)"
        if step.offer.embeddings.shape[1] != self.skill_dim:
            width = step.offer.embeddings.shape[1]
            return f"its skills have embeddings of width {width}, not {self.skill_dim}"
        if not np.isfinite(step.state).all() or not np.isfinite(step.offer.embeddings).all():
            return "its state or a skill's embedding holds a number that is not finite"
        known = range(len(step.offer.names))
        if not step.chosen or len(set(step.chosen)) < len(step.chosen):
            return f"the choice {step.chosen!r} is empty or names a skill twice"
        if any(index not in known for index in step.chosen):
            return f"the choice {step.chosen!r} names no skill of {len(known)}"
        return None
