"""The check node: which proposals may be made (METHOD, "Accept a change only if")."""

from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.evolution.checking import Checked, check
from langgraph_memskill.evolution.nodes.base import EvolutionNode
from langgraph_memskill.evolution.records import EvolutionStatus, ProposedChange
from langgraph_memskill.evolution.state import (
    EvolutionState,
    bank_of,
    chosen_of,
    ended,
    settings_of,
)
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.state import dump_all, load_all


class CheckNode(EvolutionNode):
    """Leaves in `proposals` what passes, with `changes` as what it comes to; adds to `rejected`."""

    def __init__(self, encoder: TextEncoder) -> None:
        """Find copies with this encoder."""
        self._encoder = encoder

    def work(self, state: EvolutionState) -> EvolutionState:
        """Check."""
        found = checked(state, bank_of(state["bank"]), self._encoder)
        refused = [*(state.get("rejected") or []), *dump_all(found.rejected)]
        update: EvolutionState = {"rejected": refused, **passed(found)}
        if found.changes or state["num_proposals"] < settings_of(state).attempts:
            return update
        reason = "no proposed change passed the check"
        return {**update, **ended(EvolutionStatus.REJECTED, reason)}


def checked(state: EvolutionState, bank: SkillBank, encoder: TextEncoder) -> Checked:
    """Check the state's proposals against a bank."""
    return check(
        load_all(ProposedChange, state["proposals"]),
        bank,
        encoder=encoder,
        settings=settings_of(state),
        cases=chosen_of(state),
        at=state["at"],
    )


def passed(found: Checked) -> EvolutionState:
    """The update that keeps what has passed."""
    return {"proposals": dump_all(found.accepted), "changes": dump_all(found.changes)}
