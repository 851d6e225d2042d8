"""The criticise node: one round of criticism of the analysis (METHOD, "Evolution")."""

from langgraph_memskill.evolution.designer import Reply, Request
from langgraph_memskill.evolution.nodes.designing import DesigningNode
from langgraph_memskill.evolution.prompts import criticism_messages
from langgraph_memskill.evolution.records import Analysis
from langgraph_memskill.evolution.replies import Criticism, CriticismReply, criticism_of
from langgraph_memskill.evolution.state import EvolutionState, bank_of, chosen_of
from langgraph_memskill.state import dump, load


class CriticiseNode(DesigningNode[Criticism]):
    """Improves `analysis`; it is settled once criticism changes nothing, or cannot be had."""

    def request(self, state: EvolutionState) -> Request[Criticism]:
        """Ask for criticism."""
        bank, cases = bank_of(state["bank"]), chosen_of(state)
        analysis = _analysis(state)
        return Request(
            messages=lambda structured: criticism_messages(
                bank, cases, analysis, structured=structured
            ),
            schema=CriticismReply,
            parse=criticism_of,
        )

    def take(self, state: EvolutionState, reply: Reply[Criticism]) -> EvolutionState:
        """Take the improved analysis, if it is one."""
        rounds = state["rounds"] + 1
        improved = None if reply.value is None else reply.value.analysis
        if improved is None or improved == _analysis(state):
            return {"rounds": rounds, "is_settled": True}
        return {"rounds": rounds, "is_settled": False, "analysis": dump(improved)}


def _analysis(state: EvolutionState) -> Analysis:
    return load(Analysis, state["analysis"] or {})
