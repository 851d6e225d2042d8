"""Workers of a Ray cluster, and the calls that are made to them."""

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from dataclasses import dataclass
from importlib.metadata import version
from time import monotonic
from typing import Any, Self, TypeVar

from langgraph_memskill.closing import Closing
from langgraph_memskill.errors import ClusterError, MemSkillError, WorkerLostError
from langgraph_memskill.workers.cluster import Cluster, ClusterSettings
from langgraph_memskill.workers.host import Host, Order, Recipe, WorkerInfo
from langgraph_memskill.workers.outcomes import Done, Failed, relay

logger = logging.getLogger(__name__)

T = TypeVar("T")

MAX_LOSSES = 3
"""Workers that may die over one piece of work before it counts as failed."""
_START_SECONDS = 600.0
"""For the first worker to be ready: a cluster may be busy, or first have to grow."""
_PATIENCE_SECONDS = 30.0
"""Before a user who waits for a worker is told what for."""
_GOODBYE_SECONDS = 30.0
"""For workers to let go of a run; one that is busy does so later."""
_LOOK_SECONDS = 0.2
_CALLS_AT_A_TIME = 1000


@dataclass(slots=True, kw_only=True, eq=False)
class _Worker:
    actor: Any
    ready: Any
    """Reference of what its `hello` says."""
    info: WorkerInfo | None = None
    leases: int = 0

    @property
    def name(self) -> str:
        return "a worker" if self.info is None else self.info.name


class Lost(Exception):
    """A worker is gone; the same call may be made to another one."""


class WorkerPool(Closing):
    """Worker processes of a Ray cluster, one CPU each; one that dies is replaced."""

    def __init__(self, settings: ClusterSettings) -> None:
        """Connect and ask for the workers; some may start later, when there is room for them.

        Args:
            settings: Which cluster, and how many workers.

        Raises:
            MissingDependencyError: If Ray is not installed.
            ClusterError: If the cluster cannot be used.
        """
        self._cluster = Cluster(settings)
        ray = self._cluster.ray
        self.num_workers = settings.workers or self._cluster.num_cpus
        self._failed_starts = 0
        self._is_known_to_wait = False
        self._unwaited: set[asyncio.Task[None]] = set()
        """Calls whose value nobody waits for."""
        self._actor = ray.remote(Host).options(
            num_cpus=1, max_restarts=0, max_task_retries=0, max_concurrency=_CALLS_AT_A_TIME
        )
        try:
            self.workers = [self._started() for _ in range(self.num_workers)]
        except BaseException:
            self._cluster.close()
            raise

    @classmethod
    async def astart(cls, settings: ClusterSettings) -> Self:
        """Like the constructor, without blocking the event loop."""
        return await asyncio.to_thread(cls, settings)

    def close(self) -> None:
        """End the workers, and a cluster of our own."""
        for worker in self.workers:
            self._kill(worker)
        self.workers = []
        self._cluster.close()

    def share(self, value: T) -> Awaitable[T]:
        """Put a value where all workers can fetch it.

        Args:
            value: Anything that can be pickled.

        Returns:
            What a service awaits to get it. It has to be inside of another object to reach the
            service unfetched.
        """
        shared: Awaitable[T] = self._cluster.ray.put(value)
        return shared

    async def ashare(self, value: T) -> Awaitable[T]:
        """Like `share`, without blocking the event loop."""
        return await asyncio.to_thread(self.share, value)

    def order(self, recipe: Recipe[Any]) -> Order[Any]:
        """Make a service known to the workers; each makes it when it is first called.

        Args:
            recipe: Of the service. Two orders are two services, also with equal recipes.

        Returns:
            What calls of the service name; `forget` ends it.
        """
        return Order(id=uuid.uuid4().hex, recipe=self.share(recipe))

    async def aorder(self, recipe: Recipe[Any]) -> Order[Any]:
        """Like `order`, without blocking the event loop."""
        return await asyncio.to_thread(self.order, recipe)

    async def forget(self, order: Order[Any]) -> None:
        """Have the workers let go of a service whose run has ended, and log what they still say.

        Args:
            order: Which; it must not be called any more.
        """
        for worker in self.workers:
            if worker.info is not None:
                self._leave(worker, worker.actor.forget.remote(order.id), "letting go of a run")
        if self._unwaited:
            await asyncio.wait(self._unwaited, timeout=_GOODBYE_SECONDS)

    def lease(self, order: Order[Any]) -> "Lease":
        """Ask for a worker for calls that belong together; `Lease.release` gives it back."""
        return Lease(self, order)

    async def place(self) -> _Worker:
        """The worker with the fewest leases, which has one more now, when one is ready.

        Raises:
            ClusterError: If none gets ready, or they have another version of this package.
        """
        begun = monotonic()
        while True:
            await self._welcome()
            ready = [worker for worker in self.workers if worker.info is not None]
            if ready:
                worker = min(ready, key=lambda worker: worker.leases)
                worker.leases += 1  # counted before others choose, too
                lives = False
                try:
                    lives = await self._lives(worker)
                finally:
                    if not lives:
                        worker.leases -= 1
                if lives:
                    return worker
                continue
            self._check_patience(monotonic() - begun)
            await asyncio.sleep(_LOOK_SECONDS)

    def _check_patience(self, waited: float) -> None:
        if waited > _START_SECONDS:
            raise ClusterError(
                f"none of {self.num_workers} workers has started within {_START_SECONDS:.0f} s: "
                "see `ray status` whether the cluster has a free CPU for one"
            )
        if waited > _PATIENCE_SECONDS and not self._is_known_to_wait:
            self._is_known_to_wait = True
            logger.warning(
                "waiting for a worker, for up to %.0f s: `ray status` shows whether the cluster "
                "has a free CPU",
                _START_SECONDS,
            )

    async def _lives(self, worker: _Worker) -> bool:
        """Whether a worker answers: those of a machine that is gone all go at once."""
        try:
            await worker.actor.hello.remote()
        except self._cluster.ray.exceptions.RayActorError as error:
            self.lose(worker, error)
            return False
        return True

    def lose(self, worker: _Worker, error: Exception) -> None:
        """Replace a worker that does not answer any more."""
        if worker not in self.workers:
            return  # another call has noticed it before
        reason = str(error).strip().splitlines() or [type(error).__name__]
        logger.warning(
            "%s is lost (%s): its work is done again by another one", worker.name, reason[0]
        )
        self._kill(worker)
        self.workers.remove(worker)
        self.workers.append(self._started())

    async def answer(self, worker: _Worker, order: Order[Any], method: str, args: Any) -> Any:
        """What a worker's service returns.

        Raises:
            Lost: If the worker dies meanwhile.
            MemSkillError: What the service raised.
        """
        reference = worker.actor.call.remote(order, method, *args)
        try:
            outcome = await self._fetched(worker, reference)
        except asyncio.CancelledError:
            self._cancel(reference)
            raise
        return self._value(worker, outcome)

    async def answers(
        self, worker: _Worker, order: Order[Any], method: str, args: Any
    ) -> AsyncGenerator[Any, None]:
        """What a worker's service yields; raises like `answer`. Closing it ends the call."""
        stream = worker.actor.stream.options(num_returns="streaming")
        references = stream.remote(order, method, *args)
        errors, is_over = self._cluster.ray.exceptions, False
        try:
            while True:
                try:
                    reference = await anext(references)
                except StopAsyncIteration:
                    is_over = True
                    return
                except errors.RayActorError as error:
                    self.lose(worker, error)
                    raise Lost from error
                yield self._value(worker, await self._fetched(worker, reference))
        finally:
            if not is_over:
                self._cancel(references)

    def call_last(self, worker: _Worker, order: Order[Any], method: str, args: Any) -> None:
        """Call a service without waiting for its value; what it logs is logged here later."""
        self._leave(worker, worker.actor.call.remote(order, method, *args), method)

    async def _fetched(self, worker: _Worker, reference: Any) -> Done[Any] | Failed:
        errors = self._cluster.ray.exceptions
        try:
            outcome: Done[Any] | Failed = await reference
        except (errors.RayActorError, errors.ObjectLostError) as error:
            self.lose(worker, error)
            raise Lost from error
        return outcome

    def _cancel(self, call: Any) -> None:
        if self._cluster.ray.is_initialized():
            self._cluster.ray.cancel(call)

    def _leave(self, worker: _Worker, reference: Any, what: str) -> None:
        task = asyncio.create_task(self._relayed(worker, reference, what))
        self._unwaited.add(task)
        task.add_done_callback(self._unwaited.discard)

    async def _relayed(self, worker: _Worker, reference: Any, what: str) -> None:
        try:
            self._value(worker, await reference)
        except self._cluster.ray.exceptions.RayError as error:
            logger.debug("%s: %s", what, error)  # a worker that is gone has nothing left to say
        except MemSkillError as error:
            logger.warning("%s has failed on %s: %s", what, worker.name, error)

    @staticmethod
    def _value(worker: _Worker, outcome: Done[Any] | Failed) -> Any:
        relay(outcome.logs, worker.name)
        if isinstance(outcome, Failed):
            raise outcome.error()
        return outcome.value

    async def _welcome(self) -> None:
        """Look which workers have got ready since the last time."""
        starting = {w.ready: w for w in self.workers if w.info is None}
        if not starting:
            return
        ray = self._cluster.ray
        ready, _ = ray.wait(list(starting), num_returns=len(starting), timeout=0)
        for reference in ready:
            worker = starting[reference]
            try:
                info: WorkerInfo = await reference
            except ray.exceptions.RayError as error:
                if worker not in self.workers:
                    continue  # another call that waited for it has counted it
                self._failed_starts += 1
                if self._failed_starts < MAX_LOSSES:
                    self.lose(worker, error)
                    continue
                raise ClusterError(
                    f"workers cannot be started: {error}. langgraph-memskill has to be installed "
                    "on every machine of the cluster"
                ) from error
            self._check(info)
            self._failed_starts = 0
            worker.info = info

    @staticmethod
    def _check(info: WorkerInfo) -> None:
        own = version("langgraph-memskill")
        if info.version != own:
            raise ClusterError(
                f"{info.node} has langgraph-memskill {info.version}, and this process has {own}: "
                "install the same version on every machine of the cluster"
            )

    def _started(self) -> _Worker:
        actor = self._actor.remote()
        return _Worker(actor=actor, ready=actor.hello.remote())

    def _kill(self, worker: _Worker) -> None:
        if self._cluster.ray.is_initialized():
            self._cluster.ray.kill(worker.actor)


class Lease:
    """The same worker for several calls, or another one if it dies."""

    def __init__(self, pool: WorkerPool, order: Order[Any]) -> None:
        """Take a worker when it is first needed."""
        self._pool = pool
        self._order = order
        self._worker: _Worker | None = None
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
            method: Its name; if no worker was taken it is not called.
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

    async def _current(self) -> _Worker:
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
