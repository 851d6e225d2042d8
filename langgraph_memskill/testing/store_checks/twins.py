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
            num_ticks, _, _ = case.loop.run(_ticks_during_call(work))
            assert num_ticks >= _FEWEST_TICKS, (
                f"the loop came round {num_ticks} times in the {SLOW_S} s of {name}"
            )

    def test_as04_storage_does_not_block_the_loop(self, async_case: Case) -> None:
        """While a large batch is stored, the event loop goes on.

        Where: base, `abatch`: "Execute multiple operations asynchronously".
        """
        case = async_case
        num_ops, longest, total = 100, 0.0, 0.0
        while num_ops <= _MOST_OPS and total < _WORTH_MEASURING_S:
            num_ops *= 2
            longest, total = _pause(case, num_ops)
        if total < _WORTH_MEASURING_S:
            return
        # Again, because a busy machine makes pauses, too.
        pauses = [(longest, total), _pause(case, num_ops), _pause(case, num_ops)]
        assert any(longest < 0.8 * total for longest, total in pauses), (
            f"the loop stood still for so much of a batch of {num_ops}, in s: {pauses}"
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


def _pause(case: Case, num_ops: int) -> tuple[float, float]:
    """Measure the longest pause of the loop while a batch is stored, and the whole time, in s."""
    ops = [
        PutOp(case.ns("x"), str(number), {"text": "ab"}, index=False) for number in range(num_ops)
    ]
    _, longest, total = case.loop.run(_ticks_during_call(lambda: case.store.abatch(ops)))
    return longest, total


async def _ticks_during_call(work: Any) -> tuple[int, float, float]:
    return await _ticks_during(_begun(work))


async def _begun(work: Any) -> Any:
    # Called inside of the task, so that what the call does at once counts too.
    return await work()
