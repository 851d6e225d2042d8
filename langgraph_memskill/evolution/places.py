"""Where the bank is that evolves, and how it is replaced as a whole."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from langgraph_memskill.evolution.checking import Checked
from langgraph_memskill.skills.bank import SkillBank


@dataclass(frozen=True, slots=True, kw_only=True)
class EvolutionNote:
    """What is noted about an evolution with the bank that it gives."""

    id: str
    model: str
    """Name of the designer's model."""
    reason: str
    cases: tuple[str, ...] = ()
    """Keys of the cases that the designer was shown."""


class Placed(NamedTuple):
    """The bank after an evolution."""

    checked: Checked
    version: str | None = None
    """Id of its version, where banks have versions."""


class BankPlace(Protocol):
    """Where a bank is."""

    def present(self) -> SkillBank:
        """The bank as it is now; what is done to it changes nothing here."""

    def change(self, note: EvolutionNote, make: Callable[[SkillBank], Checked]) -> Placed:
        """Replace the bank by what `make` makes of the present one, as a whole or not at all.

        Doing it again for the same evolution, after a crash, gives the same bank.

        Args:
            note: The evolution.
            make: Checks and makes the changes; without any nothing is replaced.
        """


class HeldBank:
    """A bank in this process."""

    def __init__(self, bank: SkillBank) -> None:
        """Hold a copy."""
        self._bank = bank.copy()

    def present(self) -> SkillBank:
        """A copy of the bank."""
        return self._bank.copy()

    def change(self, note: EvolutionNote, make: Callable[[SkillBank], Checked]) -> Placed:
        """See `BankPlace.change`."""
        made = make(self._bank.copy())
        if made.changes:
            self._bank = made.bank.copy()
        return Placed(made)
