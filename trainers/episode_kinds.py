"""What the loop asks of a kind of episode: what is remembered, and how memories are tested."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langgraph.store.base import BaseStore

from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.evolution.records import HardCase
from langgraph_memskill.namespaces import Namespace
from langgraph_memskill.trainers.config import TrainConfig
from langgraph_memskill.trainers.plans import PlanT


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedQuery:
    """A training query with what became of it; the failed ones are evolution's hard cases."""

    key: str
    """Identifies the query in the pool of hard cases."""
    answer: str
    """What was answered, or how the task ended."""
    score: float
    evidence: tuple[str, ...] = ()
    """Ids of the turns that the answer stands in; () if nobody says."""
    recalled: frozenset[str] = frozenset()
    """Turns that the recalled memories were written from, by id."""
    hard_case: HardCase | None = None
    """What the skills are to learn from; None for a query that succeeded."""

    @property
    def is_success(self) -> bool:
        """Whether it counts as answered."""
        return self.hard_case is None


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeMemories:
    """The memories that an episode has built, and what they are put to the test with."""

    store: BaseStore
    namespace: Namespace
    model: BaseChatModel
    encoder: TextEncoder
    config: TrainConfig
    calls: BaseCallbackHandler
    """To be among the callbacks of every graph: it counts the calls of the episode."""
    slots: asyncio.Semaphore
    """One a query that is worked on; all episodes share it."""
    for_designer: bool
    """Whether a designer will read the failures: they need answers and diagnoses."""


class EpisodeKind(Protocol[PlanT]):
    """Conversations with questions, games with trajectories, ...

    Everything that is drawn follows from seed and epoch, never from what ended first.
    """

    def plans(self, config: TrainConfig, *, outer: int, inner: int) -> Sequence[PlanT]:
        """The episodes of an update, those of one window side by side.

        Args:
            config: Numbers and sizes.
            outer: Outer epoch, from 0.
            inner: Inner epoch, from 0.

        Raises:
            ConfigError: If there is nothing to choose from.
        """

    async def ask(self, plan: PlanT, memories: EpisodeMemories) -> Sequence[AskedQuery | None]:
        """Put an episode's memories to the test.

        Args:
            plan: One of `plans`.
            memories: Built from its spans.

        Returns:
            Its queries in the plan's order; None for one that has no score, because a model or an
            engine failed or because it says nothing about the memories.
        """

    async def aclose(self) -> None:
        """End what is still running on the kind's account; called once, when the run ends."""


AnyEpisodeKind = EpisodeKind[Any]
"""A kind whose plans only it needs to know."""
