import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.store.memory import InMemoryStore

from langgraph_memskill.errors import (
    ConfigError,
    MemoryNotFoundError,
    ModelCallError,
    NamespaceError,
)
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.records import ActionType, Span
from langgraph_memskill.settings import Settings
from langgraph_memskill.state import StepEvent

Make = Callable[..., MemSkillMemory]


def test_remember_recall_answer_history(make_memory: Make) -> None:
    memory = make_memory()
    first = memory.remember("remember Ann lives in Oslo", user_id="u1")
    assert [(a.type, a.content) for a in first.actions] == [
        (ActionType.INSERT, "Ann lives in Oslo")
    ]
    second = memory.remember("change Oslo to Ann lives in Rome", user_id="u1")
    assert second.actions[0].previous == "Ann lives in Oslo"
    [found] = memory.recall("Where does Ann live?", user_id="u1")
    assert found.content == "Ann lives in Rome"
    assert found.sources[0].span_id == f"{first.episode_id}/0"
    answer = memory.answer("Where does Ann live?", user_id="u1")
    assert (answer.text, [m.id for m in answer.memories]) == ("Ann lives in Rome", [found.id])
    contents = [version.content for version in memory.history(found.id)]
    assert contents == ["Ann lives in Oslo", "Ann lives in Rome"]


async def test_the_async_twins_do_the_same(make_memory: Make) -> None:
    memory = make_memory()
    result = await memory.aremember("remember Ann lives in Oslo", user_id="u1")
    [found] = await memory.arecall("Ann", user_id="u1")
    assert result.memories[0].id == found.id
    assert (await memory.aanswer("Where is Ann?", user_id="u1")).text == "Ann lives in Oslo"
    assert (await memory.aget(found.id)).content == found.content
    assert (await memory.asave("Ann moved", memory_id=found.id, user_id="u1")).content
    assert len(await memory.ahistory(found.id)) == 2
    assert (await memory.aforget(found.id)).previous == "Ann moved"
    assert await memory.amemories(user_id="u1") == []
    await memory.afeedback(result.episode_id, 0.5)
    assert [f.reward for f in await memory.arecorded_feedback(result.episode_id)] == [0.5]
    await memory.aclose()


def test_a_user_never_sees_another_users_memories(make_memory: Make) -> None:
    memory = make_memory()
    users: list[Any] = ["u1", "u10", "u1.x", "ann@example.org", 7, "7 ", "*"]
    for n, user in enumerate(users):
        memory.remember(f"remember secret number {n}", user_id=user)
    for n, user in enumerate(users):
        found = memory.recall("secret number", user_id=user)
        assert [m.content for m in found] == [f"secret number {n}"]
        with pytest.raises(MemoryNotFoundError):
            memory.get(found[0].id, user_id="somebody else")


def test_messages_in_all_of_langchains_forms(make_memory: Make) -> None:
    memory = make_memory()
    for n, content in enumerate(
        [
            HumanMessage("remember A"),
            [("user", "remember A"), ("assistant", "Done.")],
            [{"role": "user", "content": "remember A"}],
            [HumanMessage([{"type": "text", "text": "remember A"}]), AIMessage("Done.")],
            [Span(id="s", index=0, text="remember A")],
        ]
    ):
        assert memory.remember(content, user_id=n).memories[0].content == "A"


def test_only_what_people_said_is_read(make_memory: Make) -> None:
    memory = make_memory()
    result = memory.remember(
        [
            SystemMessage("remember the system prompt"),
            HumanMessage("remember tea"),
            AIMessage("", tool_calls=[{"name": "t", "args": {}, "id": "1"}]),
            ToolMessage("remember the tool result", tool_call_id="1"),
            AIMessage("I will."),
        ],
        user_id="u",
    )
    assert [m.content for m in result.memories] == ["tea"]


@pytest.mark.parametrize("content", ["", " \n ", [], [AIMessage("")], [HumanMessage(" ")]])
def test_nothing_to_remember_is_an_error(make_memory: Make, content: Any) -> None:
    memory = make_memory()
    with pytest.raises(ConfigError, match="no text to remember"):
        memory.remember(content, user_id="u")


def test_other_bad_input_is_an_error_and_changes_nothing(make_memory: Make) -> None:
    memory = make_memory()
    memory.remember("remember tea", user_id="u")
    with pytest.raises(NamespaceError, match="user_id"):
        memory.remember("remember coffee")
    with pytest.raises(ConfigError, match="not messages"):
        memory.remember([3], user_id="u")  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="empty"):
        memory.recall(" ", user_id="u")
    with pytest.raises(ConfigError, match="k=0"):
        memory.recall("tea", user_id="u", k=0)
    with pytest.raises(ConfigError, match="empty"):
        memory.answer("", user_id="u")
    with pytest.raises(ConfigError, match="needs a text"):
        memory.save(" ", user_id="u")
    for call in (memory.get, memory.history, memory.forget):
        with pytest.raises(MemoryNotFoundError, match="'nowhere'"):
            call("nowhere")
    with pytest.raises(MemoryNotFoundError):
        memory.save("x", memory_id="nowhere", user_id="u")
    for reward in (math.nan, math.inf, "1", True):
        with pytest.raises(ConfigError, match="reward"):
            memory.feedback("episode", reward)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="episode_id"):
        memory.feedback(" ", 1.0)
    assert [m.content for m in memory.memories(user_id="u")] == ["tea"]
    assert memory.recorded_feedback() == []


def test_forget_keeps_the_history_readable(make_memory: Make) -> None:
    memory = make_memory()
    [tea] = memory.remember("remember tea", user_id="u").memories
    memory.forget(tea.id)
    assert memory.recall("tea", user_id="u") == []
    with pytest.raises(MemoryNotFoundError):
        memory.get(tea.id)
    versions = memory.history(tea.id, user_id="u")
    assert [(v.content, v.cause) for v in versions] == [("tea", "span"), ("", "forget")]
    assert memory.history(tea.id) == versions
    assert [m.content for m in memory.forgotten(user_id="u")] == ["tea"]
    assert memory.forgotten(user_id="v") == []
    with pytest.raises(MemoryNotFoundError):
        memory.history(tea.id, user_id="somebody else")


def test_a_failed_call_keeps_the_span_and_retry_takes_it_up(make_memory: Make, model: Any) -> None:
    memory = make_memory(settings=Settings(model_attempts=1))
    model.failures = 1
    result = memory.remember("remember tea", user_id="u")
    assert (result.actions, result.failed[0].reason) == (
        (),
        "ConnectionError: the endpoint is down",
    )
    [waiting] = memory.failed()
    assert (waiting.span.text, waiting.attempts) == ("remember tea", 1)
    model.failures = 1
    assert memory.retry_failed().failed[0].attempts == 2
    assert memory.failed()[0].attempts == 2
    done = memory.retry_failed(user_id="u")
    assert [m.content for m in done.memories] == ["tea"]
    assert memory.failed() == []
    assert done.memories[0].sources[0].span_id == f"{result.episode_id}/0"
    assert memory.retry_failed().actions == ()


async def test_retry_has_an_async_twin(make_memory: Make, model: Any) -> None:
    memory = make_memory(settings=Settings(model_attempts=1))
    model.failures = 1
    await memory.aremember("remember tea", user_id="u")
    assert len(await memory.afailed(user_id="u")) == 1
    assert [m.content for m in (await memory.aretry_failed()).memories] == ["tea"]
    assert await memory.afailed() == []


def test_a_call_that_fails_once_is_repeated_by_the_graph(make_memory: Make, model: Any) -> None:
    memory = make_memory(settings=Settings(model_attempts=2))
    model.failures = 1
    assert memory.remember("remember tea", user_id="u").failed == ()
    assert len(model.prompts) == 2


@pytest.mark.parametrize(
    "reply",
    [
        "Sure! I have read the conversation and it is lovely.",
        '{"actions": [{"action": "INS',
        "",
    ],
)
def test_a_reply_that_cannot_be_read_loses_nothing(
    make_memory: Make, model: Any, reply: str
) -> None:
    memory = make_memory()
    memory.remember("remember tea", user_id="u")
    model.reply = reply
    result = memory.remember("remember coffee", user_id="u")
    assert result.actions == ()
    assert result.failed[0].span.text == "remember coffee"
    assert [m.content for m in memory.memories(user_id="u")] == ["tea"]
    model.reply = None
    assert [m.content for m in memory.retry_failed().memories] == ["coffee"]


def test_unknown_memories_and_forbidden_actions_are_recorded_refusals(
    make_memory: Make, model: Any
) -> None:
    memory = make_memory()
    memory.remember("remember tea", user_id="u")
    model.reply = (
        "ACTION: UPDATE\nMEMORY_INDEX: 7\nUPDATED_MEMORY: x\n\nACTION: INSERT\nMEMORY_ITEM: coffee"
    )
    result = memory.remember("remember coffee", user_id="u")
    assert [a.content for a in result.actions] == ["coffee"]
    assert [entry.action.type for entry in result.rejected] == [ActionType.UPDATE]
    insert_only = make_memory(skills=_bank_of("insert"))
    model.reply = "ACTION: DELETE\nMEMORY_INDEX: 0"
    refused = insert_only.remember("forget tea", user_id="u")
    assert refused.actions == ()
    assert refused.rejected[0].action.type is ActionType.DELETE
    assert len(memory.memories(user_id="u")) == 2


def _bank_of(*names: str) -> Any:
    from langgraph_memskill.skills.bank import SkillBank

    seeds = SkillBank.seed()
    return SkillBank(seeds[name] for name in names)


def test_a_noop_skill_alone_calls_no_model_and_is_no_failure(make_memory: Make, model: Any) -> None:
    memory = make_memory(skills=_bank_of("noop"))
    result = memory.remember("remember tea", user_id="u")
    assert (result.actions, result.failed, model.prompts) == ((), (), [])


def test_spans_side_by_side_are_merged(make_memory: Make) -> None:
    memory = make_memory(settings=Settings(span_workers=3))
    texts = ["remember tea", "remember  tea", "remember coffee", "forget coffee"]
    spans = [Span(id=f"s{n}", index=n, text=text) for n, text in enumerate(texts)]
    result = memory.remember(spans, user_id="u")
    kinds = [(a.type.value, a.content or a.previous) for a in result.actions]
    assert kinds == [
        *[("insert", "tea"), ("update", "tea")],  # the second is a touch: tea has two sources
        *[("insert", "coffee"), ("delete", "coffee")],
    ]
    [tea] = result.memories
    assert [source.span_id[-2:] for source in tea.sources] == ["/0", "/1"]


def test_progress_is_reported_span_by_span(make_memory: Make) -> None:
    memory = make_memory()
    events: list[StepEvent] = []
    messages = [("user", "remember tea"), ("assistant", "Yes."), ("user", "remember coffee")]
    memory.remember(messages, user_id="u", on_step=events.append)
    assert [(e.span_index, e.num_spans, len(e.actions)) for e in events] == [(0, 2, 1), (1, 2, 1)]
    assert sum(events[0].selection.probabilities) == pytest.approx(1)


def test_the_date_of_the_span_reaches_the_model(make_memory: Make, model: Any) -> None:
    memory = make_memory()
    memory.remember("remember tea", user_id="u", time="1 May 2024")
    assert "1 May 2024" in str(model.prompts[-1][-1].content)
    memory.remember("remember tea", user_id="u", time="")
    assert "date=" not in str(model.prompts[-1][-1].content).rpartition("<span")[2].split(">")[0]


def test_a_million_characters_are_remembered_in_pieces(make_memory: Make) -> None:
    memory = make_memory(settings=Settings(span_tokens=200_000, span_overlap=0))
    text = "remember tea\n" + "bla bla bla " * 90_000
    result = memory.remember(text, user_id="u")
    assert result.memories[0].content == "tea"
    assert result.failed == ()


@pytest.mark.parametrize("twin", ["sync", "async"])
def test_a_run_that_breaks_off_keeps_what_was_not_read(
    make_memory: Make, encoder: Any, monkeypatch: pytest.MonkeyPatch, twin: str
) -> None:
    memory = make_memory()
    encode, is_gone = encoder.embed_query, [True]

    def fails_at_the_third(text: str) -> list[float]:
        if text == "remember fact 2" and is_gone:
            is_gone.pop()
            raise OSError("the embedding service is gone")
        return encode(text)

    monkeypatch.setattr(encoder, "embed_query", fails_at_the_third)
    spans = [Span(id=f"s{n}", index=n, text=f"remember fact {n}") for n in range(4)]
    if twin == "sync":
        result = memory.remember(spans, user_id="u")
    else:
        result = asyncio.run(memory.aremember(spans, user_id="u"))
    assert [a.content for a in result.actions] == ["fact 0", "fact 1"]
    assert [f.span.index for f in result.failed] == [2, 3]
    assert "embedding service is gone" in result.failed[0].reason
    assert [a.content for a in memory.retry_failed().actions] == ["fact 2", "fact 3"]
    assert len(memory.memories(user_id="u")) == 4


def test_a_store_that_is_gone_is_an_error_for_the_caller(
    make_memory: Make, store: InMemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = make_memory()

    def gone(*_: Any) -> Any:
        raise ConnectionError("the database is gone")

    monkeypatch.setattr(type(store), "batch", gone)
    with pytest.raises(ConnectionError, match="database is gone"):
        memory.remember("remember tea", user_id="u")


def test_an_error_of_the_callers_own_callback_is_the_callers(make_memory: Make) -> None:
    memory = make_memory()

    def on_step(event: StepEvent) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        memory.remember("remember tea", user_id="u", on_step=on_step)


def test_answering_says_so_when_the_model_fails(make_memory: Make, model: Any) -> None:
    memory = make_memory()
    model.failures = 1
    with pytest.raises(ModelCallError, match="the endpoint is down"):
        memory.answer("Where?", user_id="u")


def test_background_writing_drains_on_close(make_memory: Make, store: InMemoryStore) -> None:
    memory = make_memory()
    namespace = memory.namespace_for("u")
    for n in range(10):
        memory.remember_later(f"remember fact {n}", namespace)
    memory.close()
    contents = [m.content for m in make_memory().memories(user_id="u")]
    assert contents == [f"fact {n}" for n in range(10)]
    assert make_memory().failed() == []


async def test_background_writing_of_several_users_from_tasks(make_memory: Make) -> None:
    memory = make_memory()
    spaces = [memory.namespace_for(f"u{n}") for n in range(4)]
    await asyncio.gather(
        *(memory.aremember_later(f"remember fact {n}", space) for space in spaces for n in range(5))
    )
    assert await memory.aflush(300)
    for n in range(4):
        found = await memory.amemories(user_id=f"u{n}")
        assert sorted(m.content for m in found) == [f"fact {n}" for n in range(5)]


def test_what_a_dead_process_left_queued_is_taken_up(make_memory: Make) -> None:
    first = make_memory()
    first._pending.add(first._queued("remember tea", first.namespace_for("u"))[1])
    assert [m.content for m in make_memory().retry_failed().memories] == ["tea"]


def test_feedback_is_kept_with_its_episode(make_memory: Make) -> None:
    memory = make_memory()
    episode = memory.remember("remember tea", user_id="u").episode_id
    memory.feedback(episode, reward=1.0)
    memory.feedback("other", reward=-2)
    assert [(f.episode_id, f.reward) for f in memory.recorded_feedback(episode)] == [(episode, 1.0)]
    assert len(memory.recorded_feedback()) == 2


@pytest.mark.parametrize(
    "bad",
    [
        {"skills_per_span": 0},
        {"top_k": -1},
        {"span_workers": 0},
        {"span_overlap": 512},
        {"span_tokens": 1.5},
        {"model_attempts": True},
    ],
)
def test_settings_out_of_range_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        Settings(**bad)
