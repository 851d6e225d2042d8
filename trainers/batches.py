"""Rollout steps as tensors, laid out so that each distinct skill is encoded once a minibatch."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from langgraph_memskill.controller.distribution import (
    NO_CHOICE,
    Draws,
    NewSkillBias,
    draws_of,
    new_skill_bias,
)
from langgraph_memskill.trainers.rollout import RolloutStep, SkillOffer

# Shapes: B steps, S state width, M distinct skills, N most candidates of a step, K most chosen
# skills, D embedding width.


class RolloutBatch(NamedTuple):
    """Steps of any number of bank versions, with everything that the loss needs."""

    states_BS: Tensor
    """float32."""
    skills_MD: Tensor
    """The distinct skills of all offers, float32."""
    candidates_BN: Tensor | None
    """Row in `skills_MD` of every candidate, int64, 0 for padding; None if all steps have the
    same offer, whose candidates are then the rows of `skills_MD`."""
    is_skill_BN: Tensor | None
    """bool, False for padding; None if there is none."""
    is_new_BN: Tensor
    """bool."""
    draws: Draws
    """The choices."""
    log_probs_B: Tensor
    """Of the choices when they were made, float32."""
    values_B: Tensor
    """The critic's estimates at that time, float32."""
    returns_B: Tensor
    """float32."""
    advantages_B: Tensor
    """float32, as they enter the loss."""
    biases: tuple[NewSkillBias | None, ...]
    """The distinct bonuses."""
    bias_B: Tensor
    """Which of them was in force, int64."""

    def rows(self, selected: Tensor | slice) -> "RolloutBatch":
        """Some of the steps.

        Args:
            selected: Their numbers, int64 [M], or a slice, which copies nothing.
        """

        def pick(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor[selected]

        return self._replace(
            states_BS=self.states_BS[selected],
            candidates_BN=pick(self.candidates_BN),
            is_skill_BN=pick(self.is_skill_BN),
            is_new_BN=self.is_new_BN[selected],
            draws=Draws(*(part[selected] for part in self.draws)),
            log_probs_B=self.log_probs_B[selected],
            values_B=self.values_B[selected],
            returns_B=self.returns_B[selected],
            advantages_B=self.advantages_B[selected],
            bias_B=self.bias_B[selected],
        )

    def split(self, size: int) -> Iterator["RolloutBatch"]:
        """Go through the steps in their order.

        Args:
            size: Steps of each part but the last, >= 1.
        """
        for start in range(0, len(self.states_BS), size):
            yield self.rows(slice(start, start + size))

    def to(self, device: torch.device | str) -> "RolloutBatch":
        """The same steps on a device."""

        def moved(part: Any) -> Any:
            return part.to(device) if isinstance(part, Tensor) else part

        return RolloutBatch(*map(moved, self))._replace(draws=Draws(*map(moved, self.draws)))

    def biased(self, logits_BN: Tensor) -> Tensor:
        """Add the exploration bonus that was in force at each step."""
        if len(self.biases) == 1:
            bias = self.biases[0]
            return logits_BN if bias is None else new_skill_bias(logits_BN, self.is_new_BN, bias)
        for number, bias in enumerate(self.biases):
            if bias is not None:
                is_new_BN = self.is_new_BN & (self.bias_B == number).unsqueeze(-1)
                logits_BN = new_skill_bias(logits_BN, is_new_BN, bias)
        return logits_BN


def make_batch(
    steps: Iterable[RolloutStep],
    *,
    returns: NDArray[np.floating],
    advantages: NDArray[np.floating],
    device: torch.device | str = "cpu",
) -> RolloutBatch:
    """Lay steps out as tensors.

    Args:
        steps: At least one, of any number of offers.
        returns: One a step.
        advantages: One a step.
        device: Where the tensors go.

    Raises:
        ConfigError: If a choice names no candidate, or one twice.
    """
    steps = tuple(steps)
    offers = list({id(step.offer): step.offer for step in steps}.values())
    position = {id(offer): number for number, offer in enumerate(offers)}
    offer_B = torch.tensor([position[id(step.offer)] for step in steps])
    skills_MD, rows = _distinct(offers)
    candidates_ON = _padded(rows, 0)
    is_skill_ON = _padded([torch.ones(len(row), dtype=torch.bool) for row in rows], False)
    is_new_ON = _padded([torch.from_numpy(offer.is_new) for offer in offers], False)
    biases = tuple(dict.fromkeys(offer.bias for offer in offers))
    bias_O = torch.tensor([biases.index(offer.bias) for offer in offers])
    is_skill_BN = is_skill_ON[offer_B]
    draws = draws_of(_choices(steps), is_skill_BN)
    is_shared = len(offers) == 1
    batch = RolloutBatch(
        states_BS=torch.from_numpy(np.stack([step.state for step in steps])),
        # A single offer may hold one embedding twice, so its own rows are taken.
        skills_MD=torch.from_numpy(offers[0].embeddings) if is_shared else skills_MD,
        candidates_BN=None if is_shared else candidates_ON[offer_B],
        is_skill_BN=None if bool(is_skill_ON.all()) else is_skill_BN,
        is_new_BN=is_new_ON[offer_B],
        draws=draws,
        log_probs_B=_floats([step.log_prob for step in steps]),
        values_B=_floats([step.value for step in steps]),
        returns_B=_floats(returns),
        advantages_B=_floats(advantages),
        biases=biases,
        bias_B=bias_O[offer_B],
    )
    return batch.to(device)


def _distinct(offers: Sequence[SkillOffer]) -> tuple[Tensor, list[Tensor]]:
    """The distinct embeddings, [M, D], and for each offer the rows of its skills, [N]."""
    row_of: dict[bytes, int] = {}
    embeddings: list[NDArray[np.float32]] = []
    rows = []
    for offer in offers:
        row = []
        for embedding in offer.embeddings:
            key = embedding.tobytes()
            if key not in row_of:
                row_of[key] = len(embeddings)
                embeddings.append(embedding)
            row.append(row_of[key])
        rows.append(torch.tensor(row))
    return torch.from_numpy(np.stack(embeddings)), rows


def _choices(steps: Sequence[RolloutStep]) -> Tensor:
    width = max(len(step.chosen) for step in steps)
    rows = [step.chosen + (NO_CHOICE,) * (width - len(step.chosen)) for step in steps]
    return torch.from_numpy(np.array(rows, dtype=np.int64))


def _padded(rows: Sequence[Tensor], fill: float) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=fill)


def _floats(numbers: Sequence[float] | NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.asarray(numbers, dtype=np.float32))
