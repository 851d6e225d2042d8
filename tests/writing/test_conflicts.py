"""Two writers of one memory: what the model did not see is never overwritten."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from langgraph_memskill.errors import ConflictError
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.records import ActionType, MemoryAction, RememberResult, Span
from langgraph_memskill.settings import Budget, Settings
from langgraph_memskill.state import dump_all
from langgraph_memskill.stores.applying import Cause, MemoryWriter
from langgraph_memskill.stores.chroma import ChromaStore
from langgraph_memskill.stores.items import memory_of

Make = Callable[..., MemSkillMemory]
START = "The tally is:"
NS = ("memories", "u")
REASON = "conflict: somebody else has changed a memory of this span"


def remember(memory: MemSkillMemory, twin: str, content: Any) -> RememberResult:
    if twin == "sync":
        return memory.remember(content, user_id="u")
    return asyncio.run(memory.aremember(content, user_id="u"))


def contents(memory: MemSkillMemory) -> list[str]:
    return sorted(m.content for m in memory.memories(user_id="u"))


@pytest.mark.parametrize("twin", ["sync", "async"])
def test_a_memory_that_changes_while_the_model_works_is_read_again(
    make_memory: Make, tally: Any, twin: str
) -> None:
    memory = make_memory(model=tally)
    kept = memory.save(START, user_id="u").id
    tally.meanwhile(lambda: memory.save(f"{START} theirs", memory_id=kept, user_id="u"))
    result = remember(memory, twin, "add mine\nnote Bob left")
    assert contents(memory) == ["Bob left", f"{START} theirs mine"]
    assert sorted(a.content for a in result.actions) == contents(memory)
    assert (result.failed, result.rejected, memory.failed()) == ((), (), [])
    assert (tally.num_calls, result.usage.calls) == (2, 2)


@pytest.mark.parametrize("twin", ["sync", "async"])
def test_a_memory_that_keeps_changing_leaves_the_span_for_later_and_whole(
    make_memory: Make, tally: Any, twin: str
) -> None:
    memory = make_memory(model=tally)
    kept = memory.save(START, user_id="u").id
    for number in range(3):
        text = f"{START} {number}"
        tally.meanwhile(lambda text=text: memory.save(text, memory_id=kept, user_id="u"))
    result = remember(memory, twin, "add mine\nnote Bob left")
    assert contents(memory) == [f"{START} 2"]
    assert result.actions == ()
    assert [entry.reason.startswith(REASON) for entry in result.failed] == [True]
    assert {entry.action.type for entry in result.rejected} == {
        ActionType.UPDATE,
        ActionType.INSERT,
    }
    assert memory.retry_failed().failed == ()
    assert contents(memory) == ["Bob left", f"{START} 2 mine"]


def test_a_memory_that_was_deleted_meanwhile_stays_deleted_and_what_was_said_is_read_again(
    make_memory: Make, tally: Any
) -> None:
    memory = make_memory(model=tally)
    kept = memory.save(START, user_id="u").id
    tally.meanwhile(lambda: memory.forget(kept, user_id="u"))
    result = memory.remember("add mine\nnote Bob left", user_id="u")
    assert contents(memory) == ["Bob left"]
    assert tally.num_calls == 2
    assert result.failed == ()


def test_a_touch_meanwhile_is_no_conflict(make_memory: Make, tally: Any) -> None:
    memory = make_memory(model=tally)
    kept = memory.save(START, user_id="u").id
    tally.meanwhile(lambda: memory.save(START, memory_id=kept, user_id="u"))
    memory.remember("add mine", user_id="u")
    assert contents(memory) == [f"{START} mine"]
    assert tally.num_calls == 1


def test_the_other_spans_of_a_batch_are_applied(make_memory: Make, tally: Any) -> None:
    memory = make_memory(model=tally, settings=Settings(span_workers=2))
    kept = memory.save(START, user_id="u").id
    tally.meanwhile(lambda: memory.save(f"{START} theirs", memory_id=kept, user_id="u"))
    spans = [
        Span(id=str(n), index=n, text=text) for n, text in enumerate(["add mine", "note Bob left"])
    ]
    memory.remember(spans, user_id="u")
    assert contents(memory) == ["Bob left", f"{START} theirs mine"]
    assert tally.num_calls == 3


def test_a_runs_budget_is_not_exceeded_by_reading_again(make_memory: Make, tally: Any) -> None:
    memory = make_memory(model=tally, settings=Settings(budgets=(Budget(calls=1),)))
    kept = memory.save(START, user_id="u").id
    tally.meanwhile(lambda: memory.save(f"{START} theirs", memory_id=kept, user_id="u"))
    assert len(memory.remember("add mine", user_id="u").failed) == 1
    assert tally.num_calls == 1
    memory.retry_failed()
    assert contents(memory) == [f"{START} theirs mine"]


def test_a_resumed_run_does_not_take_its_own_change_for_another_writers(
    make_memory: Make, tally: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = make_memory(model=tally, checkpointer=InMemorySaver())
    memory.save(START, user_id="u")
    config = {"configurable": {"thread_id": "t"}}
    spans = [Span(id="s", index=0, text="add mine\nnote Bob left")]
    state = {"spans": dump_all(spans), "namespace": list(NS)}
    result = MemoryWriter.apply

    def crash(*arguments: Any, **options: Any) -> Any:
        result(*arguments, **options)
        monkeypatch.undo()
        raise OSError("the machine went down")

    monkeypatch.setattr(MemoryWriter, "apply", crash)
    with pytest.raises(OSError, match="went down"):
        memory.graph.invoke(state, config)
    final = memory.graph.invoke(None, config)
    assert (final["failed"], final["rejected"]) == ([], [])
    assert contents(memory) == ["Bob left", f"{START} mine"]
    assert len(memory.changes(user_id="u")) == 3
    assert tally.num_calls == 1


@pytest.mark.parametrize("twin", ["threads", "tasks"])
def test_many_writers_of_one_memory_lose_nothing(make_memory: Make, tally: Any, twin: str) -> None:
    memory = make_memory(model=tally)
    memory.save(START, user_id="u")
    orders = [f"add m{n}" for n in range(12)]
    if twin == "threads":
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda order: memory.remember(order, user_id="u"), orders))
    else:

        async def all_at_once() -> None:
            await asyncio.gather(*(memory.aremember(order, user_id="u") for order in orders))

        asyncio.run(all_at_once())
    while memory.failed():
        memory.retry_failed()
    [text] = contents(memory)
    assert sorted(text.removeprefix(START).split()) == sorted(f"m{n}" for n in range(12))


@pytest.fixture
def chroma(encoder: Any) -> Any:
    with ChromaStore(index={"dims": encoder.dim, "embed": encoder, "fields": ["text"]}) as store:
        yield store


def change(memory_id: str, content: str, previous: str | None = None) -> MemoryAction:
    return MemoryAction(
        type=ActionType.UPDATE,
        memory_id=memory_id,
        content=content,
        previous=previous,
        change_id="c1",
        span_id="s",
    )


def interfere(
    store: ChromaStore, writer: MemoryWriter, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """Let somebody without the log write the item between the writer's reading and writing."""
    append, left = writer.log.append, [times]

    def sneak(*arguments: Any) -> None:
        append(*arguments)
        if left[0]:
            left[0] -= 1
            store.put(NS, "m0", {"text": f"from outside {left[0]}"})

    monkeypatch.setattr(writer.log, "append", sneak)


@pytest.mark.parametrize("twin", ["sync", "async"])
def test_a_write_past_the_log_is_noticed_and_kept_in_the_history(
    chroma: ChromaStore, monkeypatch: pytest.MonkeyPatch, twin: str
) -> None:
    writer = MemoryWriter(chroma)
    chroma.put(NS, "m0", {"text": "first"})
    interfere(chroma, writer, monkeypatch, times=1)
    cause = Cause(kind="tool")
    if twin == "sync":
        applied = writer.apply(NS, [change("m0", "second")], cause)
    else:
        applied = asyncio.run(writer.aapply(NS, [change("m0", "second")], cause))
    assert applied.actions[0].previous == "from outside 0"
    assert [(c.cause, c.content) for c in writer.log.entries(NS)] == [
        ("import", "first"),
        ("outside", "from outside 0"),
        ("tool", "second"),
    ]
    found = chroma.get(NS, "m0")
    assert found is not None
    assert memory_of(found).content == "second"
    assert writer.log.num_pending() == 0


def test_a_write_past_the_log_makes_what_the_model_saw_outdated(
    chroma: ChromaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = MemoryWriter(chroma)
    chroma.put(NS, "m0", {"text": "first"})
    interfere(chroma, writer, monkeypatch, times=1)
    applied = writer.apply(NS, [change("m0", "second", previous="first")], Cause(kind="span"))
    assert (applied.actions, applied.outdated) == ((), {"s"})
    found = chroma.get(NS, "m0")
    assert found is not None
    assert memory_of(found).content == "from outside 0"


def test_somebody_who_never_stops_writing_is_an_error_and_leaves_nothing_behind(
    chroma: ChromaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = MemoryWriter(chroma)
    chroma.put(NS, "m0", {"text": "first"})
    interfere(chroma, writer, monkeypatch, times=100)
    with pytest.raises(ConflictError, match="'m0'"):
        writer.apply(NS, [change("m0", "second")], Cause(kind="tool"))
    assert writer.log.num_pending() == 0
    assert "second" not in [c.content for c in writer.log.entries(NS)]
