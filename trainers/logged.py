"""Recorded episodes that a controller can be trained on, or judged by."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from langgraph_memskill.controller.distribution import NewSkillBias
from langgraph_memskill.controller.files import ControllerSettings, StoredController
from langgraph_memskill.controller.policy import SkillPolicy
from langgraph_memskill.controller.state import FusionMode
from langgraph_memskill.errors import ConfigError, TraceError
from langgraph_memskill.traces.episodes import RecordedEpisode, read_recorded
from langgraph_memskill.traces.files import Skipped
from langgraph_memskill.traces.reader import TraceReader
from langgraph_memskill.traces.rows import BankTrace, BiasTrace, EpisodeTrace, StepTrace
from langgraph_memskill.trainers.rollout import RolloutStep, SkillOffer

# Shapes: S state width, K chosen skills.

_PARSE_FAILURE = "ParseError"
_FULL = 1 << 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a controller's inputs are made with; traces of other inputs mean nothing to it."""

    encoder: str
    skill_dim: int
    fusion: FusionMode = "mean"
    tau: float = 1.0

    @classmethod
    def of_controller(cls, settings: ControllerSettings) -> "Inputs":
        """Those of a saved controller."""
        return cls(
            encoder=settings.encoder,
            skill_dim=settings.op_dim,
            fusion=settings.fusion,
            tau=settings.tau,
        )

    @classmethod
    def of_traces(cls, reader: TraceReader) -> "Inputs":
        """Those of the first recorded step, for a controller that starts from nothing.

        Raises:
            TraceError: If there is no step that can be used.
        """
        for step in reader.steps():
            fusion: FusionMode = "sim_weighted" if step.fusion == "sim_weighted" else "mean"
            return cls(
                encoder=step.encoder, skill_dim=step.state.size // 2, fusion=fusion, tau=step.tau
            )
        raise TraceError(f"{str(reader.folder)!r} holds no step to learn from")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoggedStep:
    """One recorded choice."""

    state: NDArray[np.float32]
    """[S]."""
    offer: SkillOffer
    chosen: tuple[int, ...]
    log_prob: float
    """Under the policy that made the choice, in nats."""
    sampled: bool
    """Whether that policy drew it; False says that it had no other choice."""
    process_reward: float
    """0 where none was recorded."""

    def rollout(self, *, value: float = 0.0, reward: float = 0.0) -> RolloutStep:
        """The step as trainers take it."""
        return RolloutStep(
            state=self.state,
            offer=self.offer,
            chosen=self.chosen,
            log_prob=self.log_prob,
            value=value,
            reward=reward,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoggedEpisode:
    """A recorded episode with its final reward."""

    id: str
    steps: tuple[LoggedStep, ...]
    """In order, at least one."""
    reward: float

    @property
    def sampled(self) -> bool:
        """Whether every choice was drawn, so that other choices were possible."""
        return all(step.sampled for step in self.steps)


def fresh_controller(inputs: Inputs, *, seed: int = 0) -> StoredController:
    """A controller of fresh weights for some inputs, to start from.

    Args:
        inputs: What its states and skills are made with.
        seed: Of the weights.
    """
    policy = SkillPolicy(state_dim=2 * inputs.skill_dim, skill_dim=inputs.skill_dim, seed=seed)
    settings = ControllerSettings(
        version="",
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        state_dim=policy.state_dim,
        op_dim=policy.skill_dim,
        hidden_dim=policy.hidden_dim,
        encoder=inputs.encoder,
        fusion=inputs.fusion,
        tau=inputs.tau,
    )
    return StoredController(policy, settings)


class LoggedData(NamedTuple):
    """What a folder of traces offers."""

    episodes: tuple[LoggedEpisode, ...]
    """Sorted by id, so that the order of the files makes no difference."""
    skipped: tuple[Skipped, ...]


def read_logged(
    reader: TraceReader, inputs: Inputs, rewards: Iterable[EpisodeTrace] = ()
) -> LoggedData:
    """Read the episodes that have a reward and fit a controller's inputs.

    Steps whose model call failed are left out: their choice had no consequence. An episode without
    a reward, with a bank version that is missing, or with other inputs is counted and left out.

    Args:
        reader: Where from.
        inputs: The controller's.
        rewards: Further rewards, such as an application's feedback.

    Raises:
        TraceError: If nothing is left; the message says what was skipped.
    """
    offers = _Offers(reader, inputs)
    found = []
    for recorded in read_recorded(reader, rewards):
        try:
            found.append(_logged(recorded, offers))
        except _Unusable as problem:
            reader.skip("episode", str(problem), recorded.id)
    if not found:
        skipped = "".join(f"\n{entry}" for entry in reader.skipped)
        raise TraceError(f"no episode in {str(reader.folder)!r} can be used{skipped}")
    return LoggedData(tuple(sorted(found, key=lambda episode: episode.id)), reader.skipped)


def split_held_out(
    episodes: Iterable[LoggedEpisode], share: float
) -> tuple[tuple[LoggedEpisode, ...], tuple[LoggedEpisode, ...]]:
    """Split by a hash of the episode id, so that every program draws the same line.

    Args:
        episodes: Any.
        share: Share that is held out, in [0, 1].

    Returns:
        The episodes to train on, and those held out.

    Raises:
        ConfigError: If the share is out of range.
    """
    if not 0 <= share <= 1:
        raise ConfigError(f"holdout={share!r} must be a share from 0 to 1")
    train: list[LoggedEpisode] = []
    held_out: list[LoggedEpisode] = []
    for episode in episodes:
        digest = hashlib.sha256(episode.id.encode()).digest()
        part = int.from_bytes(digest[:8], "big") / _FULL
        (held_out if part < share else train).append(episode)
    return tuple(train), tuple(held_out)


class _Unusable(Exception):
    """An episode that cannot be used; the message is the reason."""


def _logged(recorded: RecordedEpisode, offers: "_Offers") -> LoggedEpisode:
    if recorded.reward is None:
        raise _Unusable("it has no reward")
    steps = tuple(_step(step, offers.of(step)) for step in recorded.steps if _was_read(step))
    if not steps:
        raise _Unusable("none of its spans was read")
    return LoggedEpisode(id=recorded.id, steps=steps, reward=recorded.reward)


def _was_read(step: StepTrace) -> bool:
    return step.failure is None or step.failure == _PARSE_FAILURE


def _step(step: StepTrace, offer: SkillOffer) -> LoggedStep:
    return LoggedStep(
        state=step.state,
        offer=offer,
        chosen=step.chosen,
        log_prob=step.log_prob,
        sampled=step.sampled,
        process_reward=step.process_reward or 0.0,
    )


class _Offers:
    """The skills on offer; steps with the same ones share one object."""

    def __init__(self, reader: TraceReader, inputs: Inputs) -> None:
        self._banks = reader.banks()
        self._inputs = inputs
        self._made: dict[tuple[str, BiasTrace | None], SkillOffer] = {}

    def of(self, step: StepTrace) -> SkillOffer:
        self._check(step)
        bank = self._banks.get((step.bank_version, step.encoder))
        if bank is None:
            raise _Unusable(f"its bank version {step.bank_version!r} is missing")
        if bank.embeddings.shape[1] != self._inputs.skill_dim:
            raise _Unusable(_width(bank.embeddings.shape[1], self._inputs))
        if len(bank.skills) != len(step.probabilities):
            raise _Unusable(f"bank version {step.bank_version!r} has another number of skills")
        key = (step.bank_version, step.bias)
        if key not in self._made:
            self._made[key] = _offer(bank, step.bias)
        return self._made[key]

    def _check(self, step: StepTrace) -> None:
        inputs = self._inputs
        if step.encoder != inputs.encoder:
            raise _Unusable(
                f"it was recorded with the encoder {step.encoder!r}, not {inputs.encoder!r}"
            )
        if step.state.size != 2 * inputs.skill_dim:
            raise _Unusable(_width(step.state.size // 2, inputs))
        same_tau = step.tau == inputs.tau or inputs.fusion == "mean"
        if step.fusion != inputs.fusion or not same_tau:
            raise _Unusable(
                f"its states are made with fusion {step.fusion!r} (tau {step.tau:g}), the "
                f"controller's with {inputs.fusion!r} (tau {inputs.tau:g})"
            )


def _width(found: int, inputs: Inputs) -> str:
    return f"its embeddings have width {found}, the controller's {inputs.skill_dim}"


def _offer(bank: BankTrace, bias: BiasTrace | None) -> SkillOffer:
    is_new = np.zeros(len(bank.skills), bool)
    if bias is not None:
        is_new[list(bias.new_skills)] = True
    return SkillOffer(
        names=tuple(skill.name for skill in bank.skills),
        embeddings=bank.embeddings,
        is_new=is_new,
        bias=None
        if bias is None
        else NewSkillBias(p_min=bias.p_min, delta_max=bias.delta_max, scale=bias.scale),
        version=bank.version,
    )


def without_bias(offer: SkillOffer) -> SkillOffer:
    """The same skills as a controller in use sees them: without an exploration bonus."""
    return offer if offer.bias is None else replace(offer, bias=None)
