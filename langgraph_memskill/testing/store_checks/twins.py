"""Checks of the async methods: they do what the sync ones do, and let the event loop run."""

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

from langgraph.store.base import PutOp

from langgraph_memskill.testing.cases import Case
from langgraph_memskill.testing.embedding import SLOW, SLOW_S

_TICK_S = 0.01
_FEWEST_TICKS = 5
_MOST_TRIES = 5
_WORTH_MEASURING_S = 0.25
_MOST_OPS = 3200


async def _ticks_during(work: Awaitable[Any]) -> tuple[int, float, float]:
    """Await something while counting how often the loop comes round.

    Returns:
        Rounds of the loop, the longest pause between two of them, and the time for all, in s.
    """
    task = asyncio.ensure_future(work)
    num_ticks, longest, start = 0, 0.0, time.perf_counter()
    last = start
    while not task.done():
        await asyncio.sleep(_TICK_S)
        now = time.perf_counter()
        num_ticks, longest, last = num_ticks + 1, max(longest, now - last), now
    await task
    return num_ticks, longest, last - start


class TwinChecks:
    """Async methods."""

    def test_as01_async_sees_what_sync_wrote(self, both_cases: tuple[Case, Case]) -> None:
        """What is written by one kind of method is read by the other.

        Where: base, `BaseStore`: `aput`, `aget` ... are the "async" forms of `put`, `get` ...
        """
        for one, other in (both_cases, both_cases[::-1]):
            namespace = one.ns("async" if one.is_async else "sync")
            one.put_all(namespace, {"k1": {"text": "a", "n": 1}, "k2": {"text": "b", "n": 2}})
            assert other.value(namespace, "k1") == {"text": "a", "n": 1}
            assert sorted(other.found(namespace)) == ["k1", "k2"]
            assert other.listed(prefix=namespace) == [namespace]
            other.delete(namespace, "k1")
            assert one.get(namespace, "k1") is None

    def test_as02_twins_agree(self, both_cases: tuple[Case, Case]) -> None:
        """The same operations by sync and by async methods leave and give the same.

        Where: base, `BaseStore`: each async method has the text of its sync twin.
        """
        seen = []
        for case in both_cases:
            root = "async" if case.is_async else "sync"
            for number in range(12):
                namespace = case.ns(root, str(number % 3))
                case.put(namespace, f"{number:02}", {"text": "a" * number + "b", "n": number})
            case.batch(
                PutOp(case.ns(root, "0"), "00", {"text": "c", "n": 100}),
                PutOp(case.ns(root, "1"), "01", None),
            )
            everything = case.search(case.ns(root), limit=50)
            ranked = case.search(case.ns(root), query="a", limit=4)
            seen.append(
                {
                    "items": sorted((item.namespace[2:], item.key) for item in everything),
                    "filter": sorted(case.found(case.ns(root), filter={"n": 100})),
                    "ranking": [(item.key, item.score) for item in ranked]
                    if case.can.vectors is None
                    else None,
                    "names": [name[2:] for name in case.listed(prefix=case.ns(root))],
                }
            )
        assert seen[0] == seen[1]

    def test_as03_embedding_does_not_block_the_loop(self, async_case: Case) -> None:
        """While a slow model embeds, the event loop goes on.

        Where: base, `abatch`: "Execute multiple operations asynchronously".
        """
        case = async_case
        case.needs(case.can.vectors)
        store = case.store
        for name, work in (
            ("aput", lambda: store.aput(case.ns("x"), "k", {"text": f"{SLOW} a"})),
            ("asearch", lambda: store.asearch(case.ns("x"), query=f"{SLOW} a")),
        ):
            pauses: list[float] = []
            # Several tries, because a busy machine makes pauses, too.
            while len(pauses) < _MOST_TRIES and min(pauses, default=SLOW_S) >= 0.8 * SLOW_S:
                pauses.append(case.loop.run(_ticks_during_call(work))[1])
            assert pauses[-1] < 0.8 * SLOW_S, (
                f"the loop stood still for so much of the {SLOW_S} s of {name}, in s: {pauses}"
            )

    def test_as04_storage_does_not_block_the_loop(self, async_case: Case) -> None:
        """While a large batch is stored, the event loop goes on.

        Where: base, `abatch`: "Execute multiple operations asynchronously".
        """
        case = async_case
        num_ops, seen = 100, (0, 0.0, 0.0)
        while num_ops <= _MOST_OPS and seen[-1] < _WORTH_MEASURING_S:
            num_ops *= 2
            seen = _ticks_of_batch(case, num_ops)
        if seen[-1] < _WORTH_MEASURING_S:
            return
        tries = [seen]
        while len(tries) < _MOST_TRIES and not _went_on(*tries[-1]):
            tries.append(_ticks_of_batch(case, num_ops))
        assert _went_on(*tries[-1]), (
            f"the loop stood still for so much of a batch of {num_ops}: (rounds, longest pause and "
            f"all in s) {tries}"
        )

    def test_as05_cancelled_call(self, async_case: Case) -> None:
        """A call that is cancelled, before or while it runs, leaves the store usable.

        Where: not written; langgraph#5503 and #6367 are the contrary.
        """
        case = async_case

        async def cancel_some() -> None:
            tasks = [
                asyncio.ensure_future(case.store.aput(case.ns("x"), str(number), {"text": "a"}))
                for number in range(10)
            ]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        case.loop.run(cancel_some(), timeout_s=60)
        case.put(case.ns("x"), "after", {"text": "b"})
        assert case.value(case.ns("x"), "after") == {"text": "b"}
        assert {str(number) for number in range(1, 10, 2)} <= set(
            case.found(case.ns("x"), limit=50)
        )


def _ticks_of_batch(case: Case, num_ops: int) -> tuple[int, float, float]:
    ops = [
        PutOp(case.ns("x"), str(number), {"text": "ab"}, index=False) for number in range(num_ops)
    ]
    return case.loop.run(_ticks_during_call(lambda: case.store.abatch(ops)))


def _went_on(num_ticks: int, longest: float, total: float) -> bool:
    """Tell whether the loop went on, of what `_ticks_during` saw.

    A loop that stands still comes round once before and once after, which takes long on a busy
    machine; so the longest pause alone would not tell.
    """
    return num_ticks >= _FEWEST_TICKS and longest < 0.8 * total


async def _ticks_during_call(work: Any) -> tuple[int, float, float]:
    return await _ticks_during(_begun(work))


async def _begun(work: Any) -> Any:
    # Called inside of the task, so that what the call does at once counts too.
    return await work()
