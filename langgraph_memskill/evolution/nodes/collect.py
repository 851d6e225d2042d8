"""The collect node: takes the hard cases and the present bank (METHOD, "Evolution")."""

from collections.abc import Callable, Sequence

from langgraph_memskill.evolution.nodes.base import EvolutionNode
from langgraph_memskill.evolution.places import BankPlace
from langgraph_memskill.evolution.records import EvolutionStatus, HardCase
from langgraph_memskill.evolution.selection import deduplicate
from langgraph_memskill.evolution.state import EvolutionState, bank_document, ended
from langgraph_memskill.state import dump_all, load_all


class CollectNode(EvolutionNode):
    """Writes `bank` and, unless an analysis is given, `cases` without repetitions."""

    def __init__(
        self, place: BankPlace, source: Callable[[], Sequence[HardCase]] | None = None
    ) -> None:
        """Make the node.

        Args:
            place: Where the bank is.
            source: Gives the cases where the graph's input has none.
        """
        self._place = place
        self._source = source

    def work(self, state: EvolutionState) -> EvolutionState:
        """Collect."""
        update: EvolutionState = {"bank": bank_document(self._place.present())}
        if state.get("analysis") is not None:
            return {**update, "cases": []}
        given = state.get("cases")
        if given is not None:
            cases = load_all(HardCase, given)
        else:
            cases = list(self._source()) if self._source is not None else []
        kept = deduplicate(cases)
        if not kept:
            return {**update, **ended(EvolutionStatus.NO_CHANGE, "there are no hard cases")}
        return {**update, "cases": dump_all(kept)}
