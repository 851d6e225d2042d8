"""The driver's side of a training run whose episodes are spread over a cluster."""

import uuid
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
    UpdateOrder,
    UpdateParts,
)
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
        self._site = rollouts.pool.order(
            RolloutRecipe(
                run_id=self.recorder.run_id,
                config=replace(self._config, concurrency=share),
                kind=rollouts.kind,
                model=rollouts.model,
                encoder=rollouts.encoder,
                for_designer=self._for_designer,
            )
        )
        self._order: tuple[SkillOffer, UpdateOrder] | None = None

    async def play(
        self, plan: EpisodePlan, policy: SkillPolicy, bank: SkillBank, offer: SkillOffer
    ) -> PlayedEpisode:
        """Have one episode played, when there is a free place; see `EpisodePlayer.play`.

        Raises:
            ClusterError: If the cluster or its workers cannot be used.
        """
        async with self._slots:
            lease = self._pool.lease(self._site)
            try:
                result: RolloutResult = await lease.call(
                    "play", plan, self._update(policy, bank, offer)
                )
            except (ConfigError, MissingDependencyError) as error:
                raise ClusterError(f"a worker cannot play: {error}") from error
            finally:
                lease.release()
            self.recorder.take_over(result.rows)
        if isinstance(result.outcome, Failed):
            raise result.outcome.error()
        steps = tuple(replace(step, offer=offer) for step in result.outcome.steps)
        return replace(result.outcome, steps=steps)

    def _update(self, policy: SkillPolicy, bank: SkillBank, offer: SkillOffer) -> UpdateOrder:
        """Where workers fetch the parts of an update, which all have the same offer."""
        if self._order is None or self._order[0] is not offer:
            tensors = {
                name: tensor.detach().cpu().numpy() for name, tensor in policy.state_dict().items()
            }
            parts = UpdateParts(
                tensors=tensors,
                bank=bank.to_json(),
                new_skills=frozenset(bank.new_names),
                offer=offer,
            )
            order = UpdateOrder(id=uuid.uuid4().hex, parts=self._pool.share(parts))
            self._order = offer, order
        return self._order[1]
