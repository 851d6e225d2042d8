"""The typed records of a trace; `schema` says how they are stored.

Shapes: N candidate skills, K chosen skills, D width of the encoder's embeddings.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from langgraph_memskill.records import ActionType

Floats = NDArray[np.float32]

_HASH_CHARS = 32


def text_hash(text: str) -> str:
    """The first 32 hex digits of a text's SHA-256; the same text gives the same hash.

    A short text can be guessed from its hash by trying: a trace without texts is not anonymous.
    """
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_CHARS]


class ActionStatus(StrEnum):
    """What became of an action."""

    APPLIED = "applied"
    REJECTED = "rejected"
    """A check did not let it through."""
    DROPPED = "dropped"
    """Another action of the batch stood for it, or its span was overtaken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionTrace:
    """One action that the executor asked for."""

    type: ActionType
    status: ActionStatus
    memory_id: str | None = None
    change_id: str | None = None
    """The entry in the change log; None if nothing was changed."""
    content_hash: str | None = None
    """`text_hash` of the content; None without content."""
    content: str | None = None
    """Only if texts are kept."""
    reason: str | None = None
    """Why it was rejected, for which a model's words may be quoted; only if texts are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasTrace:
    """The exploration bonus that was in force (METHOD step 5)."""

    p_min: float
    delta_max: float
    scale: float
    new_skills: tuple[int, ...]
    """The candidates that got it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepTrace:
    """One step: a span, the choice of skills for it, and what came of it."""

    run_id: str
    """One opening of a recorder: a training run, or an application's session."""
    thread_id: str | None
    """The LangGraph thread."""
    episode_id: str
    """The run of the construction graph in which the span was first met; rewards name it."""
    span_id: str
    """Unique. A span that is tried again has several rows; the last one holds."""
    step: int
    """Position of the span in its episode, from 0."""
    num_steps: int
    """Spans of the episode, those included that a gate passed over and that have no row."""
    span_hash: str
    span_text: str | None = None
    """Only if texts are kept."""

    bank_version: str
    encoder: str
    """Name of the encoder of state and skills."""
    selector: str
    """What chose: "controller", "similarity", "random" ..."""
    controller_version: str
    """Content hash of the controller; empty if no weights chose."""
    fusion: str
    """How the memories' embeddings became one: "mean" or "sim_weighted"."""
    tau: float
    """Temperature of the fusion "sim_weighted"."""
    state: Floats
    """Span embedding and fused memory embedding, float32 [2 D]."""
    chosen: tuple[int, ...]
    """The picked skills in order, K positions among the bank version's skills sorted by name."""
    log_prob: float
    """Joint log-probability of the ordered choice under `probabilities`, in nats, <= 0."""
    probabilities: Floats
    """One probability a candidate, the bias included, float32 [N]."""
    sampled: bool
    """Whether the choice was drawn with these probabilities; False if the best were taken."""
    value: float | None = None
    """The critic's estimate; None if there was no critic."""
    bias: BiasTrace | None = None
    """None if no bonus was in force."""

    actions: tuple[ActionTrace, ...] = ()
    """Everything that the executor asked for; one noop if it said that there is nothing to do."""
    failure: str | None = None
    """Kind of what went wrong ("ParseError", "ConnectionError"); None if the span was read."""
    failure_text: str | None = None
    """What exactly; only if texts are kept."""
    calls: int = 0
    """Model calls, failed attempts included."""
    input_tokens: int = 0
    output_tokens: int = 0
    tokens_estimated: bool = False
    """Whether the model did not report its tokens."""
    chosen_at: datetime
    """When the skills were picked (UTC)."""
    stored_at: datetime
    """When the outcome was in the store (UTC)."""
    extract_s: float | None = None
    """Seconds from the call of the model to its reply; None if none was called."""
    process_reward: float | None = None
    """Reward of the step alone (METHOD, "Reward"); None if it was not computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeTrace:
    """An episode that ended, or a reward for it that came later."""

    episode_id: str
    run_id: str
    at: datetime
    """When it ended, or when the reward was given (UTC)."""
    thread_id: str | None = None
    num_steps: int | None = None
    """Spans of the episode; None in a row that brings only a reward."""
    reward: float | None = None
    """Final reward, finite; None if there is none yet. Of several the latest holds."""
    source: str | None = None
    """Where the reward came from: "application", "f1", "llm_judge" ..."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillTrace:
    """One skill of a bank version."""

    name: str
    description: str
    instructions: str
    action_type: ActionType


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BankTrace:
    """A version of the skill bank as the controller saw it."""

    version: str
    encoder: str
    skills: tuple[SkillTrace, ...]
    """Sorted by name: a position here is a position in `StepTrace.chosen`."""
    embeddings: Floats
    """Of the descriptions, float32 [N, D]."""
