"""The snapshot node: tells whoever keeps count that an evolution has been made."""

from collections.abc import Callable

from langgraph_memskill.evolution.nodes.base import EvolutionNode
from langgraph_memskill.evolution.state import EvolutionState, bank_of
from langgraph_memskill.skills.bank import SkillBank


class SnapshotNode(EvolutionNode):
    """Hands on the bank in use; doing it twice does no harm."""

    def __init__(self, keep: Callable[[str, SkillBank], None] | None = None) -> None:
        """Hand it to this function, with the evolution's id; None keeps nothing."""
        self._keep = keep

    def work(self, state: EvolutionState) -> EvolutionState:
        """Keep."""
        if self._keep is not None:
            self._keep(state["id"], bank_of(state["after"]))
        return {}
