"""The pool against real HTTP servers on the loopback interface: how it spreads and moves calls."""

import asyncio
import logging
import socket
import threading
import time
from email.utils import formatdate
from types import SimpleNamespace

import pytest

from langgraph_memskill.errors import ModelCallError
from langgraph_memskill.models import key_pool

KEY_1, KEY_2, KEY_3 = (f"sk-test-0123456789-key{n}" for n in (1, 2, 3))


def test_calls_are_spread_evenly(server, make_pool):
    pool = make_pool(KEY_1, KEY_2, KEY_3)
    for _ in range(6):
        pool.invoke("hi")
    assert server[1].calls == {KEY_1: 2, KEY_2: 2, KEY_3: 2}


def test_a_busy_endpoint_is_passed_over(server, make_pool):
    server[1].rules = {KEY_1: "held"}
    pool = make_pool()
    slow = threading.Thread(target=pool.invoke, args=("hi",))
    slow.start()
    while not server[1].calls:
        time.sleep(0.005)
    for _ in range(3):
        pool.invoke("hi")
    server[1].release.set()
    slow.join()
    assert server[1].calls == {KEY_1: 1, KEY_2: 3}


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_failing_endpoint_rests_and_the_call_moves_on(server, make_pool, status):
    server[1].rules = {KEY_1: (status, (), "no")}
    pool = make_pool(rest_s=1000)
    assert [pool.invoke("hi").text for _ in range(3)] == ["hello key2"] * 3
    assert server[1].calls == {KEY_1: 1, KEY_2: 3}
    assert pool.endpoints[0].reason == f"HTTP {status}"
    assert 500 < pool.endpoints[0].resting_s <= 1000


def test_a_closed_connection_rests_the_endpoint(server, make_pool):
    server[1].rules = {KEY_1: "close"}
    pool = make_pool()
    assert pool.invoke("hi").text == "hello key2"
    assert pool.endpoints[0].resting_s > 0


def test_a_timeout_rests_the_endpoint(server, make_pool):
    server[1].rules = {KEY_1: "held"}
    pool = make_pool(timeout_s=5)
    assert pool.invoke("hi").text == "hello key2"
    assert "imeout" in pool.endpoints[0].reason


def test_a_server_that_is_not_there_rests(make_pool, server):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # and nobody listens
        gone = f"http://127.0.0.1:{deaf.getsockname()[1]}/v1"
        pool = make_pool(KEY_1, base_urls=[gone, server[0]], rest_s=1000)
        assert pool.invoke("hi").text == "hello key1"
    assert pool.endpoints[0].resting_s > 0


def test_retry_after_says_how_long_to_rest(server, make_pool):
    server[1].rules = {KEY_1: (429, (("Retry-After", "700"),), "slow down")}
    pool = make_pool()
    pool.invoke("hi")
    assert 100 < pool.endpoints[0].resting_s <= 700


def test_retry_after_may_be_a_date(server, make_pool):
    when = formatdate(time.time() + 1000, usegmt=True)
    server[1].rules = {KEY_1: (429, (("Retry-After", when),), "slow down")}
    pool = make_pool()
    pool.invoke("hi")
    assert 100 < pool.endpoints[0].resting_s <= 1000


def test_an_unreadable_retry_after_is_ignored(server, make_pool):
    server[1].rules = {KEY_1: (429, (("Retry-After", "soon"),), "slow down")}
    pool = make_pool(rest_s=1100)
    pool.invoke("hi")
    assert 500 < pool.endpoints[0].resting_s <= 1100


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


def test_a_rest_beyond_the_limit_fails_at_once(server, make_pool, monkeypatch):
    busy = (429, (("Retry-After", "5000"),), "slow down")
    server[1].rules = {KEY_1: busy, KEY_2: busy}
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: pytest.fail("it waited"))
    monkeypatch.setattr(key_pool, "time", clock)
    with pytest.raises(ModelCallError, match="HTTP 429.*HTTP 429.*max_wait_s"):
        make_pool(max_wait_s=600).invoke("hi")


def test_a_server_that_never_recovers_is_given_up(server, make_pool):
    server[1].rules = {KEY_1: (429, (("Retry-After", "0"),), "slow down")}
    with pytest.raises(ModelCallError, match="no endpoint could answer"):
        make_pool(KEY_1, max_wait_s=2).invoke("hi")
    # Rests of 0.25 s, 0.5 s and 1 s, then 2 s, which is beyond the limit; fewer on a slow machine.
    assert 1 <= server[1].calls[KEY_1] <= 4


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
        ticks += pool.endpoints[0].resting_s > 0
    assert (await call).text == "hello key1"
    assert ticks > 2  # a wait that blocked would be over when the loop comes round


async def test_a_cancelled_call_frees_its_endpoint(server, make_pool):
    server[1].rules = {KEY_1: "held"}
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
