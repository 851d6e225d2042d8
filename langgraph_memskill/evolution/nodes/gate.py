"""The gate node: whether the changed bank may replace the present one."""

from collections.abc import Callable, Sequence

from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.evolution.nodes.base import EvolutionNode
from langgraph_memskill.evolution.nodes.check import checked
from langgraph_memskill.evolution.records import (
    EvolutionStatus,
    HardCase,
    ProposedChange,
    RejectedChange,
)
from langgraph_memskill.evolution.state import EvolutionState, bank_of, chosen_of, ended
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.state import dump_all, load_all

Gate = Callable[[SkillBank, SkillBank, Sequence[HardCase]], str | None]
"""Compares a bank with what it is to become; a text says why it may not, None lets it pass. The
cases are those that the designer was shown, so they prove nothing."""


class GateNode(EvolutionNode):
    """Ends the evolution if the gate does not let the changed bank pass."""

    def __init__(self, encoder: TextEncoder, gate: Gate | None = None) -> None:
        """Ask this gate; without one everything passes."""
        self._encoder = encoder
        self._gate = gate

    def work(self, state: EvolutionState) -> EvolutionState:
        """Compare."""
        if self._gate is None:
            return {}
        before = bank_of(state["bank"])
        after = checked(state, before, self._encoder).bank
        reason = self._gate(before, after, chosen_of(state))
        if reason is None:
            return {}
        refused = [
            RejectedChange(proposal=proposal, reasons=(reason,))
            for proposal in load_all(ProposedChange, state["proposals"])
        ]
        update: EvolutionState = {
            "proposals": [],
            "changes": [],
            "rejected": [*(state.get("rejected") or []), *dump_all(refused)],
        }
        return {**update, **ended(EvolutionStatus.REJECTED, reason)}
