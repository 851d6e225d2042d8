"""The construction graph with checkpointers, in pieces inside of other graphs, and under faults."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.store.base import Op, PutOp, Result
from langgraph.store.memory import InMemoryStore
from langgraph.types import RetryPolicy

from langgraph_memskill.controller.selectors import SimilaritySelector
from langgraph_memskill.errors import ConfigError
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.nodes.answer import AnswerNode
from langgraph_memskill.nodes.extract import ExtractNode
from langgraph_memskill.nodes.recall import RecallNode
from langgraph_memskill.nodes.retrieve import RetrieveNode
from langgraph_memskill.nodes.select_skills import SelectSkillsNode
from langgraph_memskill.nodes.store import StoreNode
from langgraph_memskill.records import Span
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.state import ConstructionState, MemSkillContext, dump_all

Make = Callable[..., MemSkillMemory]
ORDERS = [
    "remember one red apple",
    "remember two pears",
    "change apple to one green apple",
    "remember three plums",
    "forget pears",
    "remember four figs",
]
LEFT = ["one green apple", "three plums", "four figs"]
CONFIG = {"configurable": {"thread_id": "conv"}}


class Crash(BaseException):
    """Ends the run as a kill would: nothing catches it."""


class CrashingStore(InMemoryStore):
    """Dies right after its n-th batch of writes, which is applied."""

    def __init__(self, *, index: Any, at: int) -> None:
        super().__init__(index=index)
        self.__dict__["left"] = at

    __slots__ = ("__dict__",)

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        ops = list(ops)
        results = super().batch(ops)
        if any(isinstance(op, PutOp) for op in ops):
            self.left -= 1
            if self.left == 0:
                raise Crash
        return results


def _spans() -> list[dict[str, Any]]:
    return dump_all([Span(id=f"s{n}", index=n, text=text) for n, text in enumerate(ORDERS)])


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 6])
def test_a_run_that_dies_after_a_write_is_resumed_without_applying_it_twice(
    make_memory: Make, encoder: Any, at: int
) -> None:
    index = {"dims": encoder.dim, "embed": encoder, "fields": ["text"]}
    store = CrashingStore(index=index, at=at)
    memory = make_memory(store=store, checkpointer=InMemorySaver())
    with pytest.raises(Crash):
        memory.graph.invoke({"spans": _spans(), "namespace": ["memories", "u"]}, CONFIG)
    final = memory.graph.invoke(None, CONFIG)
    assert final["cursor"] == len(ORDERS)
    assert [m.content for m in memory.memories(user_id="u")] == LEFT
    apple = memory.recall("apple", user_id="u")[0]
    assert [v.content for v in apple.history] == ["one red apple", "one green apple"]
    assert len(final["actions"]) == len(ORDERS)


def test_a_new_process_resumes_from_a_checkpoint_on_disk(
    make_memory: Make, model: Any, tmp_path: Path
) -> None:
    with SqliteSaver.from_conn_string(str(tmp_path / "checkpoints.sqlite")) as saver:
        memory = make_memory(checkpointer=saver)
        state = {"spans": _spans(), "namespace": ["memories", "u"]}
        for update in memory.graph.stream(state, CONFIG, stream_mode="updates", durability="sync"):
            if update.get("store", {}).get("cursor") == 3:
                break
    calls = len(model.prompts)
    with SqliteSaver.from_conn_string(str(tmp_path / "checkpoints.sqlite")) as saver:
        memory = make_memory(checkpointer=saver)
        memory.graph.invoke(None, CONFIG)
    assert [m.content for m in memory.memories(user_id="u")] == LEFT
    assert len(model.prompts) - calls in (3, 4)


async def test_resuming_works_in_async_runs_too(make_memory: Make, tmp_path: Path) -> None:
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "checkpoints.sqlite")) as saver:
        memory = make_memory(checkpointer=saver)
        state = {"spans": _spans(), "namespace": ["memories", "u"]}
        updates = memory.graph.astream(state, CONFIG, stream_mode="updates")
        async for update in updates:
            if update.get("store", {}).get("cursor") == 2:
                break
        await updates.aclose()  # type: ignore[attr-defined]  # it is a generator
        await memory.graph.ainvoke(None, CONFIG)
        assert [m.content for m in await memory.amemories(user_id="u")] == LEFT


def test_a_second_run_on_a_thread_starts_afresh(make_memory: Make) -> None:
    memory = make_memory(checkpointer=InMemorySaver())
    first = memory.remember("remember tea", user_id="u", config=CONFIG)
    second = memory.remember("remember coffee", user_id="u", config=CONFIG)
    assert first.episode_id != second.episode_id
    assert [a.content for a in second.actions] == ["coffee"]
    third = memory.graph.invoke(
        {"text": "remember milk"}, CONFIG, context=MemSkillContext(user_id="u")
    )
    assert [a["content"] for a in third["actions"]] == ["milk"]
    assert [m.content for m in memory.memories(user_id="u")] == ["tea", "coffee", "milk"]


def test_checkpoints_hold_plain_data_only(
    make_memory: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with SqliteSaver.from_conn_string(str(tmp_path / "checkpoints.sqlite")) as saver:
        memory = make_memory(checkpointer=saver)
        memory.remember("remember tea", user_id="u", config=CONFIG)
        assert memory.graph.get_state(CONFIG).values["cursor"] == 1
    assert "unregistered type" not in caplog.text


def test_many_spans_need_no_recursion_limit(make_memory: Make) -> None:
    memory = make_memory()
    spans = [Span(id=f"s{n}", index=n, text=f"remember fact {n}") for n in range(60)]
    assert len(memory.remember(spans, user_id="u").actions) == 60


def test_the_graph_takes_text_messages_and_a_context(make_memory: Make) -> None:
    graph = make_memory().graph
    context = MemSkillContext(user_id="u")
    assert len(graph.invoke({"text": "remember a"}, context=context)["actions"]) == 1
    messages = [("user", "remember b"), ("assistant", "ok")]
    assert len(graph.invoke({"messages": messages}, context=context)["actions"]) == 1
    with pytest.raises(ConfigError, match="nothing to remember"):
        graph.invoke({}, context=context)


class OwnState(TypedDict, total=False):
    """A user's own state: input and output. Every node brings the other keys that it needs."""

    batch: list[dict[str, Any]]
    question: str
    answer: str


async def test_every_node_works_alone_in_a_users_graph(
    encoder: Any, model: Any, store: InMemoryStore
) -> None:
    bank = SkillBank.seed()

    def hand_over(state: ConstructionState) -> dict[str, Any]:
        return {
            "span": state["batch"][0],
            "memories": state["retrieved"][0],
            "selection": state["selected"][0],
        }

    builder = StateGraph(OwnState, context_schema=MemSkillContext)
    builder.add_node("find", RetrieveNode(encoder))
    builder.add_node("pick", SelectSkillsNode(bank, SimilaritySelector(encoder), encoder))
    builder.add_node("hand_over", hand_over)
    builder.add_node("read", ExtractNode(model, bank), retry_policy=RetryPolicy())
    builder.add_node("write", StoreNode(model_name="reading"))
    builder.add_node("recall", RecallNode(encoder))
    builder.add_node("answer", AnswerNode(model))
    order = ["find", "pick", "hand_over", "read", "write", "recall", "answer"]
    for before, after in zip([START, *order], [*order, END], strict=True):
        builder.add_edge(before, after)
    graph = builder.compile(store=store)
    context = MemSkillContext(user_id="u")
    span = dump_all([Span(id="mine", index=0, text="remember Ann likes tea")])
    state = {"batch": span, "question": "What does Ann like?"}
    assert graph.invoke(state, context=context)["answer"] == "Ann likes tea"
    other = MemSkillContext(user_id="v")
    assert (await graph.ainvoke(state, context=other))["answer"] == "Ann likes tea"


def test_a_node_without_any_store_says_what_to_do(encoder: Any) -> None:
    builder = StateGraph(OwnState)
    builder.add_node("recall", RecallNode(encoder, namespace=("memories",)))
    builder.add_edge(START, "recall")
    with pytest.raises(ConfigError, match="compile the graph with store"):
        builder.compile().invoke({"question": "?"})


def test_a_span_is_kept_after_the_last_attempt(
    model: Any, store: InMemoryStore, make_memory: Make
) -> None:
    memory = make_memory()
    model.failures = 3
    result = memory.remember("remember tea", user_id="u")
    assert result.failed
    assert len(model.prompts) == memory.settings.model_attempts == 3


def test_extraction_tokens_do_not_leak_into_a_chats_stream(make_memory: Make) -> None:
    memory = make_memory()
    state = {"text": "remember tea", "namespace": ["memories", "u"]}
    assert list(memory.graph.stream(state, stream_mode="messages")) == []
