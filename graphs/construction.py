"""The construction graph: spans in, memories out (METHOD, "One construction step").

```
START -> split -> begin_batch -> retrieve -> select_skills -> extract (one task a span) -> store
                       ^                                                                    |
                       +--------------------------- more spans -----------------------------+-> END
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
from langgraph_memskill.nodes.extract import ExtractNode
from langgraph_memskill.nodes.retrieve import DEFAULT_NAMESPACE, RetrieveNode
from langgraph_memskill.nodes.select_skills import SelectSkillsNode
from langgraph_memskill.nodes.split import SplitNode
from langgraph_memskill.nodes.store import StoreNode
from langgraph_memskill.settings import Settings
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.state import ConstructionState, ExtractTask, MemSkillContext
from langgraph_memskill.stores.applying import MemoryWriter

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
    settings = parts.settings
    retry = RetryPolicy(max_attempts=settings.model_attempts, retry_on=ModelCallError)
    builder = StateGraph(ConstructionState, context_schema=MemSkillContext)
    builder.add_node("split", SplitNode(settings, namespace=parts.namespace))
    builder.add_node("begin_batch", _make_begin_batch(settings.span_workers))
    builder.add_node(
        "retrieve",
        RetrieveNode(
            parts.encoder,
            store=parts.store,
            namespace=parts.namespace,
            top_k=settings.top_k,
        ),
    )
    builder.add_node(
        "select_skills",
        SelectSkillsNode(
            parts.bank, parts.selector, parts.encoder, skills_per_span=settings.skills_per_span
        ),
    )
    builder.add_node(
        "extract",
        ExtractNode(parts.model, parts.bank, attempts=settings.model_attempts),
        input_schema=ExtractTask,
        retry_policy=retry,
    )
    builder.add_node(
        "store",
        StoreNode(
            store=parts.store,
            namespace=parts.namespace,
            model_name=parts.model_name,
            writer=parts.writer,
        ),
    )
    builder.add_edge(START, "split")
    builder.add_conditional_edges("split", _next_step, ["begin_batch", END])
    builder.add_edge("begin_batch", "retrieve")
    builder.add_edge("retrieve", "select_skills")
    builder.add_conditional_edges("select_skills", _extract_tasks, ["extract"])
    builder.add_edge("extract", "store")
    builder.add_conditional_edges("store", _next_step, ["begin_batch", END])
    graph = builder.compile(checkpointer=checkpointer, store=parts.store, name="construction")
    return graph.with_config(recursion_limit=_NO_STEP_LIMIT)


def _make_begin_batch(span_workers: int) -> Any:
    def begin_batch(state: ConstructionState) -> dict[str, Any]:
        start = state["cursor"]
        return {"batch": state["episode"]["spans"][start : start + span_workers], "outcomes": None}

    return begin_batch


def _next_step(state: ConstructionState) -> str:
    return "begin_batch" if state["cursor"] < len(state["episode"]["spans"]) else END


def _extract_tasks(state: ConstructionState) -> list[Send]:
    rows = zip(state["batch"], state["retrieved"], state["selected"], strict=True)
    return [
        Send(
            "extract",
            ExtractTask(position=position, span=span, memories=memories, selection=selection),
        )
        for position, (span, memories, selection) in enumerate(rows)
    ]
