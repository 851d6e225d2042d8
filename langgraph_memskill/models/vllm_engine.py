"""A vLLM engine in this process: an event loop of its own, in which all callers' requests meet.

vLLM batches what is in flight at the same time, whichever thread or event loop it comes from. The
weights are worked on in a process of vLLM's own.
"""

import asyncio
import json
import os
import threading
import uuid
import weakref
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from langgraph_memskill.errors import ConfigError, ModelCallError, missing_dependency

_ENVIRONMENT = MappingProxyType(
    {
        "VLLM_NO_USAGE_STATS": "1",
        # Its log must not get between the lines that a command prints for machines.
        "VLLM_LOGGING_STREAM": "ext://sys.stderr",
        "VLLM_LOGGING_LEVEL": "WARNING",
        # This process has threads; a fork of one can stand still for ever.
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    }
)
"""What vLLM is told where the user has not told it otherwise."""
_STOP_S = 30.0

_shared: "weakref.WeakValueDictionary[str, VllmEngine]" = weakref.WeakValueDictionary()
_sharing = threading.Lock()


def shared_engine(arguments: Mapping[str, Any]) -> "VllmEngine":
    """The engine with these arguments, started if this process has none: a GPU holds one.

    Args:
        arguments: Of vLLM's `AsyncEngineArgs`.

    Raises:
        MissingDependencyError: If vLLM is not installed.
        ConfigError: If vLLM knows no such argument.
        ModelCallError: If vLLM cannot load the model.
    """
    key = json.dumps(arguments, sort_keys=True, default=str)
    with _sharing:
        engine = _shared.get(key)
        if engine is None or engine.is_dead:
            engine = _shared[key] = VllmEngine(arguments)
        return engine


class VllmEngine:
    """A running engine; it stops with the object, or with the process."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        """Start it, which takes a minute or more.

        Args:
            arguments: As for `shared_engine`, with the same errors.
        """
        self.model = str(arguments["model"])
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=_run, args=[self._loop], name="memskill-vllm", daemon=True)
        thread.start()
        self._stop = weakref.finalize(self, _stop, self._loop, thread, running := [])
        try:
            self._engine = self._submit(_start(arguments)).result()
        except BaseException:
            self._stop()
            raise
        running.append(self._engine)

    @property
    def is_dead(self) -> bool:
        """Whether its process has ended; a new engine is needed then."""
        return bool(self._engine.errored)

    def request(self, prompt: list[int], options: Mapping[str, Any]) -> "Future[Any]":
        """Send a prompt; cancelling the future takes it back.

        Args:
            prompt: Token ids.
            options: Of vLLM's `SamplingParams`; a JSON schema is its `schema`.

        Returns:
            The future of vLLM's `RequestOutput`.
        """
        return self._submit(_answer(self._engine, prompt, sampling(options)))

    def _submit(self, work: Coroutine[Any, Any, Any]) -> "Future[Any]":
        return asyncio.run_coroutine_threadsafe(work, self._loop)


def sampling(options: Mapping[str, Any]) -> Any:
    """What vLLM calls `SamplingParams`, with a reply as a whole at its end.

    Args:
        options: Its fields, and `schema`: a JSON schema that the reply must fit.

    Raises:
        ConfigError: If vLLM knows no such field, or it is out of range.
    """
    from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

    fields = dict(options)
    schema = fields.pop("schema", None)
    if schema is not None:
        fields["structured_outputs"] = StructuredOutputsParams(json=schema)
    try:
        return SamplingParams(**fields, output_kind=RequestOutputKind.FINAL_ONLY)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"vLLM takes no such call: {_line(error)}") from error


async def _start(arguments: Mapping[str, Any]) -> Any:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM
    except ImportError as error:
        raise missing_dependency("vllm", "vllm", "Running a model with vLLM in here") from error
    try:
        chosen = AsyncEngineArgs(**arguments)
    except TypeError as error:
        raise ConfigError(f"vLLM takes no such option: {_line(error)}") from error
    try:
        return AsyncLLM.from_engine_args(chosen)
    except Exception as error:
        raise ModelCallError(
            f"vLLM could not load {arguments['model']!r}: {_line(error)}. Its log says more "
            "(VLLM_LOGGING_LEVEL=INFO)"
        ) from error


async def _answer(engine: Any, prompt: list[int], params: Any) -> Any:
    last = None
    request = {"type": "token", "prompt_token_ids": prompt}
    async for output in engine.generate(request, params, request_id=uuid.uuid4().hex):
        last = output
    return last


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread, running: list[Any]) -> None:
    if thread is not threading.current_thread():
        with suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(_wind_up(), loop).result(_STOP_S)
    for engine in running:
        with suppress(Exception):  # it may be dead already
            engine.shutdown()
    loop.call_soon_threadsafe(loop.stop)
    if thread is not threading.current_thread():
        thread.join(_STOP_S)


async def _wind_up() -> None:
    """End what is going on in the loop: requests, and the engine's own reading of replies."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
