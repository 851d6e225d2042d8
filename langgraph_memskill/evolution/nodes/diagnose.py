"""The diagnose node: looks at the memories of the chosen cases; the designer gets the evidence."""

from langgraph_memskill.evolution.diagnosis import Evidence, diagnose_all
from langgraph_memskill.evolution.nodes.base import EvolutionNode
from langgraph_memskill.evolution.state import EvolutionState, chosen_of
from langgraph_memskill.state import dump_all


class DiagnoseNode(EvolutionNode):
    """Fills in the `diagnosis` of every chosen case that has none."""

    def __init__(self, evidence: Evidence | None = None) -> None:
        """Look here; without evidence cases stay as they are."""
        self._evidence = evidence

    def work(self, state: EvolutionState) -> EvolutionState:
        """Diagnose."""
        if self._evidence is None:
            return {}
        return {"chosen": dump_all(diagnose_all(chosen_of(state), self._evidence))}
