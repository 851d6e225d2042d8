"""The cluster node: groups the cases by what they ask (METHOD, "Evolution")."""

from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.evolution.nodes.base import EvolutionNode
from langgraph_memskill.evolution.selection import cluster
from langgraph_memskill.evolution.state import EvolutionState, settings_of


class ClusterNode(EvolutionNode):
    """Writes `labels`: k-means over the embeddings of the cases' questions."""

    def __init__(self, encoder: TextEncoder) -> None:
        """Embed with this encoder."""
        self._encoder = encoder

    def work(self, state: EvolutionState) -> EvolutionState:
        """Cluster."""
        settings = settings_of(state)
        rows = self._encoder.encode([case["question"] for case in state["cases"]])
        return {"labels": cluster(rows, settings.num_clusters, seed=settings.seed)}
