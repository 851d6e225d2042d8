"""One engine: a typed, time-limited wrapper around a process that plays one game at a time."""

import asyncio
import json
import logging
import os
import select
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from threading import Lock
from typing import Any, TypeVar

from langgraph_memskill.alfworld.records import GameFile, GameState
from langgraph_memskill.alfworld.trajectories import read_objective
from langgraph_memskill.closing import Closing
from langgraph_memskill.errors import (
    EngineStoppedError,
    GameError,
    GameLoadError,
    missing_dependency,
)
from langgraph_memskill.ranges import check_above

logger = logging.getLogger(__name__)

T = TypeVar("T")

_CLOSING_SECONDS = 2.0
_READ_BYTES = 65_536
_TO_ENGINE = "langgraph_memskill.alfworld.engine_process"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLimits:
    """How long an engine may take before its process is ended.

    Raises:
        ConfigError: If a limit is not above 0.
    """

    reset_seconds: float = 120.0
    """For starting the process, loading a game and its first observation; twice, if the first
    process stops over it."""
    step_seconds: float = 60.0
    """For a command."""
    plan_seconds: float = 300.0
    """For the planner, which has to think hard about kitchens (13 s on an idle core)."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_above(self, 0.0, "reset_seconds", "step_seconds", "plan_seconds")


def check_installed() -> None:
    """Make sure that the engine can be started.

    Raises:
        MissingDependencyError: If the extra `alfworld` is not installed.
    """
    if find_spec("alfworld") is None or find_spec("textworld") is None:
        raise missing_dependency("alfworld", "alfworld", "Playing ALFWorld games")


class Engine(Closing):
    """Plays one game at a time in a process of its own.

    The process starts with the first `reset` and serves any number of games. One that does not
    answer in time is killed; `reset` starts a new one. Every operation has an async twin. An engine
    may be used from several threads, one call at a time.
    """

    def __init__(self, limits: TimeLimits | None = None) -> None:
        """Make an engine; nothing is started yet.

        Raises:
            MissingDependencyError: If the extra `alfworld` is not installed.
        """
        check_installed()
        self._limits = TimeLimits() if limits is None else limits
        self._process: subprocess.Popen[bytes] | None = None
        self._ending: weakref.finalize[Any, Any] | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._buffer = b""
        self._is_killed = False
        self._lock = Lock()
        self._game: GameFile | None = None
        self._objective = ""
        self._num_steps = 0
        self._state: GameState | None = None
        self.num_games = 0
        """Games that the present process has loaded or tried to."""

    @property
    def pid(self) -> int | None:
        """Id of the process; None if there is none."""
        return None if self._process is None else self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return not self._is_killed and self._process is not None and self._process.poll() is None

    @property
    def state(self) -> GameState:
        """The state of the game after the last command.

        Raises:
            GameError: If no game is loaded.
        """
        if self._state is None:
            raise GameError("no game is loaded in this engine: call reset first")
        return self._state

    def reset(self, game: GameFile) -> GameState:
        """Load a game and begin it.

        Args:
            game: As `list_games` gives it.

        Returns:
            What the agent sees first.

        Raises:
            GameLoadError: If the engine cannot load the game, or two processes, one after the
                other, did not load it in time or died over it: another try is worth nothing.
        """
        with self._lock:
            self._game, self._state, self._num_steps = game, None, 0
            try:
                seen = self._load(game)
            except EngineStoppedError as error:
                raise GameLoadError(f"the game {game.id} was not loaded: {error}") from error
            if "error" in seen:
                raise GameLoadError(
                    f"the engine cannot load the game {game.id} ({seen['error']}): leave it out"
                )
            self._objective = read_objective(seen["observation"])
            return self._take(seen)

    def step(self, command: str) -> GameState:
        """Give a command; one that is not admissible makes nothing happen, and counts.

        Raises:
            GameError: If no game is loaded, or the game is over.
            EngineStoppedError: If the process died, or did not answer in time and was ended.
        """
        with self._lock:
            if self.state.is_done:
                raise GameError(f"the game {self._name} is over: begin another one with reset")
            seen = self._ask({"do": "step", "command": command}, self._limits.step_seconds)
            if "error" in seen:
                # What the engine is like after an exception of its own, nobody knows.
                self._end()
                raise EngineStoppedError(
                    f"the engine failed at {command!r} in the game {self._name} ({seen['error']})"
                )
            self._num_steps += 1
            return self._take(seen)

    def plan(self) -> tuple[str, ...]:
        """The commands by which the planner would solve the task from here.

        Returns:
            The commands in order; none if it finds no way.

        Raises:
            GameError: If no game is loaded.
            EngineStoppedError: If the process died, or did not answer in time and was ended.
        """
        with self._lock:
            if self.state.is_done:
                return ()
            found = self._ask({"do": "plan"}, self._limits.plan_seconds)
            return tuple(found.get("plan", ()))

    async def areset(self, game: GameFile) -> GameState:
        """Like `reset`, without blocking the event loop."""
        return await self._in_thread(lambda: self.reset(game))

    async def astep(self, command: str) -> GameState:
        """Like `step`, without blocking the event loop."""
        return await self._in_thread(lambda: self.step(command))

    async def aplan(self) -> tuple[str, ...]:
        """Like `plan`, without blocking the event loop."""
        return await self._in_thread(self.plan)

    def kill(self) -> None:
        """End the process at once; a call that waits for it raises EngineStoppedError."""
        process = self._process
        if process is not None:
            self._is_killed = True
            process.kill()

    def close(self) -> None:
        """End the process and wait for its end; the engine can be used again with `reset`."""
        self.kill()
        with self._lock:
            self._end()
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None

    @property
    def _name(self) -> str:
        return "?" if self._game is None else self._game.id

    async def _in_thread(self, call: Callable[[], T]) -> T:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(1, thread_name_prefix="alfworld")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except asyncio.CancelledError:
            self.kill()  # nobody waits for the answer any more, and the thread must not, either
            raise

    def _load(self, game: GameFile) -> dict[str, Any]:
        """Have a game loaded; a process that stops over it gets one successor.

        That it stopped says little about the game: earlier ones may have spoilt it.
        """
        if not self.is_running:
            self._start()
        try:
            return self._ask_to_load(game)
        except EngineStoppedError as error:
            if self._is_killed:
                raise  # by us: nobody waits for the game any more
            logger.info("a new engine is started: %s", error)
        self._start()
        return self._ask_to_load(game)

    def _ask_to_load(self, game: GameFile) -> dict[str, Any]:
        self.num_games += 1
        return self._ask({"do": "reset", "path": str(game.path)}, self._limits.reset_seconds)

    def _start(self) -> None:
        self._end()
        process = subprocess.Popen(  # our own module in our own interpreter
            [sys.executable, "-m", _TO_ENGINE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            # The engine walks over sets: with a fixed seed a game reads the same every time.
            env=os.environ | {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # a Ctrl-C is for whoever plays, who then ends the engines
        )
        self._process = process
        self._ending = weakref.finalize(self, _end_process, process)
        self._buffer = b""
        self._is_killed = False
        self.num_games = 0

    def _end(self) -> None:
        """End the process; the caller holds the lock."""
        if self._ending is not None:
            self._ending()
        self._process = self._ending = None
        self._state = None

    def _ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        process = self._process
        if process is None or process.stdin is None:
            raise EngineStoppedError(f"the engine of the game {self._name} is gone")
        try:
            process.stdin.write(json.dumps(request).encode("ascii") + b"\n")
            line = self._line(process, time.monotonic() + seconds)
        except OSError as error:  # the pipe of a process that died
            line = None
            reason = str(error)
        else:
            reason = f"it did not answer within {seconds:g} s and was ended"
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        if line == b"" or line is None and process.poll() is not None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_CLOSING_SECONDS)
            reason = f"its process ended with the code {process.poll()}"
        self._end()
        raise EngineStoppedError(f"the engine of the game {self._name} stopped: {reason}")

    def _line(self, process: subprocess.Popen[bytes], deadline: float) -> bytes | None:
        """The next line; empty if the process has ended, None if the time is over."""
        if process.stdout is None:
            return b""
        waiting = select.poll()
        waiting.register(process.stdout, select.POLLIN | select.POLLHUP)
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not waiting.poll(left * 1000):
                return None
            part = os.read(process.stdout.fileno(), _READ_BYTES)
            if not part:
                return b""
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _take(self, seen: dict[str, Any]) -> GameState:
        game = self._game
        if game is None:
            raise GameError("no game is loaded in this engine: call reset first")
        self._state = GameState(
            observation=seen["observation"],
            admissible=tuple(seen["admissible"]),
            inventory=tuple(seen["inventory"]),
            objective=self._objective,
            task_type=game.task_type,
            num_steps=self._num_steps,
            reward=seen["reward"],
            is_done=seen["is_done"],
            is_won=seen["is_won"],
        )
        return self._state


def _end_process(process: subprocess.Popen[bytes]) -> None:
    """Kill a process, take its exit status and close its pipes."""
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    process.wait()
