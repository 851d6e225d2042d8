"""Workers of a Ray cluster, and the calls that are made to them."""

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator, Awaitable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from time import monotonic
from typing import Any, Self, TypeVar

from langgraph_memskill.closing import Closing
from langgraph_memskill.errors import ClusterError, MemSkillError
from langgraph_memskill.workers.cluster import Cluster, ClusterSettings
from langgraph_memskill.workers.host import Host, Order, Recipe, WorkerInfo
from langgraph_memskill.workers.lease import MAX_LOSSES, Lease, Lost
from langgraph_memskill.workers.outcomes import Done, Failed, relay

logger = logging.getLogger(__name__)

T = TypeVar("T")

_START_SECONDS = 600.0
"""For the first worker to be ready: a cluster may be busy, or first have to grow."""
_PATIENCE_SECONDS = 30.0
"""Before a user who waits for a worker is told what for."""
_GOODBYE_SECONDS = 30.0
"""For workers to let go of a run; one that is busy does so later."""
_LOOK_SECONDS = 0.2
_CALLS_AT_A_TIME = 1000


@dataclass(slots=True, kw_only=True, eq=False)
class Worker:
    """A process of the cluster that is there, or will be."""

    actor: Any
    ready: Any
    """Reference of what its `hello` says."""
    info: WorkerInfo | None = None
    leases: int = 0

    @property
    def name(self) -> str:
        """For logs and messages."""
        return "a worker" if self.info is None else self.info.name


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
        self._is_closed = False
        self._losses = _losses(ray.exceptions)
        self._calls: set[asyncio.Future[None]] = set()
        """Done when the pool is closed: one for each call that is under way."""
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
        """End the workers, and a cluster of our own; calls that are under way fail."""
        self._is_closed = True
        workers, self.workers = self.workers, []
        for worker in workers:
            self._kill(worker)
        for call in tuple(self._calls):
            with suppress(RuntimeError):  # its event loop has ended
                call.get_loop().call_soon_threadsafe(_end, call)
        self._cluster.close()

    def share(self, value: T) -> Awaitable[T]:
        """Put a value where all workers can fetch it.

        Args:
            value: Anything that can be pickled.

        Returns:
            What a service awaits to get it. It has to be inside of another object to reach the
            service unfetched.

        Raises:
            ClusterError: If the pool is closed.
        """
        self._check_open()
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

        Raises:
            ClusterError: If the pool is closed.
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
        if self._is_closed:
            return  # it has ended with the workers
        for worker in self.workers:
            if worker.info is not None:
                self._leave(worker, worker.actor.forget.remote(order.id), "letting go of a run")
        if self._unwaited:
            await asyncio.wait(self._unwaited, timeout=_GOODBYE_SECONDS)

    def lease(self, order: Order[Any]) -> Lease:
        """Ask for a worker for calls that belong together; `Lease.release` gives it back."""
        return Lease(self, order)

    async def place(self) -> Worker:
        """The worker with the fewest leases, which has one more now, when one is ready.

        Raises:
            ClusterError: If none gets ready, they have another version of this package, or the
                pool is closed.
        """
        begun = monotonic()
        while True:
            self._check_open()
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

    def _check_open(self) -> None:
        if self._is_closed:
            raise ClusterError("this pool of workers is closed: open another one")

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

    async def _lives(self, worker: Worker) -> bool:
        """Whether a worker answers: those of a machine that is gone all go at once."""
        try:
            await self._got(worker, worker.actor.hello.remote(), "hello")
        except Lost:
            return False
        return True

    def lose(self, worker: Worker, error: Exception) -> None:
        """Replace a worker that does not answer any more."""
        if worker not in self.workers:
            return  # another call has noticed it before, or the pool is closed
        reason = str(error).strip().splitlines() or [type(error).__name__]
        logger.warning(
            "%s is lost (%s): its work is done again by another one", worker.name, reason[0]
        )
        self._kill(worker)
        self.workers.remove(worker)
        self.workers.append(self._started())

    async def answer(self, worker: Worker, order: Order[Any], method: str, args: Any) -> Any:
        """What a worker's service returns.

        Raises:
            Lost: If the worker dies meanwhile.
            ClusterError: If Ray cannot make the call, or the pool is closed.
            MemSkillError: What the service raised.
        """
        self._check_open()
        reference = worker.actor.call.remote(order, method, *args)
        try:
            outcome: Done[Any] | Failed = await self._got(worker, reference, method)
        except asyncio.CancelledError:
            self._cancel(reference)
            raise
        return self._value(worker, outcome)

    async def answers(
        self, worker: Worker, order: Order[Any], method: str, args: Any
    ) -> AsyncGenerator[Any, None]:
        """What a worker's service yields; raises like `answer`. Closing it ends the call."""
        self._check_open()
        stream = worker.actor.stream.options(num_returns="streaming")
        references = stream.remote(order, method, *args)
        is_over = False
        try:
            while True:
                try:
                    reference = await self._got(worker, anext(references), method)
                except StopAsyncIteration:
                    is_over = True
                    return
                yield self._value(worker, await self._got(worker, reference, method))
        finally:
            if not is_over:
                self._cancel(references)

    def call_last(self, worker: Worker, order: Order[Any], method: str, args: Any) -> None:
        """Call a service, if the worker has it, without waiting; what it logs is logged later."""
        if not self._is_closed:
            self._leave(worker, worker.actor.call_last.remote(order.id, method, *args), method)

    async def _got(self, worker: Worker, reference: Awaitable[Any], method: str) -> Any:
        """What Ray has for a call, unless the pool is closed meanwhile, when it may say nothing."""
        closed = asyncio.get_running_loop().create_future()
        found = asyncio.ensure_future(reference)
        # Nobody may be there any more who asks.
        found.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._calls.add(closed)
        try:
            self._check_open()
            await asyncio.wait((found, closed), return_when=asyncio.FIRST_COMPLETED)
            if not found.done():
                self._check_open()
            return found.result()
        except self._losses as error:
            self.lose(worker, error)
            raise Lost from error
        except self._cluster.ray.exceptions.RayError as error:
            raise ClusterError(f"{method} has failed on {worker.name}: {error}") from error
        finally:
            self._calls.discard(closed)
            found.cancel()

    def _cancel(self, call: Any) -> None:
        if self._cluster.ray.is_initialized():
            self._cluster.ray.cancel(call)

    def _leave(self, worker: Worker, reference: Any, what: str) -> None:
        task = asyncio.create_task(self._relayed(worker, reference, what))
        self._unwaited.add(task)
        task.add_done_callback(self._unwaited.discard)

    async def _relayed(self, worker: Worker, reference: Any, what: str) -> None:
        try:
            self._value(worker, await reference)
        except self._cluster.ray.exceptions.RayError as error:
            logger.debug("%s: %s", what, error)  # a worker that is gone has nothing left to say
        except MemSkillError as error:
            logger.warning("%s has failed on %s: %s", what, worker.name, error)

    @staticmethod
    def _value(worker: Worker, outcome: Done[Any] | Failed) -> Any:
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

    def _started(self) -> Worker:
        actor = self._actor.remote()
        return Worker(actor=actor, ready=actor.hello.remote())

    def _kill(self, worker: Worker) -> None:
        if self._cluster.ray.is_initialized():
            self._cluster.ray.kill(worker.actor)


def _losses(errors: Any) -> tuple[type[Exception], ...]:
    """How Ray says that a process is gone, with the memory that it had."""
    return (
        errors.RayActorError,
        errors.ObjectLostError,
        errors.OutOfMemoryError,
        errors.WorkerCrashedError,
        errors.NodeDiedError,
    )


def _end(call: asyncio.Future[None]) -> None:
    if not call.done():
        call.set_result(None)
