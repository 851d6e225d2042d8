"""Where the bank is that evolves, and how it is replaced as a whole."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from langgraph_memskill.errors import ConflictError, SkillError
from langgraph_memskill.evolution.checking import Checked
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.skills.version_records import SkillVersion, VersionAuthor, VersionNote
from langgraph_memskill.skills.versions import SkillVersions

_TRIES = 5
"""How often a bank that others change at the same moment is read again."""


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


class FolderBank:
    """The bank of a folder with versions; the changed bank is a new version, put to use at once."""

    def __init__(self, versions: SkillVersions, *, protected: Collection[str] = ()) -> None:
        """Change this bank.

        Args:
            versions: Of the bank.
            protected: Skills that make no room for new ones, beside those that the bank protects.
        """
        self._versions = versions
        self._protected = tuple(protected)

    def present(self) -> SkillBank:
        """The bank as its files have it, edits by hand included."""
        return self._guarded(self._versions.load())

    def change(self, note: EvolutionNote, make: Callable[[SkillBank], Checked]) -> Placed:
        """See `BankPlace.change`."""
        if (done := self._done(note.id)) is not None:
            base = (
                self._versions.load() if done.parent is None else self._versions.bank(done.parent)
            )
            return Placed(self._made(base, make), done.id)
        for _ in range(_TRIES):
            bank, base_id = self._versions.in_use()
            made = self._made(bank, make)
            if not made.changes:
                return Placed(made)
            version = self._versions.record(made.bank, _version_note(note), parent=base_id)
            try:
                self._versions.activate(version.id, expected=base_id)
            except ConflictError:
                continue
            return Placed(made, version.id)
        raise SkillError("the skills are changed by others all the time: try again later")

    def _made(self, bank: SkillBank, make: Callable[[SkillBank], Checked]) -> Checked:
        """Make the changes; the protection that is only ours is not written down."""
        own = bank.protected
        made = make(self._guarded(bank))
        made.bank.unprotect(*(made.bank.protected - own))
        return made

    def _guarded(self, bank: SkillBank) -> SkillBank:
        bank.protect(*(name for name in self._protected if name in bank))
        return bank

    def _done(self, evolution_id: str) -> SkillVersion | None:
        """The version that the evolution has put to use already, before a crash."""
        used = {switch.version for switch in self._versions.switches()}
        made = (v for v in self._versions.log() if v.note.evolution_id == evolution_id)
        return next((version for version in made if version.id in used), None)


def _version_note(note: EvolutionNote) -> VersionNote:
    return VersionNote(
        author=VersionAuthor.DESIGNER,
        reason=note.reason,
        model=note.model,
        cases=note.cases,
        evolution_id=note.id,
    )
