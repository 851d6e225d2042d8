"""Leases of a pool whose workers live in this process: who gets which worker."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_memskill.workers import pool as pool_module
from langgraph_memskill.workers.cluster import ClusterSettings
from langgraph_memskill.workers.pool import WorkerPool
from tests.workers.in_process_ray import LOSSES, InProcessRay, RayError
from tests.workers.pool_parts import MakePool, Recipe, Service, leases, until


async def test_several_who_ask_at_once_are_spread_evenly(make_pool: MakePool) -> None:
    pool, _ = make_pool(4)
    await asyncio.gather(*(pool.place() for _ in range(8)))
    assert leases(pool) == [2, 2, 2, 2]


async def test_those_who_wait_for_the_first_workers_are_spread_over_all_that_get_ready(
    make_pool: MakePool,
) -> None:
    pool, ray = make_pool(3, is_ready=False)
    waiting = [asyncio.create_task(pool.place()) for _ in range(6)]
    await asyncio.sleep(0.02)
    assert leases(pool) == [0, 0, 0]
    for actor in ray.actors:
        actor.started.set()
    await asyncio.gather(*waiting)
    assert leases(pool) == [2, 2, 2]


async def test_a_worker_that_gets_ready_later_catches_up(make_pool: MakePool) -> None:
    pool, ray = make_pool(2, is_ready=False)
    ray.actors[0].started.set()
    await asyncio.gather(*(pool.place() for _ in range(3)))
    assert leases(pool) == [3, 0]
    ray.actors[1].started.set()
    await until(lambda: pool.workers[1].ready.future.done())
    await asyncio.gather(*(pool.place() for _ in range(3)))
    assert leases(pool) == [3, 3]


async def test_a_lease_that_was_given_back_makes_room(make_pool: MakePool) -> None:
    pool, _ = make_pool(2)
    service = Service()
    order = pool.order(Recipe(lambda: service))
    held = [pool.lease(order) for _ in range(4)]
    for lease in held:
        await lease.call("add", "x")
        await lease.call("add", "y")
    assert leases(pool) == [2, 2]
    for lease in held[::2]:
        lease.release()
        lease.release()
    assert leases(pool) == [0, 2]
    another = pool.lease(order)
    await another.call("add", "z")
    assert leases(pool) == [1, 2]


async def test_whoever_stops_waiting_holds_no_lease(make_pool: MakePool) -> None:
    pool, ray = make_pool(1, is_ready=False)
    waiting = asyncio.create_task(pool.place())
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    ray.actors[0].started.set()
    await pool.place()
    assert leases(pool) == [1]


@pytest.mark.parametrize("loss", LOSSES)
async def test_workers_that_are_gone_are_replaced_and_hold_no_leases(
    make_pool: MakePool, loss: type[RayError]
) -> None:
    pool, ray = make_pool(3)
    await asyncio.gather(*(pool.place() for _ in range(3)))
    ray.actors[0].die(loss("gone"))
    ray.actors[1].die(loss("gone"))
    await asyncio.gather(*(pool.place() for _ in range(5)))
    assert len(ray.actors) == 5
    assert sorted(leases(pool)) == [0, 0, 6]  # the new ones are not ready
    await until(lambda: all(worker.ready.future.done() for worker in pool.workers))
    await asyncio.gather(*(pool.place() for _ in range(6)))
    assert sorted(leases(pool)) == [3, 3, 6]


@given(st.lists(st.sampled_from(["place", "release", *LOSSES]), max_size=30), st.data())
def test_leases_are_never_lost_nor_counted_twice(steps: list[Any], data: st.DataObject) -> None:
    async def go() -> None:
        ray = InProcessRay(3)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pool_module, "_LOOK_SECONDS", 0)
            patch.setattr(pool_module, "Cluster", lambda settings: ray)
            pool = WorkerPool(ClusterSettings(address="local"))
            order = pool.order(Recipe())
            held = []
            for step in steps:
                if step == "place":
                    held.append(pool.lease(order))
                    worker = await held[-1]._current()
                    ready = [w.leases for w in pool.workers if w.info is not None]
                    assert worker.leases - 1 <= min(ready)
                elif step == "release" and held:
                    held.pop(data.draw(st.integers(0, len(held) - 1))).release()
                elif step in LOSSES and (ready := [w for w in pool.workers if w.info is not None]):
                    ready[data.draw(st.integers(0, len(ready) - 1))].actor.die(step("gone"))
                    held = [lease for lease in held if not lease._worker.actor.is_dead]
            living = [w for w in pool.workers if not w.actor.is_dead]
            assert sum(w.leases for w in living) == len(held)

    asyncio.run(go())
