"""An event loop in a thread of its own, in which the store under test lives."""

import asyncio
import contextlib
import inspect
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

from langgraph.store.base import BaseStore

T = TypeVar("T")
_TIMEOUT_S = 120.0


class StoreLoop:
    """Runs coroutines for callers that have no event loop, and opens stores.

    Stores that belong to one loop (as AsyncPostgresStore) are made and used in this one; their sync
    methods can be called from any other thread.
    """

    def __init__(self) -> None:
        """Start the thread."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="store-suite", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float = _TIMEOUT_S) -> T:
        """Run a coroutine in the loop and wait for it.

        Raises:
            TimeoutError: If it takes longer than `timeout_s`.
        """
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout_s)
        except TimeoutError:
            future.cancel()
            raise

    def opened(self, source: object) -> "OpenedStore":
        """Get a store out of what a fixture or `--store` gave.

        Args:
            source: A store, which stays its owner's to close; a context manager, sync or async; an
                awaitable; or a function without arguments that returns or yields one of these. What
                is async runs in this loop, all else in the caller's thread.

        Returns:
            A context manager with the store; leaving it closes what was opened.
        """
        return OpenedStore(self, source)

    def close(self) -> None:
        """Stop the loop; what still runs in it is cancelled."""
        self.run(_cancel_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_others() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class OpenedStore:
    """A context manager around whatever gives a store."""

    def __init__(self, loop: StoreLoop, source: object) -> None:
        """Note what to open."""
        self._loop = loop
        self._source = source
        self._exits: list[Callable[[], object]] = []

    def __enter__(self) -> BaseStore:
        """Open the store.

        Raises:
            TypeError: If what was given does not lead to a LangGraph store.
        """
        try:
            return self._enter(self._source)
        except BaseException:
            self.close()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close what was opened."""
        self.close()

    def close(self) -> None:
        """Close what was opened, the last first."""
        while self._exits:
            self._exits.pop()()

    def _enter(self, source: Any) -> BaseStore:
        if isinstance(source, BaseStore):
            return source
        if inspect.isawaitable(source):
            return self._own(self._loop.run(_awaited(source)))
        if inspect.isasyncgenfunction(source):
            return self._enter(contextlib.asynccontextmanager(source)())
        if inspect.isgeneratorfunction(source):
            return self._enter(contextlib.contextmanager(source)())
        if hasattr(source, "__aenter__") or hasattr(source, "__enter__"):
            return self._enter(self._managed(source))
        if callable(source):
            return self._own(source())
        raise TypeError(
            f"{source!r} is a {type(source).__name__}: give a LangGraph store, a context manager "
            "of one, or a function that returns or yields one"
        )

    def _own(self, made: Any) -> BaseStore:
        """Open what was made for the suite: unlike a store that was lent, it is to be closed."""
        if isinstance(made, BaseStore) and (
            hasattr(made, "__enter__") or hasattr(made, "__aenter__")
        ):
            return self._enter(self._managed(made))
        return self._enter(made)

    def _managed(self, manager: Any) -> object:
        if hasattr(manager, "__enter__"):
            inner = manager.__enter__()
            self._exits.append(lambda: manager.__exit__(None, None, None))
        else:
            inner = self._loop.run(manager.__aenter__())
            self._exits.append(lambda: self._loop.run(manager.__aexit__(None, None, None)))
        return inner

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._source!r})"


async def _awaited(source: Any) -> object:
    return await source
