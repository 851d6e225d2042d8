"""Rewards that an application gives to episodes, kept in the store."""

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from langgraph.store.base import BaseStore, PutOp, SearchItem

from langgraph_memskill.errors import ConfigError
from langgraph_memskill.namespaces import internal_namespace
from langgraph_memskill.state import dump, load
from langgraph_memskill.stores.items import aread_items, read_items

_NAMESPACE = internal_namespace("feedback")


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """One reward for one episode."""

    episode_id: str
    reward: float
    """Finite; benchmarks use [0, 1]."""
    at: datetime
    """When it was given (UTC)."""
    source: str = "application"


def make_feedback(episode_id: str, reward: float, source: str = "application") -> Feedback:
    """Check a reward.

    Raises:
        ConfigError: If the episode id is blank or the reward is not a finite number.
    """
    if not isinstance(episode_id, str) or not episode_id.strip():
        raise ConfigError(f"episode_id={episode_id!r} must be the id that remember() returned")
    if isinstance(reward, bool) or not isinstance(reward, int | float) or not math.isfinite(reward):
        raise ConfigError(f"reward={reward!r} must be a finite number")
    return Feedback(
        episode_id=episode_id, reward=float(reward), at=datetime.now(UTC), source=source
    )


def put_feedback(feedback: Feedback) -> PutOp:
    """The store operation that records a reward."""
    return PutOp(_NAMESPACE, uuid.uuid4().hex, dump(feedback), index=False)


def read_feedback(store: BaseStore, episode_id: str | None = None) -> list[Feedback]:
    """The rewards of an episode, or all, oldest first."""
    return _ordered(read_items(store, _NAMESPACE), episode_id)


async def aread_feedback(store: BaseStore, episode_id: str | None = None) -> list[Feedback]:
    """Like `read_feedback`, without blocking the event loop."""
    return _ordered(await aread_items(store, _NAMESPACE), episode_id)


def _ordered(items: Sequence[SearchItem], episode_id: str | None) -> list[Feedback]:
    found = [load(Feedback, item.value) for item in items]
    wanted = [f for f in found if episode_id is None or f.episode_id == episode_id]
    return sorted(wanted, key=lambda feedback: feedback.at)
