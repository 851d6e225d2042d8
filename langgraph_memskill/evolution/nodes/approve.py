"""The approve node: a person accepts, edits or refuses each change, perhaps days later."""

from langgraph.types import interrupt

from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.evolution.approval import Decision, decide
from langgraph_memskill.evolution.nodes.base import EvolutionNode
from langgraph_memskill.evolution.nodes.check import checked, passed
from langgraph_memskill.evolution.records import EvolutionStatus, ProposedChange
from langgraph_memskill.evolution.state import EvolutionState, bank_of, ended
from langgraph_memskill.state import dump_all, load, load_all


class ApproveNode(EvolutionNode):
    """Interrupts the graph with the changes; it goes on with a `Decision` as plain JSON.

    Edited texts are held to the same rules as the designer's.
    """

    def __init__(self, encoder: TextEncoder) -> None:
        """Check edited texts with this encoder."""
        self._encoder = encoder

    def work(self, state: EvolutionState) -> EvolutionState:
        """Ask, and take the answer."""
        answer = interrupt({"changes": state["changes"], "reason": state["reason"]})
        proposals = load_all(ProposedChange, state["proposals"])
        wanted, refused = decide(load(Decision, answer), proposals)
        decided: EvolutionState = {**state, "proposals": dump_all(wanted)}
        found = checked(decided, bank_of(state["bank"]), self._encoder)
        rejected = [*(state.get("rejected") or []), *dump_all([*refused, *found.rejected])]
        update: EvolutionState = {"rejected": rejected, **passed(found)}
        if found.changes:
            return update
        return {**update, **ended(EvolutionStatus.REJECTED, "no change was accepted")}
