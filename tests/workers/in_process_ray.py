"""A stand-in for Ray: its actors live in this process, and start and die when a test says so."""

import asyncio
import inspect
import logging
import threading
from collections.abc import AsyncIterator, Generator
from types import SimpleNamespace
from typing import Any


class RayError(Exception):
    """As in `ray.exceptions`."""


class RayActorError(RayError):
    """As in `ray.exceptions`."""


class ObjectLostError(RayError):
    """As in `ray.exceptions`."""


class OutOfMemoryError(RayError):
    """As in `ray.exceptions`."""


class WorkerCrashedError(RayError):
    """As in `ray.exceptions`."""


class NodeDiedError(RayError):
    """As in `ray.exceptions`."""


LOSSES = (RayActorError, ObjectLostError, OutOfMemoryError, WorkerCrashedError, NodeDiedError)


class Reference:
    """Of a value that is there, or will be."""

    def __init__(self) -> None:
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        # Nobody may ever ask, as with Ray.
        self.future.add_done_callback(lambda done: done.cancelled() or done.exception())

    def __await__(self) -> Generator[Any, None, Any]:
        return asyncio.shield(self.future).__await__()


class Stream:
    """References of what an async generator yields."""

    def __init__(self) -> None:
        self.found: asyncio.Queue[Reference | Exception | None] = asyncio.Queue()

    async def __anext__(self) -> Reference:
        found = await self.found.get()
        if found is None:
            raise StopAsyncIteration
        if isinstance(found, Exception):
            raise found
        return found


class Actor:
    """An actor that has not started."""

    def __init__(self, instance: Any) -> None:
        self.instance = instance
        self.started = asyncio.Event()
        self.is_dead = False
        self.cause: RayError = RayActorError("the actor is dead")
        self.calls: dict[Reference | Stream, asyncio.Task[None]] = {}

    def __getattr__(self, name: str) -> "Method":
        return Method(self, getattr(self.instance, name))

    def die(self, error: RayError | None = None) -> None:
        """As of lack of memory.

        Args:
            error: What calls meet from now on.
        """
        if not self.is_dead:
            self.cause = error or RayActorError("the actor died")
        self.is_dead = True
        for call, task in self.calls.items():
            if not task.done():
                task.cancel()
                _end(call, self.cause)

    def break_calls(self, error: RayError) -> None:
        """End those that are under way with an error; the actor lives on."""
        for call, task in self.calls.items():
            if not task.done():
                task.cancel()
                _end(call, error)


class Method:
    def __init__(self, actor: Actor, function: Any) -> None:
        self._actor = actor
        self._function = function

    def options(self, **options: Any) -> "Method":
        return self

    def remote(self, *args: Any) -> Reference | Stream:
        call: Reference | Stream
        if inspect.isasyncgenfunction(self._function):
            call, work = (stream := Stream()), self._streamed(stream, args)
        else:
            call, work = (reference := Reference()), self._answered(reference, args)
        if self._actor.is_dead:
            work.close()
            _end(call, self._actor.cause)
        else:
            self._actor.calls[call] = asyncio.create_task(work)
        return call

    async def _answered(self, reference: Reference, args: Any) -> None:
        await self._actor.started.wait()
        reference.future.set_result(await self._function(*args))

    async def _streamed(self, stream: Stream, args: Any) -> None:
        await self._actor.started.wait()
        values: AsyncIterator[Any] = self._function(*args)
        async for value in values:
            reference = Reference()
            reference.future.set_result(value)
            stream.found.put_nowait(reference)
        stream.found.put_nowait(None)


def _end(call: Reference | Stream, error: Exception) -> None:
    if isinstance(call, Stream):
        call.found.put_nowait(error)
    elif not call.future.done():
        call.future.set_exception(error)


class InProcessRay:
    """What a `WorkerPool` uses of the module `ray`."""

    exceptions = SimpleNamespace(RayError=RayError, **{error.__name__: error for error in LOSSES})

    def __init__(self, num_cpus: int, *, is_ready: bool = True) -> None:
        self.num_cpus = num_cpus
        self.is_ready = is_ready
        """Whether actors start at once."""
        self.actors: list[Actor] = []
        self.threads: list[int] = []
        """Where something was put."""
        self.ray = self  # it is its own cluster, too

    def close(self) -> None:
        pass

    def is_initialized(self) -> bool:
        return True

    def remote(self, kind: type[Any]) -> Any:
        def make() -> Actor:
            instance = kind()
            # It is this process whose warnings it would collect.
            logging.getLogger("langgraph_memskill").removeHandler(instance._logs)
            self.actors.append(Actor(instance))
            if self.is_ready:
                self.actors[-1].started.set()
            return self.actors[-1]

        return SimpleNamespace(options=lambda **options: SimpleNamespace(remote=make))

    def put(self, value: Any) -> Any:
        self.threads.append(threading.get_ident())
        return _Put(value)

    def wait(self, references: list[Reference], **options: Any) -> tuple[list[Any], list[Any]]:
        done = [reference for reference in references if reference.future.done()]
        return done, [reference for reference in references if reference not in done]

    def kill(self, actor: Actor) -> None:
        actor.die()

    def cancel(self, call: Reference | Stream) -> None:
        for actor in self.actors:
            if call in actor.calls:
                actor.calls[call].cancel()


class _Put:
    def __init__(self, value: Any) -> None:
        self._value = value

    def __await__(self) -> Generator[Any, None, Any]:
        yield from asyncio.sleep(0).__await__()
        return self._value
