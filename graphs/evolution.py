"""The evolution graph: hard cases in, a better skill bank out (METHOD, "Evolution").

```
START -> collect -> cluster -> sample -> diagnose -> analyse -> criticise --+
                                                         ^          |       |
            an analysis is given                         +- rounds -+       v
         +------------------------------------------------------------> propose <-- none passed
         |                                                                  |            |
      collect                                                             check ---------+
                                                                            |
                             END <- snapshot <- apply <- gate <- (approve) <+
```
Any node that finds nothing to change, or fails for good, ends it. Until the apply node replaces
the bank as a whole nothing outside of the graph has changed, so a run may break off anywhere; with
a checkpointer it goes on where it stopped.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Checkpointer

from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.evolution.designer import Designer
from langgraph_memskill.evolution.diagnosis import Evidence
from langgraph_memskill.evolution.nodes.analyse import AnalyseNode
from langgraph_memskill.evolution.nodes.apply import ApplyNode
from langgraph_memskill.evolution.nodes.approve import ApproveNode
from langgraph_memskill.evolution.nodes.check import CheckNode
from langgraph_memskill.evolution.nodes.cluster import ClusterNode
from langgraph_memskill.evolution.nodes.collect import CollectNode
from langgraph_memskill.evolution.nodes.criticise import CriticiseNode
from langgraph_memskill.evolution.nodes.diagnose import DiagnoseNode
from langgraph_memskill.evolution.nodes.gate import Gate, GateNode
from langgraph_memskill.evolution.nodes.propose import ProposeNode
from langgraph_memskill.evolution.nodes.sample import SampleNode
from langgraph_memskill.evolution.nodes.snapshot import SnapshotNode
from langgraph_memskill.evolution.places import BankPlace
from langgraph_memskill.evolution.records import EvolutionStatus, HardCase
from langgraph_memskill.evolution.state import EvolutionState, settings_of
from langgraph_memskill.skills.bank import SkillBank

_STEP_LIMIT = 1000
"""Settings bound the loops; LangGraph's guard against endless loops must not end them earlier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvolutionParts:
    """What an evolution graph is made of."""

    designer: Designer
    encoder: TextEncoder
    place: BankPlace
    """Where the bank is."""
    source: Callable[[], Sequence[HardCase]] | None = None
    """Gives the hard cases where the graph's input has none."""
    evidence: Evidence | None = None
    """Where the memories of the cases are; None diagnoses nothing."""
    gate: Gate | None = None
    """Has the last word on the changed bank; None lets everything pass."""
    keep: Callable[[str, SkillBank], None] | None = None
    """Is told of every evolution that was made."""


def build_evolution_graph(
    parts: EvolutionParts, *, checkpointer: Checkpointer = None
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Compile the evolution graph.

    Args:
        parts: Designer, encoder, bank, cases.
        checkpointer: Any LangGraph checkpointer; approval needs one.

    Returns:
        A graph over `EvolutionState`; `evolution.evolving.start_of` makes its input.
    """
    builder = StateGraph(EvolutionState)
    builder.add_node("collect", CollectNode(parts.place, parts.source))
    builder.add_node("cluster", ClusterNode(parts.encoder))
    builder.add_node("sample", SampleNode())
    builder.add_node("diagnose", DiagnoseNode(parts.evidence))
    builder.add_node("analyse", AnalyseNode(parts.designer))
    builder.add_node("criticise", CriticiseNode(parts.designer))
    builder.add_node("propose", ProposeNode(parts.designer))
    builder.add_node("check", CheckNode(parts.encoder))
    builder.add_node("approve", ApproveNode(parts.encoder))
    builder.add_node("gate", GateNode(parts.encoder, parts.gate))
    builder.add_node("apply", ApplyNode(parts.place, parts.encoder))
    builder.add_node("snapshot", SnapshotNode(parts.keep))
    builder.add_edge(START, "collect")
    builder.add_conditional_edges("collect", _choose_or_propose, ["cluster", "propose", END])
    builder.add_edge("cluster", "sample")
    builder.add_edge("sample", "diagnose")
    builder.add_edge("diagnose", "analyse")
    builder.add_conditional_edges("analyse", _criticise_or_propose, ["criticise", "propose", END])
    builder.add_conditional_edges("criticise", _criticise_or_propose, ["criticise", "propose", END])
    builder.add_conditional_edges("propose", _or_end("check"), ["check", END])
    builder.add_conditional_edges("check", _after_check, ["propose", "approve", "gate", END])
    builder.add_conditional_edges("approve", _or_end("gate"), ["gate", END])
    builder.add_conditional_edges("gate", _or_end("apply"), ["apply", END])
    builder.add_conditional_edges("apply", _after_apply, ["snapshot", END])
    builder.add_edge("snapshot", END)
    graph = builder.compile(checkpointer=checkpointer, name="evolution")
    return graph.with_config(recursion_limit=_STEP_LIMIT)


def _choose_or_propose(state: EvolutionState) -> str:
    if state.get("status"):
        return END
    return "cluster" if state.get("analysis") is None else "propose"


def _criticise_or_propose(state: EvolutionState) -> str:
    if state.get("status"):
        return END
    is_over = state["is_settled"] or state["rounds"] >= settings_of(state).reflection_rounds
    return "propose" if is_over else "criticise"


def _after_check(state: EvolutionState) -> str:
    if state.get("status"):
        return END
    if not state["changes"]:
        return "propose"
    return "approve" if state["approve"] else "gate"


def _after_apply(state: EvolutionState) -> str:
    return "snapshot" if state["status"] == EvolutionStatus.APPLIED else END


def _or_end(node: str) -> Callable[[EvolutionState], str]:
    def next_node(state: EvolutionState) -> str:
        return END if state.get("status") else node

    return next_node
