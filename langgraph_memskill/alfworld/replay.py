"""Expert replay: the planner's plan is played and recorded for every game of a split."""

import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from langgraph_memskill.alfworld.engine import Engine
from langgraph_memskill.alfworld.pool import EnginePool
from langgraph_memskill.alfworld.records import GameFile, GameRecord, GameState, GameStep
from langgraph_memskill.alfworld.trajectories import trajectory_text
from langgraph_memskill.errors import ConfigError, DataError, GameError
from langgraph_memskill.state import dump, load

logger = logging.getLogger(__name__)

_SAVE_SECONDS = 1.0
_SAVE_SHARE = 20
"""Saving takes at most one part in so many of the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayRecord:
    """A game in a replay file."""

    task_type: str
    game_id: str
    """Path of the game file, relative to the data folder."""
    record: GameRecord


Records = dict[tuple[str, str], GameRecord]
"""By task type and game id."""
OnGame = Callable[[int, int], None]
"""Called with how many games are done and how many there are."""


def play_plan(engine: Engine, game: GameFile) -> GameRecord:
    """Play the planner's plan from the first command to the last.

    Returns:
        The record. What goes wrong is in its `error`, and the steps up to there are kept.
    """
    steps: list[GameStep] = []
    objective = ""
    error = None
    try:
        state = engine.reset(game)
        objective = state.objective
        steps.append(first_step(state))
        plan = engine.plan()
        if not plan:
            error = "the planner found no way to the goal"
        for command in plan:
            state = engine.step(command)
            steps.append(step_of(command, state))
            if state.is_done:
                break
        if plan and not state.is_won:
            error = "the planner's commands did not reach the goal"
    except GameError as problem:
        error = f"{type(problem).__name__}: {problem}"
    return game_record(objective, steps, error)


def first_step(state: GameState) -> GameStep:
    """The step without a command that opens a game."""
    return GameStep(action=None, observation=state.observation)


def step_of(command: str, state: GameState) -> GameStep:
    """A command with what came of it."""
    return GameStep(
        action=command, observation=state.observation, reward=state.reward, done=state.is_done
    )


def game_record(objective: str, steps: Sequence[GameStep], error: str | None) -> GameRecord:
    """The record of a game that was played up to some point."""
    return GameRecord(
        first_observation=steps[0].observation if steps else "",
        objective=objective,
        steps=tuple(steps),
        trajectory=trajectory_text(steps) if steps else "",
        total_reward=sum(step.reward for step in steps),
        error=error,
    )


@dataclass(slots=True)
class _File:
    """The file with the records: always whole, never more than moments behind."""

    path: Path
    records: Records
    _saved_at: float = field(default_factory=time.monotonic)
    _pause: float = _SAVE_SECONDS

    def add(self, game: GameFile, record: GameRecord) -> None:
        self.records[str(game.task_type), game.id] = record
        if time.monotonic() >= self._saved_at + self._pause:
            self.save()

    def save(self) -> None:
        started = time.monotonic()
        write_records(self.path, self.records)
        self._saved_at = time.monotonic()
        self._pause = max(_SAVE_SECONDS, _SAVE_SHARE * (self._saved_at - started))


def replay(
    games: Sequence[GameFile],
    out: Path,
    pool: EnginePool,
    *,
    workers: int,
    on_game: OnGame | None = None,
) -> Records:
    """Play the plans of games side by side and write them to a file.

    Games that the file holds already are not played again, unless they ended with an error. The
    file is saved as games end, and in any case when the replay ends or is broken off.

    Args:
        games: Which.
        out: The file.
        pool: Lends the engines.
        workers: Games that are played side by side, >= 1.
        on_game: Called when a game is done.

    Returns:
        All records of the file.

    Raises:
        ConfigError: If `workers` is below 1.
        DataError: If the file is there and holds something else, or cannot be written.
    """
    if workers < 1:
        raise ConfigError(f"workers={workers!r} must be at least 1")
    file = _File(out, read_records(out) if out.exists() else {})
    done = {key for key, record in file.records.items() if record.error is None}
    open_games = [game for game in games if (str(game.task_type), game.id) not in done]
    num_done = len(games) - len(open_games)
    file.save()  # a place that cannot be written to is said before hours of playing
    threads = ThreadPoolExecutor(workers, thread_name_prefix="replay")
    waiting: dict[Future[GameRecord], GameFile] = {}
    try:
        waiting = {threads.submit(_play, pool, game): game for game in open_games}
        while waiting:
            for finished in wait(waiting, return_when=FIRST_COMPLETED).done:
                game = waiting.pop(finished)
                file.add(game, finished.result())
                num_done += 1
                if on_game is not None:
                    on_game(num_done, len(games))
    finally:
        threads.shutdown(cancel_futures=True)
        file.save()
    return file.records


def _play(pool: EnginePool, game: GameFile) -> GameRecord:
    record = GameRecord()
    for _ in range(2):
        with pool.engine() as engine:
            record = play_plan(engine, game)
            # An engine that stopped in play says little about the game.
            if record.error is None or not record.steps or engine.is_running:
                break
    if record.error is not None:
        logger.warning("the game %s: %s", game.id, record.error)
    return record


def read_records(path: Path) -> Records:
    """Read a replay file.

    Raises:
        DataError: If it cannot be read or holds something else.
    """
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"the replay file {path} cannot be read: {error}") from error
    records: Records = {}
    entries = document.items() if isinstance(document, dict) else [("", document)]
    for task_type, games in entries:
        if not isinstance(games, dict):
            raise DataError(
                f"{path} is no replay file: {task_type or 'it'} holds no object of game files"
            )
        for game_id, content in games.items():
            try:
                records[task_type, game_id] = load(GameRecord, content)
            except ValidationError as error:
                raise DataError(f"{path}: the game {game_id!r} is no record: {error}") from error
    return records


def write_records(path: Path, records: Records) -> None:
    """Write a replay file, whole or not at all, the same for the same records.

    Raises:
        DataError: If it cannot be written.
    """
    document: dict[str, dict[str, Any]] = {}
    for task_type, game_id in sorted(records):
        document.setdefault(task_type, {})[game_id] = dump(records[task_type, game_id])
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise DataError(f"the replay file {path} cannot be written: {error}") from error
