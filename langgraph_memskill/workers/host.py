"""The worker's side: one process that keeps services ready and answers calls of their methods."""

import asyncio
import logging
import os
import platform
import socket
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Generic, Protocol, TypeVar

from langgraph_memskill.errors import (
    CheckpointError,
    ClusterError,
    ConfigError,
    DataError,
    MissingDependencyError,
)
from langgraph_memskill.workers.outcomes import Done, Failed, LogCollector, failed, reason_of

ServiceT_co = TypeVar("ServiceT_co", covariant=True)

_SAY_WHAT_TO_DO = (CheckpointError, ConfigError, DataError, MissingDependencyError)


class Recipe(Protocol[ServiceT_co]):
    """How a worker makes a service: plain settings that can be pickled."""

    def open(self) -> ServiceT_co:
        """Make the service; may take long.

        If it has a coroutine method `aclose`, that is called when the worker lets go of it.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Order(Generic[ServiceT_co]):
    """A recipe, and where to fetch it: a worker fetches what it does not have.

    Every order is a service of its own, so nothing of an earlier run is in it.
    """

    id: str
    recipe: Awaitable[Recipe[ServiceT_co]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """Who a worker is."""

    node: str
    pid: int
    version: str
    """Of langgraph-memskill there."""

    @property
    def name(self) -> str:
        """For logs and messages."""
        return f"worker {self.pid} on {self.node}"


class Host:
    """What runs in a worker's process, as a Ray actor.

    Errors are returned and not raised, so that none of them, which may be of classes that the
    driver cannot load, ends up in Ray's logs.
    """

    def __init__(self) -> None:
        """Nothing is loaded yet."""
        self._services: dict[str, asyncio.Task[Any]] = {}
        self._logs = LogCollector()
        logging.getLogger("langgraph_memskill").addHandler(self._logs)

    async def hello(self) -> WorkerInfo:
        """Say who this is."""
        node = socket.gethostname() or platform.node()
        return WorkerInfo(node=node, pid=os.getpid(), version=version("langgraph-memskill"))

    async def call(self, order: Order[Any], method: str, *args: Any) -> Done[Any] | Failed:
        """Call an async method of a service.

        Args:
            order: Which service.
            method: Its name.
            *args: For it.
        """
        return await self._outcome(self._service(order), method, args)

    async def call_last(self, order_id: str, method: str, *args: Any) -> Done[Any] | Failed:
        """Like `call`, but a service that was not made here is not made for it.

        Args:
            order_id: Which service.
            method: Its name.
            *args: For it.
        """
        opening = self._services.get(order_id)
        if opening is None:
            return Done(value=None, logs=self._logs.take())
        return await self._outcome(asyncio.shield(opening), method, args)

    async def stream(
        self, order: Order[Any], method: str, *args: Any
    ) -> AsyncIterator[Done[Any] | Failed]:
        """Call a method of a service that yields several values; an error is the last one.

        Args:
            order: Which service.
            method: Its name.
            *args: For it.
        """
        try:
            service = await self._service(order)
            async for value in getattr(service, method)(*args):
                yield Done(value=value, logs=self._logs.take())
        except Exception as error:  # noqa: BLE001  # whatever it is, the driver is to know
            yield failed(error, self._logs.take())

    async def forget(self, order_id: str) -> Done[None] | Failed:
        """Let go of a service, if it was made here.

        Args:
            order_id: Which.
        """
        opening = self._services.pop(order_id, None)
        try:
            if opening is not None:
                await _closed(opening)
        except Exception as error:  # noqa: BLE001  # whatever it is, the driver is to know
            return failed(error, self._logs.take())
        return Done(value=None, logs=self._logs.take())

    async def _outcome(
        self, service: Awaitable[Any], method: str, args: tuple[Any, ...]
    ) -> Done[Any] | Failed:
        try:
            value = await getattr(await service, method)(*args)
        except Exception as error:  # noqa: BLE001  # whatever it is, the driver is to know
            return failed(error, self._logs.take())
        return Done(value=value, logs=self._logs.take())

    async def _service(self, order: Order[Any]) -> Any:
        if order.id not in self._services:
            self._services[order.id] = asyncio.create_task(_opened(order))
        return await asyncio.shield(self._services[order.id])


async def _opened(order: Order[Any]) -> Any:
    node = socket.gethostname()
    try:
        recipe = await order.recipe
        return await asyncio.to_thread(recipe.open)
    except ClusterError:
        raise  # it names the machine
    except _SAY_WHAT_TO_DO as error:
        raise type(error)(f"{error} (on {node})") from error
    except Exception as error:
        raise ClusterError(f"a worker on {node} cannot be set up: {reason_of(error)}") from error


async def _closed(opening: asyncio.Task[Any]) -> None:
    await asyncio.wait([opening])
    if opening.exception() is not None:
        return  # whoever called it has got the reason
    close = getattr(opening.result(), "aclose", None)
    if close is not None:
        await close()
