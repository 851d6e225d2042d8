"""Watching whatever runs in a block of code, and making runs of what is no LangChain runnable."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import TypeVar

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tracers import LangChainTracer
from langchain_core.tracers.context import register_configure_hook, tracing_v2_callback_var

T = TypeVar("T")

_places: list[ContextVar[BaseCallbackHandler | None]] = []
"""LangChain looks at each of these before a run; a place holds one callback."""
_active: ContextVar[tuple[BaseCallbackHandler, ...]] = ContextVar("memskill_observed", default=())


@contextmanager
def observed(*callbacks: BaseCallbackHandler) -> Iterator[None]:
    """Call these callbacks at everything that runs inside of the block.

    That is memories, evolutions, training, benchmarks and any LangChain code, in the block's own
    thread, its asyncio tasks and `asyncio.to_thread`. Other threads are not seen: give callbacks to
    a memory with `memory.observe` for them.

    Args:
        callbacks: Any LangChain callbacks. A LangSmith tracer takes the place of the one that
            LANGSMITH_TRACING switches on.
    """
    with ExitStack() as undo:
        _set(undo, _active, (*_active.get(), *callbacks))
        for callback in callbacks:
            if isinstance(callback, LangChainTracer):
                _set(undo, tracing_v2_callback_var, callback)
            else:
                _set(undo, _free_place(), callback)
        yield


def observers() -> tuple[BaseCallbackHandler, ...]:
    """The callbacks of the blocks of `observed` around this code."""
    return _active.get()


async def as_run(name: str, work: Callable[[], Awaitable[T]]) -> T:
    """Do something as a run that callbacks see, with what runs inside of it as its children.

    Args:
        name: Of the run.
        work: What to do. Callbacks are shown neither its input nor its result.
    """
    results: list[T] = []

    async def step(_: None) -> None:
        results.append(await work())

    await RunnableLambda(step).ainvoke(None, RunnableConfig(run_name=name))
    return results[0]


def _set(undo: ExitStack, place: ContextVar[T], value: T) -> None:
    undo.callback(place.reset, place.set(value))


def _free_place() -> ContextVar[BaseCallbackHandler | None]:
    for place in _places:
        if place.get() is None:
            return place
    place = ContextVar(f"memskill_observer_{len(_places)}", default=None)
    register_configure_hook(place, inheritable=True)
    _places.append(place)
    return place
