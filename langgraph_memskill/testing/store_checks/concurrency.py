"""Checks of many threads and many tasks at one store."""

import asyncio
import threading
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from langgraph_memskill.testing.cases import Case, value_of

_THREADS = 8
_EACH = 12
_TASKS = 60


class ConcurrencyChecks:
    """Several callers at once; nothing is lost."""

    def test_co01_threads_write(self, sync_case: Case) -> None:
        """What eight threads put at once is all there.

        Where: not written; LangGraph runs sync nodes of one step in threads.
        """
        case = sync_case

        def write(thread: int) -> None:
            for number in range(_EACH):
                case.put(case.ns("x", str(number % 2)), f"{thread}-{number}", {"text": "a"})

        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(write, range(_THREADS)))
        keys = case.found(case.ns("x"), limit=10 * _THREADS * _EACH)
        assert len(keys) == _THREADS * _EACH
        assert len(set(keys)) == len(keys)
        assert case.listed() == [case.ns("x", "0"), case.ns("x", "1")]

    def test_co02_threads_overwrite(self, sync_case: Case) -> None:
        """Of values that threads put over each other, one is there, whole; readers see whole ones.

        Where: base, `PutOp.key`: one item a key.
        """
        case = sync_case
        case.put(case.ns("x"), "k", {"one": "start", "other": "start"})
        torn: list[Any] = []
        stop = threading.Event()

        def read() -> None:
            while not stop.is_set():
                value = case.value(case.ns("x"), "k")
                if value is None or value["one"] != value["other"]:
                    torn.append(value)

        def write(thread: int) -> None:
            for number in range(_EACH):
                name = f"{thread}-{number}"
                case.put(case.ns("x"), "k", {"one": name, "other": name})

        with ThreadPoolExecutor(_THREADS + 1) as pool:
            reader = pool.submit(read)
            list(pool.map(write, range(_THREADS)))
            stop.set()
            reader.result()
        assert torn == []
        value = case.value(case.ns("x"), "k")
        assert value is not None
        assert value["one"] == value["other"]
        assert value["one"].endswith(f"-{_EACH - 1}")
        assert case.found(case.ns("x")) == ["k"]

    def test_co03_threads_delete(self, sync_case: Case) -> None:
        """Threads that delete do not harm what others put.

        Where: not written; LangGraph runs sync nodes of one step in threads.
        """
        case = sync_case
        for number in range(2 * _THREADS):
            case.put(case.ns("x"), f"old {number}", {"text": "a"})

        def work(thread: int) -> None:
            case.delete(case.ns("x"), f"old {2 * thread}")
            case.put(case.ns("x"), f"new {thread}", {"text": "b"})
            case.delete(case.ns("x"), f"old {2 * thread + 1}")

        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(work, range(_THREADS)))
        assert sorted(case.found(case.ns("x"), limit=100)) == sorted(
            f"new {thread}" for thread in range(_THREADS)
        )

    def test_co04_reading_while_writing(self, sync_case: Case) -> None:
        """Searching and listing while others put works, and what was there stays in sight.

        Where: not written; LangGraph runs sync nodes of one step in threads.
        """
        case = sync_case
        before = {f"before {number}" for number in range(5)}
        for key in sorted(before):
            case.put(case.ns("x"), key, {"text": "ab"})
        stop = threading.Event()

        def read() -> int:
            rounds = 0
            while not stop.is_set() or rounds == 0:
                assert before <= set(case.found(case.ns("x"), limit=1000))
                assert case.ns("x") in case.listed(limit=1000)
                rounds += 1
            return rounds

        def write(thread: int) -> None:
            for number in range(_EACH):
                case.put(case.ns("x", f"{thread}-{number}"), "k", {"text": "a"})

        with ThreadPoolExecutor(6) as pool:
            readers = [pool.submit(read) for _ in range(2)]
            try:
                list(pool.map(write, range(4)))
            finally:
                stop.set()
            assert all(reader.result() > 0 for reader in readers)

    def test_co05_tasks_write(self, async_case: Case) -> None:
        """What sixty tasks put at once is all there, and deletes among them do no harm.

        Where: base, `aput`; LangGraph runs async nodes of one step as tasks.
        """
        case = async_case

        async def write() -> None:
            calls: list[Awaitable[Any]] = []
            for number in range(_TASKS):
                calls.append(case.store.aput(case.ns("x"), f"{number:02}", {"text": "a"}))
                calls.append(case.store.aput(case.ns("y"), f"{number:02}", {"n": number}))
            await asyncio.gather(*calls)
            await asyncio.gather(
                *(case.store.adelete(case.ns("x"), f"{number:02}") for number in range(0, 60, 2)),
                *(case.store.aget(case.ns("y"), f"{number:02}") for number in range(_TASKS)),
            )

        case.loop.run(write())
        assert sorted(case.found(case.ns("x"), limit=100)) == [
            f"{number:02}" for number in range(1, _TASKS, 2)
        ]
        assert len(case.found(case.ns("y"), limit=100)) == _TASKS

    def test_co06_answers_are_not_mixed_up(self, async_case: Case) -> None:
        """Each of many tasks gets the answer to its own question.

        Where: base, `aget`; langgraph/store/base/batch.py joins calls of tasks into batches.
        """
        case = async_case
        for number in range(20):
            case.put(case.ns("x"), str(number), {"n": number})

        async def read() -> list[Any]:
            return await asyncio.gather(
                *(case.store.aget(case.ns("x"), str(number % 20)) for number in range(100))
            )

        items = case.loop.run(read())
        assert [value_of(item) for item in items] == [{"n": number % 20} for number in range(100)]
