"""The worker's side of a training run whose episodes are spread over a cluster."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.models import model_name
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.traces.buffer import EpisodeRows, TraceBuffer
from langgraph_memskill.trainers.config import TrainConfig
from langgraph_memskill.trainers.episode_kinds import AnyEpisodeKind
from langgraph_memskill.trainers.episodes import EpisodePlayer, PlayedEpisode
from langgraph_memskill.trainers.plans import EpisodePlan
from langgraph_memskill.trainers.rollout import SkillOffer
from langgraph_memskill.workers.outcomes import Failed, failed
from langgraph_memskill.workers.specs import EncoderSpec, ModelSpec


class KindRecipe(Protocol):
    """How a worker makes a kind of episode: plain settings that can be pickled."""

    def open(self, model: ModelSpec, encoder: EncoderSpec) -> AnyEpisodeKind:
        """Make it; only its `ask` is called.

        Raises:
            MemSkillError: One of its children, if something is missing on this machine.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRecipe:
    """Everything that a worker needs for the episodes of a run, but the controller and skills."""

    run_id: str
    config: TrainConfig
    kind: KindRecipe
    model: ModelSpec
    encoder: EncoderSpec
    for_designer: bool

    def open(self) -> "RolloutSite":
        """Make model, encoder and player.

        Raises:
            MemSkillError: One of its children, if something is missing on this machine.
        """
        return RolloutSite(self)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UpdateParts:
    """What all episodes of an update are played with."""

    tensors: dict[str, NDArray[np.float32]]
    """The controller."""
    bank: dict[str, Any]
    """The skills as JSON."""
    new_skills: frozenset[str]
    offer: SkillOffer


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateOrder:
    """An update by its id, and where to fetch its parts: a worker fetches them once."""

    id: str
    parts: Awaitable[UpdateParts]


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutResult:
    """What came of an episode: it, or why there is none, and what was recorded of it."""

    outcome: PlayedEpisode | Failed
    rows: EpisodeRows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Update:
    policy: SkillPolicy
    bank: SkillBank
    offer: SkillOffer


class RolloutSite:
    """Plays episodes in a worker's process; writes nothing."""

    def __init__(self, recipe: RolloutRecipe) -> None:
        """Make model, encoder and player."""
        model = recipe.model.load(recipe.encoder)
        self._buffer = TraceBuffer()
        self._player = EpisodePlayer(
            model,
            model_name(model),
            recipe.encoder.load(),
            recipe.kind.open(recipe.model, recipe.encoder),
            recipe.config,
            Path(),
            run_id=recipe.run_id,
            for_designer=recipe.for_designer,
            sink=self._buffer,
        )
        self._id = ""
        self._update: asyncio.Task[_Update] | None = None

    async def play(self, plan: EpisodePlan, order: UpdateOrder) -> RolloutResult:
        """Play an episode.

        Args:
            plan: What.
            order: Controller and skills.
        """
        update = await self._current(order)
        outcome: PlayedEpisode | Failed
        try:
            outcome = await self._player.play(plan, update.policy, update.bank, update.offer)
        except Exception as error:  # noqa: BLE001  # its steps are recorded all the same
            outcome = failed(error)
        return RolloutResult(outcome=outcome, rows=self._buffer.take(plan.id))

    async def aclose(self) -> None:
        """End what still runs on the run's account."""
        await self._player.aclose()

    async def _current(self, order: UpdateOrder) -> _Update:
        if self._update is None or order.id != self._id:
            self._id, self._update = order.id, asyncio.create_task(_unpacked(order))
        return await asyncio.shield(self._update)


async def _unpacked(order: UpdateOrder) -> _Update:
    parts = await order.parts
    # Copies: what Ray hands out may not be written to.
    tensors = {name: torch.from_numpy(array.copy()) for name, array in parts.tensors.items()}
    bank = SkillBank.from_json(parts.bank)
    bank.set_new(parts.new_skills)
    return _Update(policy=SkillPolicy.from_tensors(tensors).eval(), bank=bank, offer=parts.offer)
