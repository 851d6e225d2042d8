"""Budgets of calls and tokens: what is beyond them waits, and nothing is lost."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatResult
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore

from langgraph_memskill.errors import ConfigError, MemoryNotFoundError
from langgraph_memskill.memory import MemSkillMemory
from langgraph_memskill.records import UNPAID, Span, Usage
from langgraph_memskill.settings import Budget, Settings
from langgraph_memskill.state import StepEvent, dump_all
from langgraph_memskill.writing.budget import BudgetKeeper, aread_usage, read_usage
from langgraph_memskill.writing.usage import usage_of

Make = Callable[..., MemSkillMemory]
PLACE = ("memories", "u")


@pytest.fixture(autouse=True)
def one_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test crosses midnight."""
    monkeypatch.setattr("langgraph_memskill.writing.budget.utc_day", lambda: "2026-05-02")


def spans(number: int) -> list[Span]:
    return [Span(id=f"s{n}", index=n, text=f"remember fact {n}") for n in range(number)]


def with_budgets(*budgets: Budget, **options: Any) -> Settings:
    return Settings(budgets=budgets, **options)


def contents(memory: MemSkillMemory, user_id: str = "u") -> list[str]:
    return sorted(m.content for m in memory.memories(user_id=user_id))


@pytest.mark.parametrize("twin", ["sync", "async"])
def test_a_run_stops_calling_and_keeps_the_rest(
    make_memory: Make, model: Any, caplog: pytest.LogCaptureFixture, twin: str
) -> None:
    memory = make_memory(settings=with_budgets(Budget(calls=2, per="run")))
    events: list[StepEvent] = []
    if twin == "sync":
        result = memory.remember(spans(5), user_id="u", on_step=events.append)
    else:
        result = asyncio.run(memory.aremember(spans(5), user_id="u", on_step=events.append))
    assert [a.content for a in result.actions] == ["fact 0", "fact 1"]
    assert len(model.prompts) == 2
    reason = "budget: 2 of 2 calls for this run are used up"
    assert [f.reason for f in result.failed] == [reason] * 3
    assert [event.failure for event in events] == [None, None, reason, reason, reason]
    assert events[2].selection.selector == UNPAID
    assert reason in caplog.text


def test_what_is_left_is_read_by_the_next_runs(make_memory: Make) -> None:
    memory = make_memory(settings=with_budgets(Budget(calls=2, per="run")))
    memory.remember(spans(5), user_id="u")
    assert [f.span.text for f in memory.failed(user_id="u")] == [
        f"remember fact {n}" for n in (2, 3, 4)
    ]
    assert len(memory.retry_failed().failed) == 1
    assert memory.retry_failed().failed == ()
    assert contents(memory) == [f"fact {n}" for n in range(5)]
    assert memory.failed() == []


@pytest.mark.parametrize("workers", [2, 3])
def test_spans_side_by_side_share_the_runs_calls(
    make_memory: Make, model: Any, workers: int
) -> None:
    memory = make_memory(settings=with_budgets(Budget(calls=4), span_workers=workers))
    result = memory.remember(spans(6), user_id="u")
    assert len(model.prompts) == 4
    assert len(result.failed) == 2


def test_repeated_attempts_cost_calls(make_memory: Make, model: Any) -> None:
    memory = make_memory(settings=with_budgets(Budget(calls=2), model_attempts=3))
    model.failures = 5
    result = memory.remember(spans(2), user_id="u")
    assert len(model.prompts) == 2
    assert [f.reason.partition(":")[0] for f in result.failed] == ["ConnectionError", "budget"]


def test_attempts_stop_in_the_middle_when_a_users_calls_are_used_up(
    make_memory: Make, model: Any
) -> None:
    memory = make_memory(settings=with_budgets(Budget(calls=2, per="user"), model_attempts=3))
    model.failures = 5
    result = memory.remember(spans(1), user_id="u")
    assert len(model.prompts) == 2
    assert result.failed[0].reason.startswith("budget: 2 of 2 calls for this user")
    assert read_usage(memory.store, PLACE).total.calls == 2


def test_a_day_ends_and_a_user_has_his_own(
    make_memory: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = "2026-11-24"
    monkeypatch.setattr("langgraph_memskill.writing.budget.utc_day", lambda: day)
    memory = make_memory(settings=with_budgets(Budget(calls=3, per="day")))
    assert memory.remember(spans(2), user_id="u").failed == ()
    assert len(memory.remember(spans(2), user_id="u").failed) == 1
    assert memory.remember(spans(3), user_id="v").failed == ()
    assert len(memory.retry_failed(user_id="u").failed) == 1
    day = "2026-11-25"
    assert memory.retry_failed(user_id="u").failed == ()
    usage = read_usage(memory.store, PLACE)
    assert {date: spent.calls for date, spent in usage.days.items()} == {
        "2026-11-24": 3,
        "2026-11-25": 1,
    }
    assert usage.total.calls == 4


def test_a_users_usage_outlives_the_memory_object(make_memory: Make, model: Any) -> None:
    settings = with_budgets(Budget(calls=3, per="user"))
    make_memory(settings=settings).remember(spans(2), user_id="u")
    assert len(make_memory(settings=settings).remember(spans(3), user_id="u").failed) == 2
    assert len(model.prompts) == 3


def test_a_budget_without_limits_only_counts(make_memory: Make) -> None:
    memory = make_memory(settings=with_budgets(Budget(per="user")))
    assert memory.remember(spans(3), user_id="u").failed == ()
    spent = read_usage(memory.store, PLACE).total
    assert spent.calls == spent.estimated_calls == 3
    assert spent.input_tokens > 3 * 300  # the rules alone are that long
    assert spent.output_tokens > 0


def test_nothing_is_written_without_a_users_budget(make_memory: Make) -> None:
    memory = make_memory(settings=with_budgets(Budget(calls=9)))
    memory.remember(spans(1), user_id="u")
    assert memory.store.search(("memskill", "usage")) == []


async def test_reading_usage_has_an_async_twin(make_memory: Make) -> None:
    memory = make_memory(settings=with_budgets(Budget(per="user")))
    await memory.aremember(spans(1), user_id="u")
    assert await aread_usage(memory.store, PLACE) == read_usage(memory.store, PLACE)
    assert await aread_usage(memory.store, ("memories", "nobody")) == read_usage(
        InMemoryStore(), PLACE
    )


def reporting(model: Any, monkeypatch: pytest.MonkeyPatch, tokens: int) -> None:
    """Let the fake model report its usage, as most real ones do."""
    kind = type(model)
    generate = kind._generate

    def with_usage(
        self: Any,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        result = generate(self, messages, stop, run_manager, **kwargs)
        result.generations[0].message.usage_metadata = {
            "input_tokens": tokens - 10,
            "output_tokens": 10,
            "total_tokens": tokens,
        }
        return result

    monkeypatch.setattr(kind, "_generate", with_usage)


@pytest.mark.parametrize("per", ["run", "day", "user"])
def test_tokens_are_taken_from_the_models_report(
    make_memory: Make, model: Any, monkeypatch: pytest.MonkeyPatch, per: Any
) -> None:
    reporting(model, monkeypatch, 100)
    memory = make_memory(settings=with_budgets(Budget(tokens=250, per=per), Budget(per="user")))
    result = memory.remember(spans(5), user_id="u")
    assert len(model.prompts) == 3  # the third begins below the limit
    assert result.failed[0].reason.startswith("budget: 300 of 250 tokens")
    spent = read_usage(memory.store, PLACE).total
    assert (spent.calls, spent.tokens, spent.estimated_calls) == (3, 300, 0)


def test_the_graphs_state_says_what_the_run_cost(
    make_memory: Make, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporting(model, monkeypatch, 100)
    memory = make_memory(checkpointer=InMemorySaver(), settings=Settings(span_workers=2))
    config = {"configurable": {"thread_id": "t"}}
    for _ in range(2):  # the second run on the thread begins at nothing
        final = memory.graph.invoke({"spans": dump_all(spans(3)), "namespace": list(PLACE)}, config)
        assert final["usage"] == {
            "calls": 3,
            "input_tokens": 270,
            "output_tokens": 30,
            "estimated_calls": 0,
        }


def test_a_resumed_run_goes_on_counting(make_memory: Make, model: Any) -> None:
    memory = make_memory(
        checkpointer=InMemorySaver(), settings=with_budgets(Budget(calls=3, per="run"))
    )
    config = {"configurable": {"thread_id": "t"}}
    state = {"spans": dump_all(spans(5)), "namespace": list(PLACE)}
    for update in memory.graph.stream(state, config, stream_mode="updates", durability="sync"):
        if update.get("store", {}).get("cursor") == 2:
            break
    before = len(model.prompts)
    final = memory.graph.invoke(None, config)
    assert before == 2
    assert len(model.prompts) == 3
    assert len(final["failed"]) == 2
    assert contents(memory) == ["fact 0", "fact 1", "fact 2"]


def test_threads_together_never_make_more_calls_than_allowed(make_memory: Make, model: Any) -> None:
    memory = make_memory(settings=with_budgets(Budget(calls=5, per="user")))
    with ThreadPoolExecutor(8) as pool:
        results = list(
            pool.map(lambda n: memory.remember(f"remember item {n}", user_id="u"), range(12))
        )
    assert len(model.prompts) == 5
    assert sum(len(result.failed) for result in results) == 7
    assert read_usage(memory.store, PLACE).total.calls == 5
    assert len(memory.failed()) == 7


async def test_tasks_together_never_make_more_calls_than_allowed(
    make_memory: Make, model: Any
) -> None:
    memory = make_memory(settings=with_budgets(Budget(calls=5, per="day")))
    await asyncio.gather(*(memory.aremember(f"remember item {n}", user_id="u") for n in range(12)))
    assert len(model.prompts) == 5
    assert len(await memory.afailed()) == 7


async def test_a_cancelled_caller_leaves_the_count_in_order() -> None:
    store, keeper = InMemoryStore(), BudgetKeeper([Budget(per="user")])
    task = asyncio.ensure_future(keeper.atake(store, PLACE))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await keeper.atake(store, PLACE)
    assert read_usage(store, PLACE).total.calls == 2


def test_only_a_month_of_days_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    store, keeper = InMemoryStore(), BudgetKeeper([Budget(per="user")])
    for number in range(1, 41):
        day = f"2026-{1 + number // 29:02}-{number % 29:02}"
        monkeypatch.setattr("langgraph_memskill.writing.budget.utc_day", lambda day=day: day)
        keeper.take(store, PLACE)
    usage = read_usage(store, PLACE)
    assert len(usage.days) == 31
    assert usage.total.calls == 40


def test_usage_of_structured_and_odd_replies() -> None:
    prompt = [HumanMessage("one two three")]
    reported = AIMessage(
        "x", usage_metadata={"input_tokens": 7, "output_tokens": 2, "total_tokens": 9}
    )
    assert usage_of(prompt, {"raw": reported, "parsed": None}) == Usage(
        calls=1, input_tokens=7, output_tokens=2
    )
    assert usage_of(prompt, AIMessage("a b")) == Usage(
        calls=1, input_tokens=3, output_tokens=2, estimated_calls=1
    )
    assert usage_of(prompt, None).output_tokens == 0


@pytest.mark.parametrize(
    "bad", [{"calls": -1}, {"calls": True}, {"tokens": 1.5}, {"tokens": "9"}, {"per": "week"}]
)
def test_budgets_out_of_range_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        Budget(**bad)


@pytest.mark.parametrize(
    "bad",
    [
        {"merge_duplicates": 1},
        {"gate": "yes"},
        {"update_candidates": -1},
        {"update_candidates": 2.5},
        {"candidate_similarity": 1.5},
        {"candidate_similarity": True},
        {"candidate_similarity": "0.6"},
        {"budgets": [Budget()]},
        {"budgets": (3,)},
    ],
)
def test_settings_of_the_writing_out_of_range_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        Settings(**bad)


def test_the_result_says_what_the_run_cost_and_the_memory_what_the_user_did(
    make_memory: Make,
) -> None:
    memory = make_memory(settings=with_budgets(Budget(per="user")))
    first = memory.remember(spans(2), user_id="u").usage
    second = asyncio.run(memory.aremember(spans(1), user_id="u")).usage
    assert (first.calls, second.calls) == (2, 1)
    assert memory.usage(user_id="u").total == first + second
    assert asyncio.run(memory.ausage(user_id="u")) == memory.usage(user_id="u")
    assert memory.usage(user_id="v").total == Usage()


def test_retries_are_counted_once_each(make_memory: Make, model: Any) -> None:
    memory = make_memory(settings=with_budgets(Budget(per="user"), model_attempts=1))
    model.failures = 1
    failed = memory.remember(spans(1), user_id="u")
    again = memory.retry_failed(user_id="u")
    assert (failed.usage.calls, again.usage.calls) == (1, 1)
    assert memory.usage(user_id="u").total.calls == 2


def test_the_background_writer_keeps_to_the_budget(make_memory: Make, model: Any) -> None:
    memory = make_memory(settings=with_budgets(Budget(calls=1, per="user")))
    for number in range(3):
        memory.remember_later(f"remember fact {number}", PLACE)
        assert memory.flush(300)
    assert len(model.prompts) == 1
    assert contents(memory) == ["fact 0"]
    assert [f.reason.partition(":")[0] for f in memory.failed()] == [UNPAID] * 2


@pytest.mark.parametrize("template", [("memories", "{user_id}"), ("{org}", "{user_id}")])
def test_usage_is_no_memory(make_memory: Make, tmp_path: Path, template: tuple[str, ...]) -> None:
    memory = make_memory(settings=with_budgets(Budget(per="user")), namespace=template)
    for org, user in (("acme", "u"), ("memskill", "usage")):
        memory.remember("remember tea", user_id=user, scope={"org": org})
        assert [m.content for m in memory.memories(user_id=user, scope={"org": org})] == ["tea"]
        found = memory.recall("calls and tokens", user_id=user, scope={"org": org})
        assert [m.content for m in found] == ["tea"]
    [*items] = memory.store.search(("memskill", "usage"))
    with pytest.raises(MemoryNotFoundError):
        memory.get(items[0].key)
    memory.export(tmp_path / "all.jsonl")
    assert "input_tokens" not in (tmp_path / "all.jsonl").read_text(encoding="utf-8")
