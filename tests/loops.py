"""Whether an event loop goes on while something is awaited, however fast the machine is."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

_PATIENCE_S = 60


class Rounds:
    """Counts the rounds of an event loop, and holds up work in other threads until it has come on.

    Work that the loop itself did would wait for the loop in vain.
    """

    def __init__(self) -> None:
        self.held_up: list[bool] = []
        """Of each time that work was held up, whether the loop came round meanwhile."""
        self._count = 0
        self._came_round = threading.Condition()

    async def during(self, work: Awaitable[Any]) -> Any:
        """Await something while the rounds are counted."""
        task = asyncio.ensure_future(work)
        while not task.done():
            await asyncio.sleep(0.001)
            with self._came_round:
                self._count += 1
                self._came_round.notify_all()
        return await task

    def hold_up(self, rounds: int = 10) -> None:
        """Wait, in a worker thread, until the loop has come round so often."""
        with self._came_round:
            goal = self._count + rounds
            came = self._came_round.wait_for(lambda: self._count >= goal, _PATIENCE_S)
        self.held_up.append(came)

    def holding_up(self, method: Callable[..., Any], rounds: int = 1) -> Callable[..., Any]:
        """A method that waits for the loop before it does its work."""

        def call(*arguments: Any, **options: Any) -> Any:
            self.hold_up(rounds)
            return method(*arguments, **options)

        return call
