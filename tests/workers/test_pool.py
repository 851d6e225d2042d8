"""Calls and services of a pool whose workers live in this process, and its end."""

import asyncio
import socket
import threading

import pytest

from langgraph_memskill.errors import (
    ClusterError,
    ConfigError,
    DataError,
    MissingDependencyError,
    WorkerLostError,
)
from langgraph_memskill.workers import pool as pool_module
from langgraph_memskill.workers.lease import Lost
from tests.workers.in_process_ray import LOSSES, RayError
from tests.workers.pool_parts import MakePool, Recipe, Service, leases, logging_by, until


@pytest.mark.parametrize("loss", LOSSES)
async def test_a_call_over_which_workers_die_is_made_again_and_then_given_up(
    make_pool: MakePool, loss: type[RayError]
) -> None:
    pool, ray = make_pool(1)
    service = Service()
    lease = pool.lease(pool.order(Recipe(lambda: service)))
    call = asyncio.create_task(lease.call("wait"))
    for number in range(1, 4):
        await until(lambda number=number: service.said.count("waits") == number)
        ray.actors[-1].die(loss("gone"))
    with pytest.raises(WorkerLostError, match="3 workers died one after the other over 'wait'"):
        await call


@pytest.mark.parametrize("loss", LOSSES)
async def test_a_stream_whose_worker_dies_says_so_and_the_next_one_has_another(
    make_pool: MakePool, loss: type[RayError]
) -> None:
    pool, ray = make_pool(1)
    service = Service()
    lease = pool.lease(pool.order(Recipe(lambda: service)))
    got: list[int] = []

    async def read() -> None:
        async for value in lease.stream("count"):
            got.append(value)

    reading = asyncio.create_task(read())
    await until(lambda: got == [1])
    ray.actors[0].die(loss("gone"))
    with pytest.raises(Lost):
        await reading
    service.release.set()
    await read()
    assert got == [1, 1, 2]
    assert (len(ray.actors), leases(pool)) == (2, [1])


async def test_a_call_that_ray_cannot_make_is_an_error_and_no_loss(make_pool: MakePool) -> None:
    pool, ray = make_pool(1)
    service = Service()
    lease = pool.lease(pool.order(Recipe(lambda: service)))
    call = asyncio.create_task(lease.call("wait"))
    await until(lambda: "waits" in service.said)
    ray.actors[0].break_calls(RayError("no way to pickle it"))
    with pytest.raises(ClusterError, match="wait has failed on worker .*: no way to pickle it"):
        await call
    assert len(ray.actors) == 1
    assert await lease.call("add", "x") == len(service.said)


async def test_nothing_of_an_earlier_run_is_in_a_new_one(make_pool: MakePool) -> None:
    pool, ray = make_pool(2)
    made: list[Service] = []

    def make() -> Service:
        made.append(Service())
        return made[-1]

    recipe = Recipe(make)
    orders = []
    for _ in range(2):
        orders.append(await pool.aorder(recipe))
        held = [pool.lease(orders[-1]) for _ in range(2)]
        assert [await lease.call("add", "x") for lease in held] == [1, 1]
        for lease in held:
            lease.release()
    assert len(made) == 4
    await pool.forget(orders[0])
    assert [service.said for service in made] == [["x", "closed"], ["x", "closed"], ["x"], ["x"]]
    await pool.forget(orders[1])
    assert [actor.instance._services for actor in ray.actors] == [{}, {}]


@pytest.mark.parametrize("kind", [ConfigError, DataError, MissingDependencyError])
async def test_an_error_that_says_what_to_do_names_the_machine(
    make_pool: MakePool, kind: type[Exception]
) -> None:
    pool, _ = make_pool(1)

    def make() -> Service:
        raise kind("there is no model")

    with pytest.raises(kind) as caught:
        await pool.lease(pool.order(Recipe(make))).call("add", "x")
    assert str(caught.value) == f"there is no model (on {socket.gethostname()})"


async def test_a_service_that_could_not_be_made_is_let_go_of_as_well(make_pool: MakePool) -> None:
    pool, ray = make_pool(1)

    def make() -> Service:
        raise ConfigError("no such model")

    order = pool.order(Recipe(make))
    with pytest.raises(ConfigError, match="no such model"):
        await pool.lease(order).call("add", "x")
    await pool.forget(order)
    assert ray.actors[0].instance._services == {}


async def test_a_call_that_is_broken_off_ends_on_the_worker(make_pool: MakePool) -> None:
    pool, _ = make_pool(1)
    service = Service()
    lease = pool.lease(pool.order(Recipe(lambda: service)))
    call = asyncio.create_task(lease.call("wait"))
    await until(lambda: "waits" in service.said)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(lambda: "cancelled" in service.said)


async def test_a_stream_that_is_broken_off_ends_on_the_worker(make_pool: MakePool) -> None:
    pool, _ = make_pool(1)
    service = Service()
    lease = pool.lease(pool.order(Recipe(lambda: service)))
    got: list[int] = []

    async def read() -> None:
        stream = lease.stream("count")
        try:
            async for value in stream:
                got.append(value)
        finally:
            await stream.aclose()

    reading = asyncio.create_task(read())
    await until(lambda: got == [1])
    assert service.said == []
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await until(lambda: service.said == ["ended"])


async def test_what_is_logged_beside_a_last_call_arrives(
    make_pool: MakePool, caplog: pytest.LogCaptureFixture
) -> None:
    pool, ray = make_pool(1)
    service = Service(log=logging_by(ray.actors[0]))
    order = pool.order(Recipe(lambda: service))
    lease = pool.lease(order)
    await lease.call("add", "x")
    lease.dismiss("warn", "it leaks")
    assert leases(pool) == [0]
    await until(lambda: "it leaks" in caplog.text)
    refused = pool.lease(order)
    await refused.call("add", "y")
    refused.dismiss("fail")
    await pool.forget(order)
    messages = [record.getMessage() for record in caplog.records]
    name = pool.workers[0].name
    assert messages == [
        f"it leaks ({name})",
        f"fail has failed on {name}: nothing fits",
        f"a last word ({name})",
    ]


async def test_a_last_call_makes_no_service(
    make_pool: MakePool, caplog: pytest.LogCaptureFixture
) -> None:
    pool, ray = make_pool(1)
    made: list[Service] = []

    def make() -> Service:
        made.append(Service())
        return made[-1]

    order = pool.order(Recipe(make))
    lease = pool.lease(order)
    await lease._current()
    lease.dismiss("add", "x")
    await pool.forget(order)
    assert (made, ray.actors[0].instance._services, caplog.records) == ([], {}, [])


async def test_a_worker_that_is_gone_at_the_end_is_nobodys_affair(
    make_pool: MakePool, caplog: pytest.LogCaptureFixture
) -> None:
    pool, ray = make_pool(2)
    order = pool.order(Recipe())
    held = [pool.lease(order) for _ in range(2)]
    for lease in held:
        await lease.call("add", "x")
    ray.actors[0].die()
    for lease in held:
        lease.dismiss("add", "y")
    await pool.forget(order)
    assert caplog.records == []
    assert ray.actors[1].instance._services == {}


async def test_the_end_of_a_run_does_not_wait_for_a_worker_that_hangs(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_GOODBYE_SECONDS", 0.01)
    pool, _ = make_pool(1)
    service = Service()
    order = pool.order(Recipe(lambda: service))
    lease = pool.lease(order)
    await lease.call("add", "x")
    lease.dismiss("wait")
    await pool.forget(order)
    assert "cancelled" not in service.said
    service.release.set()


async def test_values_are_put_outside_of_the_event_loop(make_pool: MakePool) -> None:
    pool, ray = make_pool(1)
    shared = await pool.ashare({"a": 1})
    assert await shared == {"a": 1}
    order = await pool.aorder(Recipe())
    assert await pool.lease(order).call("add", "x") == 1
    assert len(ray.threads) == 2
    assert threading.get_ident() not in ray.threads


async def test_a_cluster_without_a_free_cpu_is_named_while_waiting_and_in_the_end(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pool_module, "_PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr(pool_module, "_START_SECONDS", 0.05)
    pool, _ = make_pool(2, is_ready=False)
    waiting = (pool.place() for _ in range(3))
    errors = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(error, ClusterError) for error in errors)
    assert "none of 2 workers has started" in str(errors[0])
    assert len(caplog.records) == 1
    assert "whether the cluster has a free CPU" in caplog.text


async def test_a_closed_pool_says_so_and_starts_nothing(make_pool: MakePool) -> None:
    pool, ray = make_pool(2)
    order = pool.order(Recipe())
    held = pool.lease(order)
    await held.call("add", "x")
    await pool.aclose()
    await pool.aclose()
    for refused in (
        lambda: pool.lease(order).call("add", "x"),
        lambda: held.call("add", "x"),
        lambda: anext(held.stream("count")),
        pool.place,
        lambda: pool.ashare(1),
        lambda: pool.aorder(Recipe()),
    ):
        with pytest.raises(ClusterError, match="this pool of workers is closed"):
            await refused()
    held.dismiss("add", "y")
    await pool.forget(order)
    assert len(ray.actors) == 2


@pytest.mark.parametrize("is_heard", [True, False])
@pytest.mark.parametrize("way", ["wait", "count"])
async def test_closing_a_pool_ends_the_calls_that_are_under_way(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch, way: str, is_heard: bool
) -> None:
    pool, ray = make_pool(2)
    service = Service()
    lease = pool.lease(pool.order(Recipe(lambda: service)))
    begun = asyncio.Event()

    async def use() -> None:
        if way == "wait":
            await lease.call(way)
        async for _ in lease.stream(way):
            begun.set()

    using = asyncio.create_task(use())
    await until(lambda: begun.is_set() or "waits" in service.said)
    if not is_heard:  # Ray may have shut down before the news of the worker's end arrives
        monkeypatch.setattr(ray, "kill", lambda actor: None)
    await pool.aclose()
    with pytest.raises((ClusterError, Lost)) as caught:
        await asyncio.wait_for(using, 60)
    assert way == "count" or "is closed" in str(caught.value)
    assert len(ray.actors) == 2


async def test_who_waits_for_a_worker_hears_that_the_pool_is_closed(make_pool: MakePool) -> None:
    pool, _ = make_pool(1, is_ready=False)
    waiting = asyncio.create_task(pool.place())
    await asyncio.sleep(0.01)
    await pool.aclose()
    with pytest.raises(ClusterError, match="this pool of workers is closed"):
        await asyncio.wait_for(waiting, 60)


async def test_a_pool_closes_in_async_code_too(make_pool: MakePool) -> None:
    pool, ray = make_pool(2)
    async with pool as same:
        assert same is pool
    assert pool.workers == []
    assert all(actor.is_dead for actor in ray.actors)
