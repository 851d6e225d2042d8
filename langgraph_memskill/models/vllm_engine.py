"""A vLLM engine in this process: an event loop of its own, in which all callers' requests meet.

vLLM batches what is in flight at the same time, whichever thread or event loop it comes from. The
weights are worked on in a process of vLLM's own.
"""

import asyncio
import atexit
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
_BROKEN_OFF_S = 1800.0
"""For a load that nobody waits for any more to come to its end; it cannot be stopped."""

_shared: "weakref.WeakValueDictionary[str, VllmEngine]" = weakref.WeakValueDictionary()
_sharing = threading.Lock()
_ending: "set[_Home]" = set()
"""Of engines that nobody uses any more, but whose memory may not be free yet."""


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
            for home in tuple(_ending):
                home.wait()
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
        self._home = _Home()
        self._stop = weakref.finalize(self, _stop, self._home)
        try:
            self._submit(self._home.start(arguments)).result()
        except BaseException:
            self._stop()
            raise
        # The finalizer's own turn at the end of the program comes after that of `multiprocessing`,
        # which would have killed the engine's process in the middle of its work.
        atexit.register(self._stop)

    @property
    def is_dead(self) -> bool:
        """Whether its process has ended; a new engine is needed then."""
        engine = self._home.engine
        return engine is None or bool(engine.errored)

    def request(self, prompt: list[int], options: Mapping[str, Any]) -> "Future[Any]":
        """Send a prompt; cancelling the future takes it back.

        Args:
            prompt: Token ids.
            options: Of vLLM's `SamplingParams`; a JSON schema is its `schema`.

        Returns:
            The future of vLLM's `RequestOutput`.
        """
        return self._submit(_answer(self._home.engine, prompt, sampling(options)))

    def _submit(self, work: Coroutine[Any, Any, Any]) -> "Future[Any]":
        return asyncio.run_coroutine_threadsafe(work, self._home.loop)


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


class _Home:
    """The thread and the event loop that an engine lives in."""

    def __init__(self) -> None:
        """Begin with no engine."""
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="memskill-vllm", daemon=True)
        self.engine: Any = None
        """The only reference to it: when this one goes, vLLM cleans up, for which it needs its
        modules, which the end of the program takes away."""
        self._is_loading = True
        self._is_ending = False
        self._changing = threading.Lock()
        self._thread.start()

    async def start(self, arguments: Mapping[str, Any]) -> None:
        """Start the engine; to be run in the loop.

        Raises:
            ModelCallError: If vLLM cannot load the model, or was told to end meanwhile.
        """
        try:
            # No local name for it: tracebacks that vLLM keeps would keep that, too.
            self.engine = _started(arguments)
        finally:
            with self._changing:
                self._is_loading = False
                is_wanted = not self._is_ending
            if not is_wanted:
                self.loop.call_soon(self.loop.stop)
        if not is_wanted:
            # Whoever waited for it was interrupted: nobody else would ever end it.
            self.engine.shutdown()
            self.engine = None
            raise ModelCallError(f"loading {arguments['model']!r} was broken off")

    def end(self) -> None:
        """End requests, engine and thread, and wait for it; what still loads ends by itself."""
        with self._changing:
            self._is_ending = True
            is_loading = self._is_loading
        if is_loading:
            return
        with suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(_wind_up(), self.loop).result(_STOP_S)
        if self.engine is not None:
            with suppress(Exception):  # it may be dead already
                self.engine.shutdown()
        self.engine = None
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_STOP_S)

    def wait(self) -> None:
        """Wait until all of it has ended, a load that was broken off included."""
        self._thread.join(_BROKEN_OFF_S)

    def _run(self) -> None:
        try:
            self.loop.run_forever()
        finally:
            self.loop.close()
            _ending.discard(self)


def _stop(home: _Home) -> None:
    """End an engine; an event loop that dropped its last user does not wait for it."""
    _ending.add(home)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        home.end()
    else:
        threading.Thread(target=home.end, name="memskill-vllm-end").start()


def _started(arguments: Mapping[str, Any]) -> Any:
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


async def _wind_up() -> None:
    """End what is going on in the loop: requests, and the engine's own reading of replies."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
