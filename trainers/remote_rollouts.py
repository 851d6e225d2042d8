"""The driver's side of a training run whose episodes are spread over a cluster."""

import asyncio
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.errors import ClusterError, ConfigError, MissingDependencyError
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.trainers.episodes import EpisodePlayer, PlayedEpisode
from langgraph_memskill.trainers.plans import EpisodePlan
from langgraph_memskill.trainers.rollout import SkillOffer
from langgraph_memskill.trainers.rollout_site import (
    KindRecipe,
    RolloutRecipe,
    RolloutResult,
    RolloutSite,
    UpdateOrder,
    UpdateParts,
)
from langgraph_memskill.workers.host import Order
from langgraph_memskill.workers.outcomes import Failed
from langgraph_memskill.workers.pool import WorkerPool
from langgraph_memskill.workers.specs import EncoderSpec, ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollouts:
    """The workers of a training run, and the names of what they make for it."""

    pool: WorkerPool
    kind: KindRecipe
    model: ModelSpec
    encoder: EncoderSpec


class RemotePlayer(EpisodePlayer):
    """Has episodes played by the workers of a cluster; their steps are recorded here."""

    def __init__(self, rollouts: Rollouts, *args: Any, **options: Any) -> None:
        """Make a player.

        Args:
            rollouts: The workers.
            *args: As for `EpisodePlayer`.
            **options: As for `EpisodePlayer`.
        """
        super().__init__(*args, **options)
        self._pool = rollouts.pool
        # Together the workers ask about as many questions side by side as one process would.
        share = ceil(self._config.concurrency / rollouts.pool.num_workers)
        self._recipe = RolloutRecipe(
            run_id=self.recorder.run_id,
            config=replace(self._config, concurrency=share),
            kind=rollouts.kind,
            model=rollouts.model,
            encoder=rollouts.encoder,
            for_designer=self._for_designer,
        )
        self._site: Order[RolloutSite] | None = None
        self._update: tuple[SkillOffer, UpdateOrder] | None = None
        self._sharing = asyncio.Lock()
        # One thread, so that traces are written in the order in which they came.
        self._traces = ThreadPoolExecutor(1, thread_name_prefix="traces")

    async def play(
        self, plan: EpisodePlan, policy: SkillPolicy, bank: SkillBank, offer: SkillOffer
    ) -> PlayedEpisode:
        """Have one episode played, when there is a free place; see `EpisodePlayer.play`.

        Raises:
            ClusterError: If the cluster or its workers cannot be used.
        """
        async with self._slots:
            site, update = await self._shared(policy, bank, offer)
            lease = self._pool.lease(site)
            try:
                result: RolloutResult = await lease.call("play", plan, update)
            except (ConfigError, MissingDependencyError) as error:
                raise ClusterError(f"a worker cannot play: {error}") from error
            finally:
                lease.release()
            loop = asyncio.get_running_loop()
            writing = loop.run_in_executor(self._traces, self.recorder.take_over, result.rows)
            await asyncio.shield(writing)  # what was played is recorded, also of a cancelled run
        if isinstance(result.outcome, Failed):
            raise result.outcome.error()
        steps = tuple(replace(step, offer=offer) for step in result.outcome.steps)
        return replace(result.outcome, steps=steps)

    async def aclose(self) -> None:
        """Write the last traces, and have the workers let go of the run."""
        await asyncio.to_thread(self._traces.shutdown)
        await super().aclose()
        if self._site is not None:
            await self._pool.forget(self._site)

    async def _shared(
        self, policy: SkillPolicy, bank: SkillBank, offer: SkillOffer
    ) -> tuple[Order[RolloutSite], UpdateOrder]:
        """The run, and the update whose episodes all have this offer, for workers to fetch."""
        async with self._sharing:
            if self._site is None:
                self._site = await self._pool.aorder(self._recipe)
            if self._update is None or self._update[0] is not offer:
                parts = await asyncio.to_thread(_parts_of, policy, bank, offer)
                shared = await self._pool.ashare(parts)
                self._update = offer, UpdateOrder(id=uuid.uuid4().hex, parts=shared)
            return self._site, self._update[1]


def _parts_of(policy: SkillPolicy, bank: SkillBank, offer: SkillOffer) -> UpdateParts:
    return UpdateParts(
        tensors={
            name: tensor.detach().cpu().numpy() for name, tensor in policy.state_dict().items()
        },
        bank=bank.to_json(),
        new_skills=frozenset(bank.new_names),
        offer=offer,
    )
