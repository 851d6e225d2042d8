"""What the tests of a pool ask its workers for."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from langgraph_memskill.errors import ConfigError
from langgraph_memskill.workers.pool import WorkerPool
from tests.workers.in_process_ray import Actor, InProcessRay

MakePool = Callable[..., tuple[WorkerPool, InProcessRay]]


@dataclass
class Service:
    """Does as it is told; all workers have the same one here."""

    said: list[str] = field(default_factory=list)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    log: Callable[[str], None] = print

    async def add(self, text: str) -> int:
        self.said.append(text)
        return len(self.said)

    async def wait(self) -> None:
        self.said.append("waits")
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.said.append("cancelled")
            raise

    async def count(self) -> AsyncIterator[int]:
        try:
            yield 1
            await self.release.wait()
            yield 2
        finally:
            self.said.append("ended")

    async def warn(self, text: str) -> None:
        self.log(text)

    async def fail(self) -> None:
        raise ConfigError("nothing fits")

    async def aclose(self) -> None:
        self.said.append("closed")
        self.log("a last word")


@dataclass(frozen=True)
class Recipe:
    make: Callable[[], Any] = Service

    def open(self) -> Any:
        return self.make()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.001)


def leases(pool: WorkerPool) -> list[int]:
    return [worker.leases for worker in pool.workers]


def logging_by(actor: Actor) -> Callable[[str], None]:
    """Logs as code in that actor's process would."""

    def log(text: str) -> None:
        record = {"name": "langgraph_memskill.there", "levelno": logging.WARNING, "msg": text}
        actor.instance._logs.emit(logging.makeLogRecord(record))

    return log
