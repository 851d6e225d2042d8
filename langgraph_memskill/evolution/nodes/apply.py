"""The apply node: replaces the bank as a whole, or not at all."""

from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.evolution.checking import Checked, check
from langgraph_memskill.evolution.nodes.base import EvolutionNode
from langgraph_memskill.evolution.places import BankPlace, EvolutionNote
from langgraph_memskill.evolution.records import (
    ChangeAction,
    EvolutionStatus,
    ProposedChange,
    RejectedChange,
)
from langgraph_memskill.evolution.state import (
    EvolutionState,
    bank_document,
    bank_of,
    chosen_of,
    ended,
    settings_of,
)
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.skills.folder import text_id
from langgraph_memskill.state import dump_all, load_all


class ApplyNode(EvolutionNode):
    """Writes `after`, `version` and the status.

    The bank may have changed since the designer saw it, days ago perhaps: the changes are made on
    what it is now, and the refinement of a skill that says something else by now is rejected.
    """

    def __init__(self, place: BankPlace, encoder: TextEncoder) -> None:
        """Change the bank of this place; find copies with this encoder."""
        self._place = place
        self._encoder = encoder

    def work(self, state: EvolutionState) -> EvolutionState:
        """Apply."""
        note = EvolutionNote(
            id=state["id"],
            model=state["designer"],
            reason=state["reason"],
            cases=tuple(case.key for case in chosen_of(state)),
        )
        placed = self._place.change(note, lambda present: self._made(state, present))
        made = placed.checked
        update: EvolutionState = {
            "after": bank_document(made.bank),
            "version": placed.version,
            "changes": dump_all(made.changes),
            "rejected": [*(state.get("rejected") or []), *dump_all(made.rejected)],
        }
        if made.changes:
            return {**update, **ended(EvolutionStatus.APPLIED, state["reason"])}
        reason = "the skills have been changed meanwhile, and no change fits them any more"
        return {**update, **ended(EvolutionStatus.REJECTED, reason)}

    def _made(self, state: EvolutionState, present: SkillBank) -> Checked:
        seen = bank_of(state["bank"])
        fitting: list[ProposedChange] = []
        outdated: list[RejectedChange] = []
        for proposal in load_all(ProposedChange, state["proposals"]):
            if _says_else(proposal, seen, present):
                reason = f"skill {proposal.name!r} was changed since the designer saw it"
                outdated.append(RejectedChange(proposal=proposal, reasons=(reason,)))
            else:
                fitting.append(proposal)
        found = check(
            fitting,
            present,
            encoder=self._encoder,
            settings=settings_of(state),
            cases=chosen_of(state),
            at=state["at"],
        )
        return Checked(
            bank=found.bank,
            changes=found.changes,
            accepted=found.accepted,
            rejected=(*outdated, *found.rejected),
        )


def _says_else(proposal: ProposedChange, seen: SkillBank, present: SkillBank) -> bool:
    if proposal.action is ChangeAction.ADD_NEW:
        return False
    old, new = seen.get(proposal.name), present.get(proposal.name)
    return old is not None and new is not None and text_id(old) != text_id(new)
