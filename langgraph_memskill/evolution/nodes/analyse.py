"""The analyse node: what the cases have in common (METHOD, "Evolution")."""

from langgraph_memskill.evolution.designer import Reply, Request
from langgraph_memskill.evolution.nodes.designing import DesigningNode
from langgraph_memskill.evolution.prompts import analysis_messages
from langgraph_memskill.evolution.records import Analysis, EvolutionStatus, StageFeedback
from langgraph_memskill.evolution.replies import AnalysisReply, analysis_of
from langgraph_memskill.evolution.state import EvolutionState, bank_of, chosen_of, ended
from langgraph_memskill.state import dump, load


class AnalyseNode(DesigningNode[Analysis]):
    """Writes `analysis`; if there is none to be had, the evolution has failed."""

    def request(self, state: EvolutionState) -> Request[Analysis]:
        """Ask for an analysis."""
        bank, cases = bank_of(state["bank"]), chosen_of(state)
        feedback = feedback_of(state)
        return Request(
            messages=lambda structured: analysis_messages(
                bank, cases, feedback=feedback, structured=structured
            ),
            schema=AnalysisReply,
            parse=analysis_of,
        )

    def take(self, state: EvolutionState, reply: Reply[Analysis]) -> EvolutionState:
        """Keep the analysis."""
        if reply.value is None:
            return ended(EvolutionStatus.FAILED, f"no analysis: {reply.failure}")
        return {"analysis": dump(reply.value), "rounds": 0, "is_settled": False}


def feedback_of(state: EvolutionState) -> StageFeedback | None:
    """What the last evolution was worth, if that is known."""
    feedback = state.get("feedback")
    return None if feedback is None else load(StageFeedback, feedback)
