"""The construction graph: spans in, memories out (METHOD, "One construction step").

```
          +--------------- nothing worth storing, or no budget -------------+
          |                                                                 v
START -> split -> gate -> retrieve -> select_skills -> extract ---------> store -> END
                   ^                                   (one task a span)    |
                   +------------------------ more spans --------------------+
```

Training, evaluation and live agents all run this graph.
"""

from dataclasses import dataclass
from typing import Any

from langchain_core.language_models import BaseChatModel
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.base import BaseStore
from langgraph.types import Checkpointer, RetryPolicy, Send

from langgraph_memskill.controller.selectors import Selector
from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.errors import ModelCallError
from langgraph_memskill.graphs.nesting import ready_for_nesting
from langgraph_memskill.nodes.extract import ExtractNode
from langgraph_memskill.nodes.gate import GateNode
from langgraph_memskill.nodes.retrieve import DEFAULT_NAMESPACE, RetrieveNode
from langgraph_memskill.nodes.select_skills import SelectSkillsNode
from langgraph_memskill.nodes.split import SplitNode
from langgraph_memskill.nodes.store import StoreNode
from langgraph_memskill.settings import Settings
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.state import ConstructionState, ExtractTask, MemSkillContext
from langgraph_memskill.stores.applying import MemoryWriter
from langgraph_memskill.traces.recording import TraceRecorder
from langgraph_memskill.writing.budget import BudgetKeeper

_NO_STEP_LIMIT = 1_000_000_000
"""The loop ends with the spans; LangGraph's guard against endless loops must not end it earlier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstructionParts:
    """What a construction graph is made of."""

    model: BaseChatModel
    model_name: str
    encoder: TextEncoder
    bank: SkillBank
    selector: Selector
    store: BaseStore | None = None
    """None takes the store that the graph is compiled or run with."""
    writer: MemoryWriter | None = None
    namespace: tuple[str, ...] = DEFAULT_NAMESPACE
    settings: Settings = Settings()
    recorder: TraceRecorder | None = None
    """Writes the traces of every run; None writes none."""


def build_construction_graph(
    parts: ConstructionParts, *, checkpointer: Checkpointer = None
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Compile the construction graph.

    With a checkpointer a run that was interrupted goes on where it stopped
    (`graph.invoke(None, config)`), and nothing is applied twice.

    Args:
        parts: Model, encoder, skills, selector, store and settings.
        checkpointer: Any LangGraph checkpointer.

    Returns:
        A graph over `ConstructionState`, with `MemSkillContext` (or any context with a `user_id`).
    """
    builder = StateGraph(ConstructionState, context_schema=MemSkillContext)
    _add_nodes(builder, parts)
    builder.add_edge(START, "split")
    builder.add_conditional_edges("split", _next_step, ["gate", END])
    builder.add_conditional_edges("gate", _read_or_store, ["retrieve", "store"])
    builder.add_edge("retrieve", "select_skills")
    builder.add_conditional_edges("select_skills", _extract_tasks, ["extract"])
    builder.add_edge("extract", "store")
    builder.add_conditional_edges("store", _next_step, ["gate", END])
    graph = builder.compile(checkpointer=checkpointer, store=parts.store, name="construction")
    return ready_for_nesting(graph, checkpointer).with_config(recursion_limit=_NO_STEP_LIMIT)


def _add_nodes(builder: StateGraph[Any, Any, Any, Any], parts: ConstructionParts) -> None:
    settings = parts.settings
    locks = parts.writer.log.locks if parts.writer is not None else None
    budgets = BudgetKeeper(settings.budgets, locks)
    where: dict[str, Any] = {"store": parts.store, "namespace": parts.namespace}
    builder.add_node("split", SplitNode(settings, namespace=parts.namespace))
    builder.add_node(
        "gate",
        GateNode(gate=settings.gate, span_workers=settings.span_workers, budgets=budgets, **where),
    )
    builder.add_node(
        "retrieve",
        RetrieveNode(
            parts.encoder,
            top_k=settings.top_k,
            update_candidates=settings.update_candidates,
            candidate_similarity=settings.candidate_similarity,
            **where,
        ),
    )
    builder.add_node(
        "select_skills",
        SelectSkillsNode(
            parts.bank,
            parts.selector,
            parts.encoder,
            skills_per_span=settings.skills_per_span,
            recorder=parts.recorder,
        ),
    )
    builder.add_node(
        "extract",
        ExtractNode(
            parts.model,
            parts.bank,
            attempts=settings.model_attempts,
            budgets=budgets,
            store=parts.store,
        ),
        input_schema=ExtractTask,
        retry_policy=RetryPolicy(max_attempts=settings.model_attempts, retry_on=ModelCallError),
    )
    builder.add_node(
        "store",
        StoreNode(
            model_name=parts.model_name,
            writer=parts.writer,
            merging=parts.encoder if settings.merge_duplicates else None,
            recorder=parts.recorder,
            **where,
        ),
    )


def _next_step(state: ConstructionState) -> str:
    return "gate" if state["cursor"] < len(state["episode"]["spans"]) else END


def _read_or_store(state: ConstructionState) -> str:
    return "store" if state["outcomes"] else "retrieve"


def _extract_tasks(state: ConstructionState) -> list[Send]:
    rows = zip(
        state["batch"],
        state["retrieved"],
        state["candidates"],
        state["close"],
        state["selected"],
        strict=True,
    )
    calls = state.get("calls_left")
    return [
        Send(
            "extract",
            ExtractTask(
                position=position,
                span=span,
                namespace=state["episode"]["namespace"],
                memories=[*memories, *candidates],
                marked=close,
                selection=selection,
                calls_left=None if calls is None else calls // len(state["batch"]),
            ),
        )
        for position, (span, memories, candidates, close, selection) in enumerate(rows)
    ]
