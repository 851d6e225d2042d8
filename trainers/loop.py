"""The training loop: play episodes side by side, update the controller, let the skills evolve."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from pydantic import JsonValue

from langgraph_memskill.controller.distribution import NewSkillBias
from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.errors import ClusterError, TrainingError
from langgraph_memskill.observed_runs import as_run
from langgraph_memskill.records import Usage
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.trainers.baselines import compared
from langgraph_memskill.trainers.checkpoints import Checkpoints, TrainState
from langgraph_memskill.trainers.config import TrainConfig
from langgraph_memskill.trainers.episode_kinds import AnyEpisodeKind
from langgraph_memskill.trainers.episodes import EpisodePlayer, PlayedEpisode
from langgraph_memskill.trainers.epoch_values import epoch_values, mean, stage_reward
from langgraph_memskill.trainers.evolution import Evolution, StageReport
from langgraph_memskill.trainers.metrics.names import Metric
from langgraph_memskill.trainers.metrics.writers import open_writers
from langgraph_memskill.trainers.ppo import PPOTrainer
from langgraph_memskill.trainers.remote_rollouts import RemotePlayer, Rollouts
from langgraph_memskill.trainers.results import RunResults, write_results

logger = logging.getLogger(__name__)

CHECKPOINTS = "checkpoints"
TRACES = "traces"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainParts:
    """What a run works with."""

    model: BaseChatModel
    model_name: str
    encoder: TextEncoder
    """For runs that can be repeated, one whose vectors depend on nothing but their texts."""
    bank: SkillBank
    """The skills at the start."""
    episodes: AnyEpisodeKind
    """What is remembered, and how the memories are put to the test."""
    evolution: Evolution | None = None
    rollouts: Rollouts | None = None
    """A cluster that the episodes are spread over; None plays them in this process."""
    tensorboard: bool = False
    wandb_project: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainProgress:
    """Where a run stands, for whoever watches it."""

    step: int
    """Updates that are done."""
    num_updates: int
    outer_epoch: int
    reward: float | None
    """Mean final reward of the last update's episodes; None if none came to its end."""
    recent_reward: float | None
    """Mean over the last updates."""
    usage: Usage
    failed_episodes: int
    seconds: float
    seconds_left: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """What a run has come to."""

    state: TrainState
    results: RunResults
    """The controllers in the run folder."""


OnProgress = Callable[[TrainProgress], None]


class TrainingRun:
    """One run in a folder of its own; a second process can go on where a first one was killed."""

    def __init__(
        self, folder: str | Path, config: TrainConfig, parts: TrainParts, *, run_id: str
    ) -> None:
        """Prepare a run; nothing is written yet.

        Args:
            folder: Of the run.
            config: Its numbers.
            parts: What it works with.
            run_id: Goes into the traces.
        """
        self.folder = Path(folder)
        self.config = config
        self._parts = parts
        self._bank = parts.bank.copy()
        width = parts.encoder.dim
        policy = SkillPolicy(
            state_dim=2 * width,
            skill_dim=width,
            hidden_dim=config.hidden_dim,
            seed=config.seed,
        )
        self.trainer = PPOTrainer(policy, config.ppo, seed=config.seed, device=config.device)
        self.checkpoints = Checkpoints(self.folder / CHECKPOINTS, keep=config.keep_checkpoints)
        self._run_id = run_id
        self._state = TrainState(bank=_json(self._bank.to_json()))

    def resume(self) -> TrainState:
        """Go back to the last whole checkpoint; without any the run begins anew.

        Raises:
            CheckpointError: If all of them are damaged, or one is of a newer version.
        """
        if not self.checkpoints.steps():
            return self._state
        self._state = self.checkpoints.load(self.trainer)
        self._bank = SkillBank.from_json(self._state.bank)
        self._bank.set_new(self._state.new_skills)
        if self._parts.evolution is not None:
            self._parts.evolution.restore(self._state.evolution)
        return self._state

    def run(self, on_progress: OnProgress | None = None) -> TrainResult:
        """Train to the end; see `arun`."""
        return asyncio.run(self.arun(on_progress))

    async def arun(self, on_progress: OnProgress | None = None) -> TrainResult:
        """Train to the end.

        Args:
            on_progress: Called after every update.

        Returns:
            Where the run ended, and the controllers that it wrote.

        Raises:
            TrainingError: If too many episodes fail, or the numbers go out of range.
            CheckpointError: If a checkpoint cannot be written.
            ClusterError: If the cluster or its workers cannot be used.
        """
        return await as_run("memskill_train", lambda: self._train(on_progress))

    async def _train(self, on_progress: OnProgress | None) -> TrainResult:
        player = self._player()
        begun = _Clock(self._state)
        try:
            with open_writers(
                self.folder,
                start_step=self._state.step,
                tensorboard=self._parts.tensorboard,
                wandb_project=self._parts.wandb_project,
                wandb_run_id=self._run_id if self._parts.wandb_project else None,
            ) as writer:
                while self._state.step < self.config.num_updates and not self._state.stopped:
                    values = await self._update(player, begun)
                    writer.write(self._state.step - 1, values)
                    self._checkpoint()
                    if on_progress is not None:
                        on_progress(self._progress(begun, values))
        finally:
            await player.aclose()
        results = write_results(
            self.folder,
            self.config,
            self.checkpoints,
            self._state,
            self.trainer.policy,
            encoder_name=self._parts.encoder.name,
            run_id=self._run_id,
        )
        return TrainResult(state=self._state, results=results)

    def _player(self) -> EpisodePlayer:
        parts = self._parts
        common = (
            parts.model,
            parts.model_name,
            parts.encoder,
            parts.episodes,
            self.config,
            self.folder / TRACES,
        )
        for_designer = parts.evolution is not None
        if parts.rollouts is None:
            return EpisodePlayer(*common, run_id=self._run_id, for_designer=for_designer)
        return RemotePlayer(parts.rollouts, *common, run_id=self._run_id, for_designer=for_designer)

    async def _update(self, player: EpisodePlayer, clock: "_Clock") -> Mapping[str, float | None]:
        """One inner epoch; at the end of a stage the skills may change."""
        outer, inner = divmod(self._state.step, self.config.inner_epochs)
        started = time.perf_counter()
        bias = self._bias()
        played = await as_run("memskill_rollout", lambda: self._play(player, bias, outer, inner))
        self._check_failures(len(played))
        buffer = self.trainer.new_buffer()
        for steps in compared(played, self.config.baseline):
            buffer.add(steps)
        metrics = await as_run(
            "memskill_update", lambda: asyncio.to_thread(self.trainer.update, buffer)
        )
        self._count_skills(played)
        self._advance(played, clock)
        if self._parts.evolution is not None:
            queries = [query for episode in played for query in episode.queries]
            self._parts.evolution.observe(self._state.step - 1, queries)
        reward_of_stage = None
        if inner == self.config.inner_epochs - 1:
            reward_of_stage = await self._end_stage(outer)
        self._keep_outside_state()
        return epoch_values(
            played,
            metrics,
            failed=self.config.episodes - len(played),
            bias=bias.scale if self._bank.new_names else 0.0,
            num_skills=len(self._bank),
            reward_of_stage=reward_of_stage,
            seconds=time.perf_counter() - started,
        )

    async def _play(
        self, player: EpisodePlayer, bias: NewSkillBias, outer: int, inner: int
    ) -> list[PlayedEpisode]:
        """The batch's episodes in the order of their plans, without those that failed."""
        plans = self._parts.episodes.plans(self.config, outer=outer, inner=inner)
        offer = await asyncio.to_thread(player.offer, self._bank, bias)
        policy = self.trainer.policy.eval()
        found = await asyncio.gather(
            *(player.play(plan, policy, self._bank, offer) for plan in plans),
            return_exceptions=True,
        )
        played = []
        for plan, outcome in zip(plans, found, strict=True):
            if isinstance(outcome, PlayedEpisode):
                played.append(outcome)
            elif isinstance(outcome, Exception) and not isinstance(outcome, ClusterError):
                logger.warning("episode %s failed: %s", plan.id, outcome, exc_info=outcome)
            else:
                raise outcome
        return played

    def _check_failures(self, num_played: int) -> None:
        failed = self.config.episodes - num_played
        if failed / self.config.episodes > self.config.max_failed_share or num_played == 0:
            raise TrainingError(
                f"{failed} of {self.config.episodes} episodes of update {self._state.step} failed "
                f"(max_failed_share is {self.config.max_failed_share:g}): see the log for the "
                "reasons, then resume the run"
            )

    def _bias(self) -> NewSkillBias:
        bias = NewSkillBias(p_min=self.config.bias_p_min)
        since = self._state.updates_since_change
        if since is None:
            return replace(bias, scale=0.0)
        return bias.after(since, decay_updates=self.config.bias_updates)

    def _count_skills(self, played: Sequence[PlayedEpisode]) -> None:
        """Statistics of the bank: rewards by pick, usage by step (METHOD, "Skill bank")."""
        counts: dict[str, int] = {}
        steps = [(step, episode.score) for episode in played for step in episode.steps]
        for step, score in steps:
            for index in step.chosen:
                name = step.offer.names[index]
                self._bank.record_reward(name, score)
                counts[name] = counts.get(name, 0) + 1
        self._bank.ema_batch(counts, len(steps))

    def _advance(self, played: Sequence[PlayedEpisode], clock: "_Clock") -> None:
        state, reward = self._state, mean([episode.score for episode in played])
        found = () if reward is None else (reward,)
        recent = (*state.recent_rewards, *found)[-self.config.best_updates :]
        since = state.updates_since_change
        state = replace(
            state,
            step=state.step + 1,
            updates_since_change=None if since is None else since + 1,
            stage_rewards=(*state.stage_rewards, *found),
            recent_rewards=recent,
            episodes=state.episodes + len(played),
            failed_episodes=state.failed_episodes + self.config.episodes - len(played),
            usage=sum((episode.usage for episode in played), state.usage),
            seconds=clock.seconds,
        )
        average = mean(recent)
        is_full = len(recent) == self.config.best_updates
        best = -math.inf if state.best_reward is None else state.best_reward
        if average is not None and is_full and average > best:
            state = replace(state, best_reward=average, best_step=state.step)
        self._state = state
        if since is not None and since + 1 >= self.config.bias_updates:
            self._bank.clear_new()

    async def _end_stage(self, outer: int) -> float | None:
        rewards = self._state.stage_rewards
        reward = stage_reward(rewards, self.config.stage_share)
        self._state = replace(self._state, stage_rewards=())
        if self._parts.evolution is None:
            return reward
        report = StageReport(
            number=outer,
            reward=reward,
            rewards=rewards,
            is_last=outer == self.config.outer_epochs - 1,
        )
        outcome = await self._parts.evolution.after_stage(report, self._bank.copy())
        self._state = replace(
            self._state, stopped=outcome.stop, usage=self._state.usage + outcome.usage
        )
        if outcome.bank is not None:
            self._bank = outcome.bank.copy()
            self._state = replace(self._state, updates_since_change=0)
        return reward

    def _keep_outside_state(self) -> None:
        evolution = self._parts.evolution
        self._state = replace(
            self._state,
            bank=_json(self._bank.to_json()),
            new_skills=tuple(sorted(self._bank.new_names)),
            evolution={} if evolution is None else evolution.state(),
        )

    def _checkpoint(self) -> None:
        step = self._state.step
        is_best = self._state.best_step == step
        is_end = step % self.config.inner_epochs == 0 or self._state.stopped
        if step % self.config.checkpoint_every == 0 or is_best or is_end:
            self.checkpoints.save(self.trainer, self._state)

    def _progress(self, clock: "_Clock", values: Mapping[str, float | None]) -> TrainProgress:
        state = self._state
        left = self.config.num_updates - state.step
        return TrainProgress(
            step=state.step,
            num_updates=self.config.num_updates,
            outer_epoch=(state.step - 1) // self.config.inner_epochs,
            reward=values.get(Metric.FINAL_REWARD),
            recent_reward=mean(state.recent_rewards),
            usage=state.usage,
            failed_episodes=state.failed_episodes,
            seconds=state.seconds,
            seconds_left=clock.seconds_each(state.step) * left,
        )


class _Clock:
    """Time of the run, earlier sessions included."""

    def __init__(self, state: TrainState) -> None:
        self._before = state.seconds
        self._first_step = state.step
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        return self._before + time.perf_counter() - self._started

    def seconds_each(self, step: int) -> float:
        spent = time.perf_counter() - self._started
        return spent / max(1, step - self._first_step)


def _json(content: Mapping[str, Any]) -> dict[str, JsonValue]:
    return cast(dict[str, JsonValue], dict(content))
