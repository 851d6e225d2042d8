"""Graphs that run inside of other graphs' runs."""

from typing import Any

from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Checkpointer

_DURABILITY = "__pregel_durability"
"""Where LangGraph keeps a run's durability in `configurable`."""


def ready_for_nesting(
    graph: CompiledStateGraph[Any, Any, Any, Any], checkpointer: Checkpointer
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Keep the durability of an outer run away from a graph that never has a checkpointer.

    LangGraph 1.2 hands it down to every run that a node starts, and with "sync" a run without a
    checkpointer waits for a checkpoint that nobody writes: it fails with an AttributeError.

    Args:
        graph: A compiled graph.
        checkpointer: What it was compiled with; only for False is anything changed.
    """
    if checkpointer is not False:
        return graph
    return graph.with_config(configurable={_DURABILITY: "async"})
