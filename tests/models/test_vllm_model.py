"""VllmChatModel with a stand-in for the engine; integration/test_vllm_engine.py has the real."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import HumanMessage, SystemMessage
from pydantic import BaseModel

from langgraph_memskill.errors import ConfigError, MissingDependencyError, ModelCallError
from langgraph_memskill.models import load_model, model_name, vllm_engine, vllm_model
from langgraph_memskill.models.vllm_model import VllmChatModel
from tests.models.vllm_stand_in import Engine, Tokenizer, modules


class Person(BaseModel):
    name: str
    age: int


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    return tmp_path


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """A folder of a model, and modules in vLLM's place."""
    for name, module in modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    for name in vllm_engine._ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)  # also takes away what the engine sets
        monkeypatch.setenv(name, os.environ.get(name, ""))
        monkeypatch.delenv(name)
    monkeypatch.setattr(vllm_model, "find_spec", lambda name: object())
    monkeypatch.setattr(vllm_model, "_load_tokenizer", lambda folder: Tokenizer())
    Engine.started.clear()
    return folder


def engine_of(model: VllmChatModel) -> Any:
    return model._loaded()._home.engine


def test_a_reply_has_its_text_usage_and_model(fake: Path) -> None:
    model = load_model(f"vllm:{fake}")
    reply = model.invoke([SystemMessage("Answer briefly."), HumanMessage("Say hello")])
    assert reply.text == "hello"
    assert isinstance(model, VllmChatModel)
    assert reply.usage_metadata == {
        "input_tokens": 25,
        "output_tokens": 5,
        "total_tokens": 30,
        "input_token_details": {"cache_read": 2},
    }
    assert reply.response_metadata == {"model_name": fake.name, "finish_reason": "stop"}
    assert model_name(model) == fake.name


async def test_async_calls_are_in_flight_together(fake: Path) -> None:
    model = VllmChatModel(model=fake)
    engine = await asyncio.to_thread(engine_of, model)
    engine.wanted = 5  # answers nobody before all have asked
    replies = await asyncio.gather(*(model.ainvoke(f"Say {n}") for n in range(5)))
    assert [reply.text for reply in replies] == list("01234")
    assert engine.most == 5


def test_calls_from_threads_and_loops_are_in_flight_together(fake: Path) -> None:
    model = VllmChatModel(model=fake)
    engine_of(model).wanted = 4
    with ThreadPoolExecutor(4) as pool:
        plain = [pool.submit(model.invoke, f"Say {n}") for n in range(2)]
        loops = [pool.submit(asyncio.run, model.ainvoke(f"Say {n}")) for n in range(2, 4)]
        assert [call.result().text for call in [*plain, *loops]] == list("0123")


async def test_a_cancelled_call_is_taken_back(fake: Path) -> None:
    model = VllmChatModel(model=fake)
    engine = await asyncio.to_thread(engine_of, model)
    engine.wanted = 2
    call = asyncio.create_task(model.ainvoke("Say one"))
    while not engine.most:
        await asyncio.sleep(0.001)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    while not engine.aborted:
        await asyncio.sleep(0.001)
    engine.wanted = 1
    assert (await model.ainvoke("Say two")).text == "two"


def test_equal_models_share_an_engine_and_others_do_not(fake: Path) -> None:
    first, second = (VllmChatModel(model=fake, max_tokens=n) for n in (8, 9))
    other = VllmChatModel(model=fake, max_model_len=64)
    assert engine_of(first) is engine_of(second)
    assert engine_of(other) is not engine_of(first)
    assert len(Engine.started) == 2


def test_the_engine_stops_with_the_last_model(fake: Path) -> None:
    threads = set(threading.enumerate())
    first, second = VllmChatModel(model=fake), VllmChatModel(model=fake)
    engine = engine_of(first)
    assert engine_of(second) is engine
    del first
    gc.collect()
    assert not engine.is_stopped
    del second
    gc.collect()
    assert engine.is_stopped
    assert set(threading.enumerate()) <= threads


async def test_an_event_loop_that_drops_the_last_model_does_not_wait_for_the_engine(
    fake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    ended_in: list[threading.Thread] = []

    def shutdown(engine: Engine) -> None:
        ended_in.append(threading.current_thread())
        assert go_on.wait(60)
        engine.is_stopped = True

    monkeypatch.setattr(Engine, "shutdown", shutdown)
    model = VllmChatModel(model=fake)
    engine = await asyncio.to_thread(engine_of, model)
    del model
    gc.collect()
    assert not engine.is_stopped
    waiting = asyncio.create_task(VllmChatModel(model=fake).ainvoke("Say hello"))
    while not ended_in:
        await asyncio.sleep(0.001)
    assert ended_in != [threading.current_thread()]
    assert len(Engine.started) == 1, "the next engine waits for the memory of the first"
    go_on.set()
    assert (await waiting).text == "hello"
    assert engine.is_stopped


def test_an_engine_whose_loading_is_interrupted_is_ended(
    fake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = set(threading.enumerate())
    is_loading, go_on = threading.Event(), threading.Event()
    made: list[Engine] = []

    def load(arguments: dict[str, Any]) -> Engine:
        is_loading.set()
        assert go_on.wait(60)
        made.append(Engine(arguments))
        return made[0]

    class Interrupted(Future):  # type: ignore[type-arg]
        def result(self, timeout: float | None = None) -> Any:
            assert is_loading.wait(60)
            raise KeyboardInterrupt

    module = sys.modules["vllm.v1.engine.async_llm"]
    monkeypatch.setattr(module, "AsyncLLM", SimpleNamespace(from_engine_args=load))
    send = vllm_engine.VllmEngine._submit

    def submit(self: Any, work: Any) -> Any:
        send(self, work)
        return Interrupted()

    monkeypatch.setattr(vllm_engine.VllmEngine, "_submit", submit)
    with pytest.raises(KeyboardInterrupt):
        VllmChatModel(model=fake).invoke("Say hello")
    left = set(threading.enumerate()) - threads
    go_on.set()
    for thread in left:
        thread.join(60)
    assert made[0].is_stopped
    assert set(threading.enumerate()) <= threads


def test_after_an_interrupted_load_the_next_one_waits_for_its_end(
    fake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_loading, go_on = threading.Event(), threading.Event()
    is_over: list[bool] = []
    home = vllm_engine._Home()
    load = vllm_engine._started

    def slow(arguments: Any) -> Any:
        is_loading.set()
        assert go_on.wait(60)
        return load(arguments)

    monkeypatch.setattr(vllm_engine, "_started", slow)
    loading = asyncio.run_coroutine_threadsafe(home.start({"model": "x"}), home.loop)
    assert is_loading.wait(60)
    vllm_engine._stop(home)
    monkeypatch.setattr(vllm_engine, "_started", lambda _: is_over.append(loading.done()))
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(vllm_engine.shared_engine, {"model": "x"})
        assert not wait([second], timeout=0.2).done
        go_on.set()
        assert second.result(60) is not None
    assert is_over == [True]
    with pytest.raises(ModelCallError, match="broken off"):
        loading.result()
    assert Engine.started == [{"model": "x"}]


def test_at_the_end_of_a_program_the_engine_stops_before_processes_are_killed(fake: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.models.vllm_stand_in", str(fake)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["hello", "engine", "multiprocessing"], done.stderr
    assert not done.stderr


def test_a_dead_engine_is_replaced(fake: Path) -> None:
    model = VllmChatModel(model=fake)
    engine_of(model).errored = True
    assert model.invoke("Say hello").text == "hello"
    assert len(Engine.started) == 2


def test_structured_output_is_guided_and_cut_off_replies_are_refused(fake: Path) -> None:
    model = VllmChatModel(model=fake)
    assert model.with_structured_output(Person).invoke("It is Ann") == Person(name="Ann", age=7)
    short = VllmChatModel(model=fake, max_tokens=4).with_structured_output(Person)
    with pytest.raises(OutputParserException, match="cut off"):
        short.invoke("It is Ann")


def test_options_come_through_the_string(fake: Path) -> None:
    model = VllmChatModel.from_spec(
        f"{fake}?max_tokens=3&temperature=0.5&enforce_eager=true&gpu_memory_utilization=0.4"
    )
    assert (model.max_tokens, model.temperature) == (3, 0.5)
    assert model.invoke("Say hello").text == "hel"
    [arguments] = Engine.started
    assert arguments["enforce_eager"] is True
    assert arguments["gpu_memory_utilization"] == 0.4
    assert (arguments["load_format"], arguments["trust_remote_code"]) == ("safetensors", False)


def test_the_model_cannot_be_told_to_trust_code(fake: Path) -> None:
    engine_of(VllmChatModel(model=fake, engine={"trust_remote_code": True}))
    assert Engine.started[0]["trust_remote_code"] is False


def test_usage_statistics_are_off_unless_the_user_says_so(
    fake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_LOGGING_LEVEL", "DEBUG")
    engine_of(VllmChatModel(model=fake))
    assert os.environ["VLLM_NO_USAGE_STATS"] == "1"
    assert os.environ["VLLM_LOGGING_LEVEL"] == "DEBUG"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("vllm", "needs a folder or the name"),
        ("vllm:?a=1", "needs a folder or the name"),
        ("vllm:{}?max_tokens", "unreadable"),
        ("vllm:{}?max_tokens=0", "max_tokens"),
        ("vllm:{}?temperature=hot", "temperature"),
    ],
)
def test_unusable_strings_are_refused(fake: Path, spec: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_model(spec.format(fake))


def test_an_engine_that_does_not_start_is_a_clear_error(fake: Path) -> None:
    threads = set(threading.enumerate())
    with pytest.raises(ModelCallError, match="could not load.*no kernel for this. Its log"):
        load_model(f"vllm:{fake}?quantization=broken").invoke("hi")
    assert set(threading.enumerate()) <= threads


async def test_an_unknown_argument_of_a_call_is_refused(fake: Path) -> None:
    model = VllmChatModel(model=fake)
    with pytest.raises(ConfigError, match="nonsense"):
        await model.ainvoke("hi", nonsense=1)
    with pytest.raises(ConfigError, match="nonsense"):
        await asyncio.to_thread(model.invoke, "hi", nonsense=1)


def test_tools_are_refused_with_the_way_out(fake: Path) -> None:
    with pytest.raises(NotImplementedError, match="vllm serve"):
        VllmChatModel(model=fake).bind_tools([])


def test_without_vllm_the_error_has_the_install_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_model, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"langgraph-memskill\[vllm\]"):
        load_model(f"vllm:{folder}")


def test_a_model_that_is_not_here_is_never_downloaded(fake: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelCallError, match="hf download nobody/nothing-like-it"):
        load_model("vllm:nobody/nothing-like-it")
    with pytest.raises(ModelCallError, match="there is no folder"):
        load_model(f"vllm:{tmp_path}/missing")


@pytest.mark.parametrize(
    "engine",
    [
        {"tokenizer": "nobody/nothing-like-it"},
        {"hf_config_path": "nobody/nothing-like-it"},
        {"speculative_config": {"model": "nobody/nothing-like-it", "num_speculative_tokens": 2}},
    ],
)
def test_nothing_else_of_the_engine_is_downloaded(fake: Path, engine: dict[str, Any]) -> None:
    with pytest.raises(ModelCallError, match="hf download nobody/nothing-like-it"):
        VllmChatModel(model=fake, engine=engine)


@pytest.mark.parametrize("name", ["ngram", "[ngram]"])
def test_drafts_without_a_model_need_none(fake: Path, name: str) -> None:
    engine = {"speculative_config": {"model": name, "num_speculative_tokens": 2}}
    assert VllmChatModel(model=fake, engine=engine).engine == engine


def test_other_folders_of_the_engine_are_taken_as_they_are(fake: Path, tmp_path: Path) -> None:
    drafts = {"model": str(fake), "num_speculative_tokens": 2}
    engine = {"tokenizer": str(tmp_path), "speculative_config": drafts}
    engine_of(VllmChatModel(model=fake, engine=engine))
    assert engine.items() <= Engine.started[0].items()


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_folder_without_a_model_is_refused(fake: Path, missing: str) -> None:
    (fake / missing).unlink()
    (fake / "pytorch_model.bin").write_bytes(b"pickled")
    with pytest.raises(ModelCallError, match=r"safetensors"):
        load_model(f"vllm:{fake}")
