"""A hold on one worker of a pool, for calls that belong together."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from langgraph_memskill.errors import WorkerLostError
from langgraph_memskill.workers.host import Order

if TYPE_CHECKING:
    from langgraph_memskill.workers.pool import Worker, WorkerPool

MAX_LOSSES = 3
"""Workers that may die over one piece of work before it counts as failed."""


class Lost(Exception):
    """A worker is gone; the same call may be made to another one."""


class Lease:
    """The same worker for several calls, or another one if it dies."""

    def __init__(self, pool: "WorkerPool", order: Order[Any]) -> None:
        """Take a worker when it is first needed."""
        self._pool = pool
        self._order = order
        self._worker: Worker | None = None
        self._choosing = asyncio.Lock()

    async def call(self, method: str, *args: Any) -> Any:
        """Call a method of the service; again with other workers, if one dies over it.

        Args:
            method: Its name.
            *args: For it, plain values or shared ones inside of others.

        Raises:
            WorkerLostError: If `MAX_LOSSES` workers have died over it.
            ClusterError: If the cluster cannot be used.
            MemSkillError: What the service raised.
        """
        for _ in range(MAX_LOSSES):
            try:
                return await self._pool.answer(await self._current(), self._order, method, args)
            except Lost:
                self._move()
        raise worker_lost(method)

    async def stream(self, method: str, *args: Any) -> AsyncGenerator[Any, None]:
        """Go through what a method of the service yields; closing it ends the call there, too.

        Args:
            method: Its name.
            *args: For it.

        Raises:
            Lost: If the worker dies; the next call goes to another one.
            ClusterError: If the cluster cannot be used.
            MemSkillError: What the service raised.
        """
        worker = await self._current()
        try:
            async with aclosing(self._pool.answers(worker, self._order, method, args)) as answers:
                async for value in answers:
                    yield value
        except Lost:
            self._move()
            raise

    def dismiss(self, method: str, *args: Any) -> None:
        """Call a method of the service a last time, without waiting, and give the worker back.

        Args:
            method: Its name; it is not called if no worker was taken, or that one has not made the
                service.
            *args: For it.
        """
        if self._worker is not None:
            self._pool.call_last(self._worker, self._order, method, args)
        self.release()

    def release(self) -> None:
        """Give the worker back."""
        if self._worker is not None:
            self._worker.leases -= 1
        self._worker = None

    async def _current(self) -> "Worker":
        async with self._choosing:
            if self._worker is None:
                self._worker = await self._pool.place()
            return self._worker

    def _move(self) -> None:
        """Let go of a worker that is lost; a new one that another call has taken stays."""
        if self._worker is not None and self._worker not in self._pool.workers:
            self.release()


def worker_lost(what: str) -> WorkerLostError:
    """The error for work that was lost too often.

    Args:
        what: Name of the work.
    """
    return WorkerLostError(
        f"{MAX_LOSSES} workers died one after the other over {what!r}: see Ray's logs whether they "
        "ran out of memory"
    )
