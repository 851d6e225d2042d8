"""What the training loop asks of the evolution of skills."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from pydantic import JsonValue

from langgraph_memskill.records import Usage
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.trainers.episode_kinds import AskedQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class StageReport:
    """A stage that has ended: one outer epoch."""

    number: int
    """From 0."""
    reward: float | None
    """Mean reward of its last part; None if no episode of it came to its end."""
    rewards: tuple[float, ...]
    """Mean reward of every update."""
    is_last: bool
    """Whether no stage would follow: skills that change now are never tried."""


class EvolutionOutcome(NamedTuple):
    """What is to happen to the skills."""

    bank: SkillBank | None = None
    """The bank to go on with, its new skills marked; None keeps the present one."""
    stop: bool = False
    """Whether further stages are not worth it."""
    usage: Usage = Usage()
    """What the designer's calls cost."""


class Evolution(Protocol):
    """Changes the skill bank between stages (METHOD, "Evolution")."""

    def observe(self, step: int, queries: Sequence[AskedQuery]) -> None:
        """Take the queries of an update; the failed ones are hard cases.

        Args:
            step: The update, from 0 over the whole run.
            queries: In an order that does not depend on which episode ended first.
        """

    async def after_stage(self, stage: StageReport, bank: SkillBank) -> EvolutionOutcome:
        """Decide about the skills; `bank` must not be changed in place."""

    def state(self) -> dict[str, JsonValue]:
        """Everything that a checkpoint needs to go on, as plain JSON values."""

    def restore(self, state: Mapping[str, JsonValue]) -> None:
        """Go on from what `state` gave."""
