"""A person's decision about proposed changes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from langgraph_memskill.errors import EvolutionError
from langgraph_memskill.evolution.records import ProposedChange, RejectedChange, SkillChange

REFUSED = "refused by a person"
"""Why a change is not made that a person does not want."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """Texts that a person gives instead of the designer's."""

    number: int
    """Of the change, from 1."""
    description: str | None = None
    """None keeps the designer's."""
    instructions: str | None = None
    """None keeps the designer's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What becomes of each proposed change; changes are numbered from 1."""

    accept: tuple[int, ...] = ()
    refuse: tuple[int, ...] = ()
    edits: tuple[Edit, ...] = ()
    """Changes to accept with other texts."""

    @classmethod
    def accept_all(cls, changes: Sequence[SkillChange]) -> "Decision":
        """Accept every change as it is."""
        return cls(accept=tuple(range(1, len(changes) + 1)))

    @classmethod
    def refuse_all(cls, changes: Sequence[SkillChange]) -> "Decision":
        """Refuse every change."""
        return cls(refuse=tuple(range(1, len(changes) + 1)))


def check_decision(decision: Decision, num_changes: int) -> None:
    """See to it that a decision is about every change, and about each only once.

    Raises:
        EvolutionError: If a number is missing, unknown or there twice.
    """
    edited = [edit.number for edit in decision.edits]
    numbers = [*decision.accept, *decision.refuse, *edited]
    if unknown := sorted(set(numbers) - set(range(1, num_changes + 1))):
        raise EvolutionError(
            f"there is no change {unknown[0]}: the changes are numbered from 1 to {num_changes}"
        )
    if twice := sorted({number for number in numbers if numbers.count(number) > 1}):
        raise EvolutionError(f"change {twice[0]} is decided twice: accept, refuse or edit it")
    if missing := sorted(set(range(1, num_changes + 1)) - set(numbers)):
        told = ", ".join(map(str, missing))
        raise EvolutionError(f"nothing is decided about {told}: accept or refuse every change")


def decide(
    decision: Decision, proposals: Sequence[ProposedChange]
) -> tuple[list[ProposedChange], list[RejectedChange]]:
    """Split proposals into those to be made, with their new texts, and the refused ones.

    Raises:
        EvolutionError: If the decision does not fit the proposals.
    """
    check_decision(decision, len(proposals))
    edits = {edit.number: edit for edit in decision.edits}
    wanted, refused = [], []
    for number, proposal in enumerate(proposals, 1):
        if number in decision.refuse:
            refused.append(RejectedChange(proposal=proposal, reasons=(REFUSED,)))
        elif (edit := edits.get(number)) is not None:
            wanted.append(_edited(proposal, edit))
        else:
            wanted.append(proposal)
    return wanted, refused


def _edited(proposal: ProposedChange, edit: Edit) -> ProposedChange:
    return replace(
        proposal,
        description=proposal.description if edit.description is None else edit.description,
        instructions=proposal.instructions if edit.instructions is None else edit.instructions,
    )
