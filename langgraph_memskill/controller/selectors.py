"""What picks the skills of a span: a trained controller, similarity without training, or chance.

All selectors choose among `bank.candidates()`, in sorted-name order, whatever their action types: a
noop skill may be picked, in training as in use, and it is for the extraction step to see that it
asks for nothing. Importing this module does not load torch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from langgraph_memskill.controller.state import FusionMode, fuse_state
from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.errors import CheckpointError, ConfigError
from langgraph_memskill.records import Selection, Skill
from langgraph_memskill.retrieval import rank
from langgraph_memskill.skills.bank import SkillBank

if TYPE_CHECKING:
    from torch import Tensor

    from langgraph_memskill.controller.distribution import NewSkillBias
    from langgraph_memskill.controller.policy import SkillPolicy

KEPT_SEEDS = ("insert", "update")
"""Skills that the similarity selector always picks, so that storing is never ruled out."""

_STATES_AT_ONCE = 512


@dataclass(frozen=True, slots=True, eq=False)
class SelectionRequest:
    """One span to pick skills for."""

    span: NDArray[np.float32]
    """Embedding of the span, [d]."""
    memories: NDArray[np.float32]
    """Embeddings of the memories retrieved for it, [m, d]; [0, d] for none."""


class Selector(Protocol):
    """Picks K skills for each of several spans."""

    @property
    def name(self) -> str:
        """Kind of selector, as `Selection.selector` records it."""

    @property
    def version(self) -> str:
        """Which weights chose (a controller's content hash); empty where there are none."""

    def select(
        self, requests: Sequence[SelectionRequest], bank: SkillBank, k: int
    ) -> list[Selection]:
        """Pick skills.

        Args:
            requests: The spans; all are handled in one batch.
            bank: The skills on offer.
            k: Skills a span, >= 1; never more than the bank has.

        Returns:
            One selection a request, in the same order.

        Raises:
            ConfigError: If `k` is below 1 or the bank is empty.
        """


class ControllerSelector:
    """The K skills with the highest logits, or K sampled ones (MemSkill, METHOD step 4)."""

    name = "controller"

    def __init__(
        self,
        policy: "SkillPolicy",
        encoder: TextEncoder,
        *,
        sample: bool = False,
        bias: "NewSkillBias | None" = None,
        seed: int | None = 0,
        fusion: FusionMode = "mean",
        tau: float = 1.0,
        version: str = "",
    ) -> None:
        """Make the selector.

        Args:
            policy: The network.
            encoder: Embeds the skills' descriptions; the encoder that the spans come from.
            sample: Whether to sample (training) instead of taking the best (use).
            bias: Exploration bonus for `bank.new_names`, for training; None uses none.
            seed: Of the sampling. The same seed and the same spans in the same order give the same
                choices, however the spans are batched. None draws one.
            fusion: How the memories' embeddings become one.
            tau: Temperature of the fusion "sim_weighted".
            version: Identifies the weights in traces.

        Raises:
            ConfigError: If the network was made for another width of embeddings.
        """
        import torch

        if (policy.state_dim, policy.skill_dim) != (2 * encoder.dim, encoder.dim):
            raise ConfigError(
                f"the controller takes states of width {policy.state_dim} and skills of width "
                f"{policy.skill_dim}, but the encoder {encoder.name!r} has width {encoder.dim}: "
                "use the encoder that it was trained with"
            )
        self.version = version
        self.policy = policy
        self.bias = bias
        self.fusion: FusionMode = fusion
        self.tau = tau
        self._encoder = encoder
        self._sample = sample
        self._generator = torch.Generator()
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed)
        self._lock = Lock()

    def select(
        self, requests: Sequence[SelectionRequest], bank: SkillBank, k: int
    ) -> list[Selection]:
        """Pick skills for all spans in one batch; see `Selector.select`.

        Raises:
            ConfigError: If `k` is below 1, the bank is empty, or an embedding's width does not fit.
            CheckpointError: If the network's outputs are not finite, so its weights are broken.
        """
        candidates = _candidates(bank, k)
        if not requests:
            return []
        states = np.stack(
            [
                fuse_state(request.span, request.memories, mode=self.fusion, tau=self.tau)
                for request in requests
            ]
        )
        if states.shape[1] != self.policy.state_dim:
            raise ConfigError(
                f"spans of width {states.shape[1] // 2} do not fit a controller for "
                f"{self.policy.state_dim // 2}: embed them with {self._encoder.name!r}"
            )
        skills = self._encoder.encode([skill.description for skill in candidates])
        is_new = np.array([skill.name in bank.new_names for skill in candidates])
        names = tuple(skill.name for skill in candidates)
        return [
            selection
            for start in range(0, len(states), _STATES_AT_ONCE)
            for selection in self._choose(
                states[start : start + _STATES_AT_ONCE], skills, is_new, names, k
            )
        ]

    def _choose(
        self,
        states: NDArray[np.float32],
        skills: NDArray[np.float32],
        is_new: NDArray[np.bool_],
        names: tuple[str, ...],
        k: int,
    ) -> list[Selection]:
        import torch

        from langgraph_memskill.controller import distribution

        device = next(self.policy.parameters()).device
        with torch.inference_mode():
            logits, values = self.policy(
                torch.from_numpy(states).to(device), torch.from_numpy(skills).to(device)
            )
            # What follows is cheap, and in float64 the probabilities sum to 1.
            logits = logits.double().cpu()
            if not torch.isfinite(logits).all():
                raise CheckpointError(
                    f"the controller {self.version!r} gives scores that are not finite: its "
                    "weights are broken, load an earlier version"
                )
            if self.bias is not None:
                mask = torch.from_numpy(is_new).expand_as(logits)
                logits = distribution.new_skill_bias(logits, mask, self.bias)
            if self._sample:
                noise = self._noise(len(states), len(names))
                chosen = distribution.perturbed_top_k(logits, noise, k)
            else:
                chosen = distribution.top_k(logits, k)
            log_probs = distribution.joint_log_prob(logits, chosen).tolist()
            probabilities = torch.softmax(logits, dim=-1).tolist()
        rows = zip(chosen.tolist(), probabilities, log_probs, values.tolist(), strict=True)
        return [
            Selection(
                skills=tuple(names[index] for index in indices),
                candidates=names,
                probabilities=tuple(row),
                log_prob=log_prob,
                value=value,
                selector=self.name,
                sampled=self._sample,
            )
            for indices, row, log_prob, value in rows
        ]

    def _noise(self, num_states: int, num_skills: int) -> "Tensor":
        """Gumbel noise [B, N], drawn row by row so that the batching makes no difference."""
        import torch

        from langgraph_memskill.controller.distribution import gumbel_noise

        with self._lock:
            rows = [gumbel_noise((num_skills,), self._generator) for _ in range(num_states)]
        return torch.stack(rows)


class SimilaritySelector:
    """Skills whose description is most similar to the span; needs no trained weights.

    The seeds `insert` and `update` are always among the picks (only `insert` if K is 1), because a
    memory that stores nothing is of no use before it has learnt anything.
    """

    name = "similarity"
    version = ""

    def __init__(self, encoder: TextEncoder, *, temperature: float = 0.1) -> None:
        """Make the selector.

        Args:
            encoder: Embeds the skills' descriptions; the encoder that the spans come from.
            temperature: Cosines are divided by it before the softmax, > 0.

        Raises:
            ConfigError: If the temperature is not above 0.
        """
        if not temperature > 0:
            raise ConfigError(f"temperature={temperature!r} must be above 0")
        self._encoder = encoder
        self._temperature = temperature

    def select(
        self, requests: Sequence[SelectionRequest], bank: SkillBank, k: int
    ) -> list[Selection]:
        """Pick skills; see `Selector.select`. The log-probability is that of the softmax.

        Raises:
            ConfigError: If `k` is below 1, the bank is empty, or an embedding's width does not fit.
        """
        candidates = _candidates(bank, k)
        if not requests:
            return []
        names = tuple(skill.name for skill in candidates)
        skills = self._encoder.encode([skill.description for skill in candidates])
        kept = [names.index(seed) for seed in KEPT_SEEDS if seed in names][:k]
        selections = []
        for request in requests:
            ranking = rank(request.span, skills, len(names))
            ranked = ranking.indices.tolist()
            logits = np.zeros(len(names))
            logits[ranked] = ranking.scores / self._temperature
            rest = [index for index in ranked if index not in kept]
            picked = set(kept + rest[: k - len(kept)])
            chosen = [index for index in ranked if index in picked]
            selections.append(_selection(names, logits, chosen, self.name))
        return selections


class RandomSelector:
    """K skills by chance, all equally likely: the baseline that a controller has to beat."""

    name = "random"
    version = ""

    def __init__(self, seed: int = 0) -> None:
        """Make the selector; equal seeds give equal choices, however the spans are batched."""
        self._generator = np.random.default_rng(seed)
        self._lock = Lock()

    def select(
        self, requests: Sequence[SelectionRequest], bank: SkillBank, k: int
    ) -> list[Selection]:
        """Pick skills; see `Selector.select`.

        Raises:
            ConfigError: If `k` is below 1 or the bank is empty.
        """
        names = tuple(skill.name for skill in _candidates(bank, k))
        with self._lock:
            orders = [self._generator.permutation(len(names)).tolist() for _ in requests]
        logits = np.zeros(len(names))
        return [
            replace(_selection(names, logits, order[:k], self.name), sampled=True)
            for order in orders
        ]


def _candidates(bank: SkillBank, k: int) -> tuple[Skill, ...]:
    if k < 1:
        raise ConfigError(f"k={k!r} must be at least 1: it is the number of skills to pick")
    candidates = bank.candidates()
    if not candidates:
        raise ConfigError(
            "the skill bank is empty, so there is nothing to pick: start from SkillBank.seed()"
        )
    return candidates


def _selection(
    names: tuple[str, ...], logits: NDArray[np.float64], chosen: list[int], selector: str
) -> Selection:
    """A selection from a softmax over the candidates; its log-probability is the joint one."""
    weights = np.exp(logits - logits.max())
    remaining = logits.copy()
    log_prob = 0.0
    for index in chosen:
        log_prob += float(logits[index] - np.logaddexp.reduce(remaining))
        remaining[index] = -math.inf
    return Selection(
        skills=tuple(names[index] for index in chosen),
        candidates=names,
        probabilities=tuple((weights / weights.sum()).tolist()),
        log_prob=log_prob,
        selector=selector,
    )
