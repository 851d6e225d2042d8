import asyncio
from dataclasses import dataclass
from typing import Any, TypedDict
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime, ServerInfo
from langgraph.store.base import InvalidNamespaceError
from langgraph.store.memory import InMemoryStore

from langgraph_memskill.errors import NamespaceError
from langgraph_memskill.namespaces import (
    NamespaceTemplate,
    current_runtime,
    encode_label,
    running_for,
)

TEMPLATE = NamespaceTemplate(("memories", "{user_id}"))


@given(st.text(min_size=1).filter(str.strip), st.text(min_size=1).filter(str.strip))
def test_different_ids_never_share_a_label(one: str, other: str) -> None:
    assert (encode_label(one) == encode_label(other)) == (one == other)


@given(st.text(min_size=1).filter(str.strip))
def test_every_id_makes_a_namespace_that_langgraph_accepts(user: str) -> None:
    store = InMemoryStore()
    store.put(TEMPLATE.resolve(user_id=user), "key", {"text": "x"})
    assert store.get(TEMPLATE.resolve(user_id=user), "key") is not None


def test_a_raw_address_would_not_be_accepted() -> None:
    with pytest.raises(InvalidNamespaceError):
        InMemoryStore().put(("memories", "ann@example.org"), "key", {})


@pytest.mark.parametrize(
    ("user", "label"),
    [
        (7, "7"),
        ("ann@example.org", "ann@example%2Eorg"),
        ("a/b:c", "a%2Fb%3Ac"),
        ("*", "%2A"),
        ("é", "%C3%A9"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_ids_become_readable_labels(user: object, label: str) -> None:
    assert TEMPLATE.resolve(user_id=user) == ("memories", label)


@pytest.mark.parametrize("user", ["", "  ", True, False])
def test_ids_that_name_nobody_are_refused(user: object) -> None:
    with pytest.raises(NamespaceError):
        TEMPLATE.resolve(user_id=user)


def test_a_user_may_be_called_like_a_reserved_label() -> None:
    template = NamespaceTemplate(("{user_id}", "memories"))
    assert template.resolve(user_id="langgraph") == ("%6Canggraph", "memories")
    assert template.resolve(user_id="memskill") == ("%6Demskill", "memories")
    assert template.resolve(user_id="%6Canggraph") == ("%256Canggraph", "memories")


@pytest.mark.parametrize(
    "labels",
    [(), "memories", ("memories", ""), ("a.b",), ("{user_id",), ("{0}",), ("{}",), ("langgraph",)],
)
def test_templates_that_cannot_work_are_refused_at_once(labels: Any) -> None:
    with pytest.raises(NamespaceError):
        NamespaceTemplate(labels)


def test_a_missing_value_is_named() -> None:
    template = NamespaceTemplate(("memories", "{org}", "{user_id}"))
    with pytest.raises(NamespaceError, match="'org'"):
        template.resolve(user_id="u")
    assert template.resolve(user_id="u", scope={"org": 3}) == ("memories", "3", "u")


def test_the_literal_prefix_ends_at_the_first_placeholder() -> None:
    assert NamespaceTemplate(("a", "b", "{user_id}", "c")).literal_prefix == ("a", "b")


@dataclass
class Context:
    user_id: str | None = None


class State(TypedDict, total=False):
    namespace: tuple[str, ...]


def _resolve(state: State) -> State:
    return {"namespace": TEMPLATE.resolve(runtime=current_runtime())}


async def _aresolve(state: State) -> State:
    return _resolve(state)


def _graph(node: Any) -> Any:
    builder = StateGraph(State, context_schema=Context)
    builder.add_node("resolve", node)
    builder.add_edge(START, "resolve")
    builder.add_edge("resolve", END)
    return builder.compile()


def test_the_user_is_found_in_the_context_then_in_the_config() -> None:
    config = {"configurable": {"user_id": "from config"}}
    graph = _graph(_resolve)
    found = graph.invoke({}, config, context=Context("from context"))
    assert found["namespace"] == ("memories", "from%20context")
    assert graph.invoke({}, config, context=Context())["namespace"][1] == "from%20config"
    for nobody in ({}, {"configurable": {"user_id": ""}}):
        with pytest.raises(NamespaceError, match="needs a value for 'user_id'"):
            graph.invoke({}, nobody)


def test_the_user_is_found_in_async_runs_and_in_mappings() -> None:
    found = asyncio.run(_graph(_aresolve).ainvoke({}, context=Context("u1")))
    assert found["namespace"] == ("memories", "u1")
    assert TEMPLATE.resolve(runtime=Runtime(context={"user_id": 5})) == ("memories", "5")


class LoggedIn:
    identity = "ann"
    is_authenticated = True


def _on_server(context: object, user: object) -> Runtime[Any]:
    return Runtime(context=context, server_info=ServerInfo("a", "g", user))  # type: ignore[arg-type]


def test_the_servers_user_is_taken_if_the_context_names_none() -> None:
    runtime = _on_server(None, LoggedIn())
    assert TEMPLATE.resolve(runtime=runtime) == ("memories", "ann")
    assert TEMPLATE.resolve(runtime=runtime, user_id="u") == ("memories", "u")


def test_a_client_who_is_logged_in_may_only_name_himself() -> None:
    assert TEMPLATE.resolve(runtime=_on_server(Context("ann"), LoggedIn())) == ("memories", "ann")
    with pytest.raises(NamespaceError, match="user_id='bob' is not the user who is logged in"):
        TEMPLATE.resolve(runtime=_on_server(Context("bob"), LoggedIn()))


def test_the_context_counts_on_a_server_where_nobody_logs_in() -> None:
    class Anybody:
        identity = ""
        is_authenticated = False

    assert TEMPLATE.resolve(runtime=_on_server(Context("bob"), Anybody())) == ("memories", "bob")


def test_a_graphs_input_may_only_name_the_namespace_of_who_is_logged_in() -> None:
    ann = _on_server(None, LoggedIn())
    assert TEMPLATE.of_run(None, ann) == ("memories", "ann")
    assert TEMPLATE.of_run(["memories", "ann"], ann) == ("memories", "ann")
    with pytest.raises(NamespaceError, match=r"\['memories', 'bob'\] is not that of the user"):
        TEMPLATE.of_run(["memories", "bob"], ann)


def test_code_of_the_process_may_name_any_namespace() -> None:
    ann = _on_server(None, LoggedIn())
    with running_for(("memories", "team")):
        assert TEMPLATE.of_run(["memories", "team"], ann) == ("memories", "team")
        with pytest.raises(NamespaceError):
            TEMPLATE.of_run(["memories", "bob"], ann)
    with pytest.raises(NamespaceError):
        TEMPLATE.of_run(["memories", "team"], ann)
