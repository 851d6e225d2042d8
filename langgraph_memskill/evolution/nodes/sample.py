"""The sample node: the most important cases of every cluster (METHOD, "Evolution")."""

from langgraph_memskill.evolution.nodes.base import EvolutionNode
from langgraph_memskill.evolution.records import HardCase
from langgraph_memskill.evolution.selection import sample
from langgraph_memskill.evolution.state import EvolutionState, settings_of
from langgraph_memskill.state import dump_all, load_all


class SampleNode(EvolutionNode):
    """Writes `chosen` and lets go of the other cases."""

    def work(self, state: EvolutionState) -> EvolutionState:
        """Choose."""
        settings = settings_of(state)
        chosen = sample(
            load_all(HardCase, state["cases"]),
            state["labels"],
            per_cluster=settings.cases_per_cluster,
            num_clusters=settings.num_clusters,
        )
        return {"chosen": dump_all(chosen), "cases": [], "labels": []}
