"""The answering graph: a question in, recalled memories and an answer out (METHOD, "Questions")."""

from collections.abc import Mapping
from typing import Any

from langchain_core.language_models import BaseChatModel
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.base import BaseStore
from langgraph.types import Checkpointer

from langgraph_memskill.embedding import TextEncoder
from langgraph_memskill.graphs.nesting import ready_for_nesting
from langgraph_memskill.namespaces import Namespace
from langgraph_memskill.nodes.answer import AnswerNode
from langgraph_memskill.nodes.recall import RecallNode
from langgraph_memskill.nodes.retrieve import DEFAULT_NAMESPACE
from langgraph_memskill.prompts import AnswerStyle
from langgraph_memskill.records import Answer, Memory
from langgraph_memskill.search.settings import SearchSettings
from langgraph_memskill.state import AnsweringState, MemSkillContext, load_all
from langgraph_memskill.stores.changes import ChangeLog
from langgraph_memskill.stores.items import checked_query


def build_answering_graph(
    model: BaseChatModel | None,
    encoder: TextEncoder,
    *,
    store: BaseStore | None = None,
    namespace: tuple[str, ...] = DEFAULT_NAMESPACE,
    top_k: int = 20,
    search: SearchSettings | None = None,
    change_log: ChangeLog | None = None,
    checkpointer: Checkpointer = None,
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Compile the graph recall -> answer.

    Args:
        model: Reads the question and the memories; None recalls and leaves the answer empty.
        encoder: Ranks the memories of a store without an embedding index.
        store: Where the memories are; None takes the graph's store.
        namespace: Template of the memories' namespace.
        top_k: Memories a question, >= 1.
        search: How the memories are found; None takes the defaults.
        change_log: The store's change log; None takes the one of this process for the store.
        checkpointer: Any LangGraph checkpointer.

    Returns:
        A graph over `AnsweringState`, with `MemSkillContext` (or any context with a `user_id`).
    """
    recall = RecallNode(
        encoder,
        store=store,
        namespace=namespace,
        top_k=top_k,
        search=search,
        change_log=change_log,
    )
    builder = StateGraph(AnsweringState, context_schema=MemSkillContext)
    builder.add_node("recall", recall)
    builder.add_edge(START, "recall")
    if model is None:
        builder.add_edge("recall", END)
    else:
        builder.add_node("answer", AnswerNode(model))
        builder.add_edge("recall", "answer")
        builder.add_edge("answer", END)
    graph = builder.compile(checkpointer=checkpointer, store=store, name="answering")
    return ready_for_nesting(graph, checkpointer)


def ask(
    question: str, namespace: Namespace, style: AnswerStyle, date: str | None
) -> AnsweringState:
    """The graph's input for one question.

    Raises:
        ConfigError: If the question is blank.
    """
    asked: AnsweringState = {
        "question": checked_query(question),
        "namespace": list(namespace),
        "style": style.value,
    }
    if date is not None:
        asked["question_date"] = date
    return asked


def answer_of(final: Mapping[str, Any]) -> Answer:
    """The answer in the graph's final state; its text is "" if no model was asked."""
    return Answer(text=final.get("answer", ""), memories=tuple(load_all(Memory, final["recalled"])))
