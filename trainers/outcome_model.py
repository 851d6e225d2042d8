"""Predicts an episode's reward from a step: the model behind the doubly robust estimate.

Linear in which skills are picked, so that its mean over everything that a policy might pick needs
no more than each skill's probability of being among the picks.

Shapes: T steps, S state width, M distinct skills, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from langgraph_memskill.trainers.logged import LoggedEpisode

Matrix = NDArray[np.float64]

_STATE_PARTS = 8
"""Principal components of the states at most."""
_MIXED_PARTS = 3
"""Components among them that are multiplied with the picks."""
_PENALTIES = np.logspace(-1, 4, 11)


class StepTable(NamedTuple):
    """All steps of some episodes as matrices."""

    states_TS: NDArray[np.float32]
    picked_TM: Matrix
    """1 where a skill was picked."""
    likely_TM: Matrix
    """Probability that the policy in question has a skill among its picks."""
    progress_T: Matrix
    """Position in the episode, from 0 to 1."""
    rewards_T: Matrix
    """Final reward of the step's episode."""
    episode_T: NDArray[np.int64]
    """Number of the step's episode."""


class Predictions(NamedTuple):
    """What the model says of every step, by models that have not seen its episode."""

    of_choice_T: Matrix
    """Of the choice that was made."""
    of_policy_T: Matrix
    """On average over the choices of the policy in question."""


@dataclass(frozen=True, slots=True)
class SkillIndex:
    """The distinct skills of several bank versions, by name."""

    names: tuple[str, ...]

    @classmethod
    def of(cls, episodes: Sequence[LoggedEpisode]) -> "SkillIndex":
        """All skills that were on offer."""
        steps = (step for episode in episodes for step in episode.steps)
        return cls(tuple(sorted({name for step in steps for name in step.offer.names})))

    def columns(self, names: Sequence[str]) -> NDArray[np.int64]:
        """The columns of some skills."""
        place = {name: number for number, name in enumerate(self.names)}
        return np.array([place[name] for name in names], np.int64)


def cross_fitted(table: StepTable, *, folds: int = 5) -> Predictions:
    """Predict every step by a model that was fitted to the other episodes.

    Ridge regression, its penalty chosen by leave-one-out, on principal components of the state, the
    picks, and products of both. A model that had seen the episode itself would make the estimate
    look better than it is.

    Args:
        table: Steps of at least two episodes.
        folds: Models to fit, >= 2; no more than there are episodes.
    """
    num_episodes = int(table.episode_T.max()) + 1
    fold_T = np.arange(num_episodes)[table.episode_T] % min(folds, num_episodes)
    of_choice, of_policy = np.zeros(len(fold_T)), np.zeros(len(fold_T))
    for fold in range(int(fold_T.max()) + 1):
        inside = fold_T == fold
        model = _OutcomeModel(table, ~inside)
        of_choice[inside] = model.predict(table, inside, table.picked_TM)
        of_policy[inside] = model.predict(table, inside, table.likely_TM)
    return Predictions(of_choice, of_policy)


class _OutcomeModel:
    def __init__(self, table: StepTable, rows: NDArray[np.bool_]) -> None:
        from sklearn.decomposition import PCA
        from sklearn.linear_model import RidgeCV

        states = table.states_TS[rows].astype(float)
        parts = min(_STATE_PARTS, *states.shape)
        # The solver is named, because the default one draws random numbers for large inputs.
        self._pca = PCA(n_components=parts, svd_solver="full").fit(states)
        self._scale = np.maximum(np.sqrt(self._pca.explained_variance_), 1e-9)
        self._model = RidgeCV(_PENALTIES)
        self._model.fit(self._features(table, rows, table.picked_TM), table.rewards_T[rows])

    def predict(self, table: StepTable, rows: NDArray[np.bool_], picks_TM: Matrix) -> Matrix:
        predicted: Matrix = self._model.predict(self._features(table, rows, picks_TM))
        return predicted

    def _features(self, table: StepTable, rows: NDArray[np.bool_], picks_TM: Matrix) -> Matrix:
        """[T, F]; linear in the picks."""
        parts = self._pca.transform(table.states_TS[rows].astype(float)) / self._scale
        picks = picks_TM[rows]
        mixed = [parts[:, [n]] * picks for n in range(min(_MIXED_PARTS, parts.shape[1]))]
        return np.hstack([parts, table.progress_T[rows, None], picks, *mixed])
