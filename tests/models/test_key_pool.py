"""The pool against real HTTP servers on the loopback interface."""

import asyncio
import json
import logging
import threading
import time
from collections import Counter
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from langchain_core.language_models import BaseChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import tool
from pydantic import BaseModel, PrivateAttr, SecretStr

from langgraph_memskill.errors import ConfigError, ModelCallError
from langgraph_memskill.models.endpoints import mask_key, public_url
from langgraph_memskill.models.key_pool import KeyPool

KEY_1, KEY_2, KEY_3 = (f"sk-test-0123456789-key{n}" for n in (1, 2, 3))


class Answers:
    """What the server does: a rule for each key, and what it was asked."""

    def __init__(self):
        self.rules = {}
        self.requests = []
        self.lock = threading.Lock()

    @property
    def calls(self):
        return Counter(key for key, _ in self.requests)

    def rule_for(self, key, body):
        with self.lock:
            self.requests.append((key, body))
            rule = self.rules.get(key, "ok")
            if isinstance(rule, list):
                return rule.pop(0) if rule else "ok"
            return rule


def _completion(body, text):
    message = {"role": "assistant", "content": text}
    if body.get("tools"):
        call = {"name": body["tools"][0]["function"]["name"], "arguments": '{"a": 1, "b": 2}'}
        message["tool_calls"] = [{"id": "call_1", "type": "function", "function": call}]
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


def _chunk(body, delta, finish=None):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    data = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
    return f"data: {json.dumps(data | {'choices': [choice]})}\n\n".encode()


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers["Authorization"].removeprefix("Bearer ")
        rule = self.server.answers.rule_for(key, body)
        if rule == "close":
            return
        if rule in ("slow", "stuck"):
            time.sleep(1 if rule == "slow" else 6)
        if isinstance(rule, tuple):
            self._send(rule[0], {"error": {"message": rule[2]}}, rule[1])
        elif body.get("stream"):
            self._stream(body, breaks=rule == "break")
        else:
            text = '{"name": "Ann", "age": 3}' if "response_format" in body else f"hello {key[-4:]}"
            self._send(200, _completion(body, text))

    def _send(self, status, data, headers=()):
        payload = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def _stream(self, body, *, breaks):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(_chunk(body, {"role": "assistant", "content": "hel"}))
        self.wfile.flush()
        if breaks:
            self.wfile.write(b'data: {"error": {"message": "overloaded"}}\n\n')
            return
        self.wfile.write(_chunk(body, {"content": "lo"}))
        self.wfile.write(_chunk(body, {}, "stop") + b"data: [DONE]\n\n")


class Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """Say nothing: a client that gave up waiting is part of these tests."""


@contextmanager
def serving():
    server = Server(("127.0.0.1", 0), Handler)
    server.answers = Answers()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", server.answers
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def server():
    with serving() as parts:
        yield parts


@pytest.fixture
def make_pool(server):
    url, _ = server

    def make(*keys, **options):
        parts = {"model": "m", "keys": list(keys or (KEY_1, KEY_2)), "base_urls": [url]}
        return KeyPool(**(parts | options))

    return make


def test_calls_are_spread_evenly(server, make_pool):
    pool = make_pool(KEY_1, KEY_2, KEY_3)
    for _ in range(6):
        pool.invoke("hi")
    assert server[1].calls == {KEY_1: 2, KEY_2: 2, KEY_3: 2}


def test_a_busy_endpoint_is_passed_over(server, make_pool):
    server[1].rules = {KEY_1: "slow"}
    pool = make_pool()
    slow = threading.Thread(target=pool.invoke, args=("hi",))
    slow.start()
    while not server[1].calls:
        time.sleep(0.005)
    for _ in range(3):
        pool.invoke("hi")
    slow.join()
    assert server[1].calls == {KEY_1: 1, KEY_2: 3}


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_failing_endpoint_rests_and_the_call_moves_on(server, make_pool, status):
    server[1].rules = {KEY_1: (status, (), "no")}
    pool = make_pool()
    assert [pool.invoke("hi").text for _ in range(3)] == ["hello key2"] * 3
    assert server[1].calls == {KEY_1: 1, KEY_2: 3}
    assert pool.endpoints[0].reason == f"HTTP {status}"
    assert 25 < pool.endpoints[0].resting_s <= 30


def test_a_closed_connection_rests_the_endpoint(server, make_pool):
    server[1].rules = {KEY_1: "close"}
    pool = make_pool()
    assert pool.invoke("hi").text == "hello key2"
    assert pool.endpoints[0].resting_s > 0


def test_a_timeout_rests_the_endpoint(server, make_pool):
    server[1].rules = {KEY_1: "stuck"}
    pool = make_pool(timeout_s=2)
    assert pool.invoke("hi").text == "hello key2"
    assert "imeout" in pool.endpoints[0].reason


def test_a_server_that_is_not_there_rests(make_pool, server):
    with serving() as (gone, _):
        pass
    pool = make_pool(KEY_1, base_urls=[gone, server[0]])
    assert pool.invoke("hi").text == "hello key1"
    assert pool.endpoints[0].resting_s > 0


def test_retry_after_says_how_long_to_rest(server, make_pool):
    server[1].rules = {KEY_1: (429, (("Retry-After", "700"),), "slow down")}
    pool = make_pool()
    pool.invoke("hi")
    assert 600 < pool.endpoints[0].resting_s <= 700


def test_retry_after_may_be_a_date(server, make_pool):
    when = formatdate(time.time() + 1000, usegmt=True)
    server[1].rules = {KEY_1: (429, (("Retry-After", when),), "slow down")}
    pool = make_pool()
    pool.invoke("hi")
    assert 900 < pool.endpoints[0].resting_s <= 1000


def test_an_unreadable_retry_after_is_ignored(server, make_pool):
    server[1].rules = {KEY_1: (429, (("Retry-After", "soon"),), "slow down")}
    pool = make_pool(rest_s=1100)
    pool.invoke("hi")
    assert 1000 < pool.endpoints[0].resting_s <= 1100


def test_a_rested_endpoint_works_again(server, make_pool):
    server[1].rules = {KEY_1: [(429, (("Retry-After", "0"),), "slow down")]}
    pool = make_pool(KEY_1)
    started = time.monotonic()
    assert pool.invoke("hi").text == "hello key1"
    assert time.monotonic() - started >= 0.25
    assert pool.endpoints[0].reason == ""


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_out_for_good(server, make_pool, caplog, status):
    server[1].rules = {KEY_1: (status, (), f"Incorrect API key provided: {KEY_1}")}
    pool = make_pool(rest_s=0.01)
    with caplog.at_level(logging.DEBUG, logger="langgraph_memskill"):
        for _ in range(4):
            pool.invoke("hi")
        time.sleep(0.3)
        pool.invoke("hi")
    assert server[1].calls == {KEY_1: 1, KEY_2: 5}
    assert pool.endpoints[0].is_out
    assert KEY_1 not in caplog.text
    assert "…key1" in caplog.text


def test_when_every_key_is_refused_the_error_says_so(server, make_pool):
    refused = (401, (), "no")
    server[1].rules = {KEY_1: refused, KEY_2: refused}
    with pytest.raises(ModelCallError, match="check the keys") as caught:
        make_pool().invoke("hi")
    text = str(caught.value)
    assert "…key1" in text
    assert "HTTP 401" in text
    assert KEY_1 not in text


def test_a_rest_beyond_the_limit_fails_at_once(server, make_pool):
    busy = (429, (("Retry-After", "500"),), "slow down")
    server[1].rules = {KEY_1: busy, KEY_2: busy}
    started = time.monotonic()
    with pytest.raises(ModelCallError, match="HTTP 429.*HTTP 429.*max_wait_s"):
        make_pool(max_wait_s=60).invoke("hi")
    assert time.monotonic() - started < 60


def test_a_server_that_never_recovers_is_given_up(server, make_pool):
    server[1].rules = {KEY_1: (429, (("Retry-After", "0"),), "slow down")}
    with pytest.raises(ModelCallError, match="no endpoint could answer"):
        make_pool(KEY_1, max_wait_s=2).invoke("hi")
    # Rests of 0.25 s, 0.5 s and 1 s, then 2 s, which is beyond the limit; fewer on a slow machine.
    assert 2 <= server[1].calls[KEY_1] <= 4


def test_a_bad_request_is_raised_at_once_and_unchanged(server, make_pool):
    server[1].rules = {KEY_1: (400, (), "too long"), KEY_2: (400, (), "too long")}
    pool = make_pool()
    with pytest.raises(Exception, match="too long") as caught:
        pool.invoke("hi")
    assert caught.value.status_code == 400
    assert sum(server[1].calls.values()) == 1
    assert pool.endpoints[0].resting_s == 0


def test_a_key_in_a_servers_answer_is_masked(server, make_pool):
    server[1].rules = {KEY_1: (400, (), f"bad header: Bearer {KEY_1}")}
    with pytest.raises(ModelCallError, match="bad header: Bearer …key1") as caught:
        make_pool(KEY_1).invoke("hi")
    assert KEY_1 not in str(caught.value)
    assert caught.value.__suppress_context__


async def test_async_calls_move_on_too(server, make_pool):
    server[1].rules = {KEY_1: (500, (), "no")}
    pool = make_pool()
    replies = await asyncio.gather(*(pool.ainvoke("hi") for _ in range(4)))
    assert {reply.text for reply in replies} == {"hello key2"}


async def test_an_async_wait_does_not_block_the_loop(server, make_pool):
    server[1].rules = {KEY_1: [(429, (("Retry-After", "1"),), "slow down")]}
    pool = make_pool(KEY_1)
    call = asyncio.create_task(pool.ainvoke("hi"))
    ticks = 0
    while not call.done():
        await asyncio.sleep(0.02)
        ticks += 1
    assert (await call).text == "hello key1"
    assert ticks > 10


async def test_a_cancelled_call_frees_its_endpoint(server, make_pool):
    server[1].rules = {KEY_1: "slow"}
    pool = make_pool(KEY_1)
    call = asyncio.create_task(pool.ainvoke("hi"))
    while not server[1].calls:
        await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert pool.endpoints[0].in_flight == 0


def test_streaming_moves_on_before_the_first_chunk(server, make_pool):
    server[1].rules = {KEY_1: (500, (), "no")}
    pool = make_pool()
    assert "".join(chunk.text for chunk in pool.stream("hi")) == "hello"
    assert server[1].calls == {KEY_1: 1, KEY_2: 1}


async def test_async_streaming_moves_on_before_the_first_chunk(server, make_pool):
    server[1].rules = {KEY_1: (500, (), "no")}
    assert "".join([chunk.text async for chunk in make_pool().astream("hi")]) == "hello"
    assert server[1].calls == {KEY_1: 1, KEY_2: 1}


def test_a_stream_that_breaks_is_not_repeated(server, make_pool):
    server[1].rules = {KEY_1: "break"}
    seen = []
    with pytest.raises(Exception, match="overloaded"):
        seen.extend(chunk.text for chunk in make_pool(KEY_1).stream("hi"))
    assert server[1].calls == {KEY_1: 1}


def test_an_abandoned_stream_frees_its_endpoint(make_pool):
    pool = make_pool(KEY_1)
    stream = pool.stream("hi")
    next(stream)
    stream.close()
    assert pool.endpoints[0].in_flight == 0


def test_many_threads_share_the_pool(server, make_pool):
    pool = make_pool(KEY_1, KEY_2, KEY_3)
    threads = [threading.Thread(target=pool.invoke, args=("hi",)) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(server[1].calls.values()) == 30
    assert [status.in_flight for status in pool.endpoints] == [0, 0, 0]
    assert max(status.calls for status in pool.endpoints) <= 20


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def test_bound_tools_reach_whichever_endpoint_answers(server, make_pool):
    server[1].rules = {KEY_1: (500, (), "no")}
    reply = make_pool().bind_tools([add]).invoke("add")
    assert reply.tool_calls[0]["args"] == {"a": 1, "b": 2}
    assert [body["tools"][0]["function"]["name"] for _, body in server[1].requests] == ["add"] * 2


class Person(BaseModel):
    name: str
    age: int


def test_structured_output_goes_through_the_pool(server, make_pool):
    server[1].rules = {KEY_1: (500, (), "no")}
    structured = make_pool().with_structured_output(Person)
    assert structured.invoke("who?") == Person(name="Ann", age=3)
    assert server[1].calls == {KEY_1: 1, KEY_2: 1}
    assert server[1].requests[1][1]["response_format"]["type"] == "json_schema"


def test_structured_output_with_the_raw_message(server, make_pool):
    server[1].rules = {KEY_1: (500, (), "no")}
    reply = make_pool().with_structured_output(Person, include_raw=True).invoke("who?")
    assert reply["parsed"] == Person(name="Ann", age=3)
    assert reply["parsing_error"] is None
    assert reply["raw"].text == '{"name": "Ann", "age": 3}'


def test_structured_output_by_tool_call(server, make_pool):
    schema = {
        "title": "sum",
        "description": "a sum",
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
    }
    structured = make_pool().with_structured_output(schema, method="function_calling")
    assert structured.invoke("add") == {"a": 1, "b": 2}


def test_keys_and_urls_belong_together_in_order():
    with serving() as (url_1, answers_1), serving() as (url_2, answers_2):
        pool = KeyPool(model="m", keys=[KEY_1, KEY_2], base_urls=[url_1, url_2])
        for _ in range(4):
            pool.invoke("hi")
    assert answers_1.calls == {KEY_1: 2}
    assert answers_2.calls == {KEY_2: 2}


def test_one_key_serves_all_urls_and_none_is_fine():
    with serving() as (url_1, answers_1), serving() as (url_2, answers_2):
        KeyPool(model="m", keys=[KEY_1], base_urls=[url_1, url_2]).batch(["a", "b"])
        KeyPool(model="m", base_urls=[url_1, url_2]).batch(["a", "b"])
    assert sum((answers_1.calls + answers_2.calls).values()) == 4
    assert set(answers_1.calls) | set(answers_2.calls) == {KEY_1, "EMPTY"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "m"}, "neither keys nor base_urls"),
        ({"keys": [KEY_1]}, "model name"),
        ({"model": "m", "keys": [KEY_1, "  "]}, "empty"),
        ({"model": "m", "keys": [KEY_1, KEY_2], "base_urls": ["http://a"] * 3}, "2 keys and 3"),
        ({"model": "m", "base_urls": ["localhost:8000"]}, "https://host"),
        ({"model": "m", "keys": [KEY_1], "rest_s": 0}, "rest_s"),
        ({"model": "m", "keys": [KEY_1], "wait": 3}, "wait"),
        ({"model": "m", "keys": 7}, "keys"),
    ],
)
def test_contradictory_settings_are_refused_without_naming_keys(options, message):
    with pytest.raises(ConfigError, match=message) as caught:
        KeyPool(**options)
    assert KEY_1 not in str(caught.value)


def test_keys_show_in_no_representation(make_pool):
    pool = make_pool()
    assert KEY_1 not in f"{pool!r} {pool} {pool.endpoints} {pool.asdict()} {pool.to_json()}"


class Flaky(BaseChatModel):
    """A ready model; fails while told so."""

    name: str = "flaky"
    _failures: list[Exception] = PrivateAttr(default_factory=list)

    @property
    def _llm_type(self):
        return "flaky"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        if self._failures:
            raise self._failures.pop()
        return ChatResult(generations=[ChatGeneration(message=AIMessage(self.name))])


class Streaming(Flaky):
    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        yield ChatGenerationChunk(message=AIMessageChunk("one "))
        yield ChatGenerationChunk(message=AIMessageChunk("two"))


def test_ready_models_can_be_pooled():
    first, second = Flaky(name="first"), Flaky(name="second")
    first._failures.append(ConnectionResetError("gone"))
    pool = KeyPool(models=[first, second])
    assert pool.invoke("hi").text == "second"
    assert pool.endpoints[0].reason == "ConnectionResetError"


def test_ready_models_without_streaming_answer_in_one_piece():
    assert [chunk.text for chunk in KeyPool(models=[Flaky()]).stream("hi")] == ["flaky"]


def test_ready_models_with_streaming_stream():
    texts = [chunk.text for chunk in KeyPool(models=[Streaming()]).stream([HumanMessage("hi")])]
    assert [text for text in texts if text] == ["one ", "two"]


def test_an_error_of_the_code_itself_is_no_reason_to_move_on():
    first, second = Flaky(name="first"), Flaky(name="second")
    first._failures.append(KeyError("bug"))
    pool = KeyPool(models=[first, second])
    with pytest.raises(KeyError, match="bug"):
        pool.invoke("hi")
    assert pool.endpoints[1].calls == 0


def test_models_of_two_classes_are_refused():
    with pytest.raises(ConfigError, match=r"'Flaky', 'GenericFakeChatModel'"):
        KeyPool(models=[Flaky(), GenericFakeChatModel(messages=iter(()))])


def test_models_and_keys_exclude_each_other():
    with pytest.raises(ConfigError, match="not both"):
        KeyPool(models=[Flaky()], keys=[KEY_1])


def test_short_keys_are_masked_altogether():
    assert mask_key(SecretStr("abc123")) == "…"
    assert mask_key(SecretStr("0123456789abcdef")) == "…cdef"


def test_public_urls_hold_no_password():
    assert public_url("https://me:secret@host:80/v1?key=1") == "host:80/v1"
