"""The propose node: which skills to change, and how (METHOD, "Evolution")."""

from langgraph_memskill.evolution.designer import Reply, Request
from langgraph_memskill.evolution.nodes.analyse import feedback_of
from langgraph_memskill.evolution.nodes.designing import DesigningNode
from langgraph_memskill.evolution.prompts import proposal_messages
from langgraph_memskill.evolution.records import (
    Analysis,
    EvolutionStatus,
    FailedAttempt,
    RejectedChange,
)
from langgraph_memskill.evolution.replies import Proposal, ProposalReply, proposal_of
from langgraph_memskill.evolution.state import (
    EvolutionState,
    bank_of,
    chosen_of,
    ended,
    settings_of,
)
from langgraph_memskill.state import dump_all, load, load_all


class ProposeNode(DesigningNode[Proposal]):
    """Writes `proposals` and `reason`; an evolution without any ends here."""

    def request(self, state: EvolutionState) -> Request[Proposal]:
        """Ask for changes."""
        settings = settings_of(state)
        bank, cases = bank_of(state["bank"]), chosen_of(state)
        analysis = load(Analysis, state["analysis"] or {})
        attempts = load_all(FailedAttempt, state.get("failed_attempts") or [])
        rejected = load_all(RejectedChange, state.get("rejected") or [])
        feedback = feedback_of(state)
        return Request(
            messages=lambda structured: proposal_messages(
                bank,
                cases,
                analysis,
                max_changes=settings.max_changes,
                refine_only=settings.refine_only,
                failed_attempts=attempts,
                feedback=feedback,
                rejected=rejected,
                structured=structured,
            ),
            schema=ProposalReply,
            parse=proposal_of,
        )

    def take(self, state: EvolutionState, reply: Reply[Proposal]) -> EvolutionState:
        """Keep the proposals."""
        asked: EvolutionState = {"num_proposals": state.get("num_proposals", 0) + 1}
        if reply.value is None:
            return {**asked, **ended(EvolutionStatus.FAILED, f"no proposal: {reply.failure}")}
        if not reply.value.changes:
            reason = reply.value.summary or "the designer sees nothing to change"
            is_first = not state.get("rejected")
            status = EvolutionStatus.NO_CHANGE if is_first else EvolutionStatus.REJECTED
            return {**asked, **ended(status, reason)}
        return {
            **asked,
            "proposals": dump_all(reply.value.changes),
            "reason": reply.value.summary,
        }
