"""Finding games in a folder with ALFWorld's layout: json_2.1.1/SPLIT/TASK/TRIAL/game.tw-pddl."""

import json
import logging
import os
import re
import socket
from pathlib import Path
from typing import Any

from langgraph_memskill.alfworld.records import GameFile, Split, TaskType
from langgraph_memskill.errors import ClusterError, ConfigError, DataError

logger = logging.getLogger(__name__)

DATA_VARIABLE = "ALFWORLD_DATA"
GAME_FILE = "game.tw-pddl"
VERSION_FOLDER = "json_2.1.1"

_TASK_FILE = "traj_data.json"
_DEFAULT_FOLDER = Path("~/.cache/alfworld")
_UNSUPPORTED = ("movable", "Sliced")
"""What ALFWorld's own loader leaves out, by the names of folders."""
_UNSOLVABLE = re.compile(r'"solvable"\s*:\s*false')


def data_folder(folder: Path | None = None) -> Path:
    """The folder of ALFWorld's data.

    Args:
        folder: Named by the user; None takes the environment variable ALFWORLD_DATA, or else the
            place where ALFWorld itself downloads to.

    Raises:
        ConfigError: If the folder does not hold the data.
    """
    named = folder or Path(os.environ.get(DATA_VARIABLE) or _DEFAULT_FOLDER)
    found = named.expanduser().absolute()
    if found.name == VERSION_FOLDER:
        found = found.parent
    if not (found / VERSION_FOLDER).is_dir():
        raise ConfigError(
            f"{found} holds no {VERSION_FOLDER} folder with ALFWorld's games: name the folder with "
            f"--data or {DATA_VARIABLE} (`alfworld-download` fetches the games)"
        )
    return found


def list_games(data: Path, split: Split | str, *, solvable_only: bool = False) -> list[GameFile]:
    """The games of a split, sorted by id.

    Left out, as by ALFWorld's own loader, are games with sliced or movable receptacle objects and
    those of another task type.

    Args:
        data: As `data_folder` gives it.
        split: Which part.
        solvable_only: Whether to leave out games that are marked as unsolvable, too. ALFWorld's
            loader does so; its planner solves some of them.

    Raises:
        ConfigError: If the split is not there.
        DataError: If a task file is damaged, or no game is left.
    """
    folder = data / VERSION_FOLDER / _split(split)
    if not folder.is_dir():
        there = ", ".join(sorted(p.name for p in (data / VERSION_FOLDER).iterdir() if p.is_dir()))
        raise ConfigError(f"{folder} is not there; {data} holds the splits: {there or 'none'}")
    games = []
    num_skipped = 0
    for path in sorted(folder.rglob(GAME_FILE)):
        game = _game(data, path)
        if game is None or solvable_only and _UNSOLVABLE.search(_text(path)):
            num_skipped += 1
        else:
            games.append(game)
    if num_skipped:
        logger.info("%d games of %s are of a kind that is left out", num_skipped, folder)
    if not games:
        raise DataError(f"{folder} holds no playable game ({GAME_FILE} beside {_TASK_FILE})")
    return games


def game_by_id(data: Path, game_id: str) -> GameFile:
    """The game with an id.

    Raises:
        DataError: If it is not there, or outside of the data folder.
    """
    path = data / game_id
    is_inside = path.resolve().is_relative_to(data.resolve())
    game = _game(data, path) if is_inside and path.is_file() else None
    if game is None:
        raise DataError(f"{data} holds no game {game_id!r}")
    return game


def check_there(*paths: Path) -> None:
    """Make sure that a worker of a cluster has files or folders of ALFWorld's data.

    Args:
        *paths: Where they are for the process that sends the worker its games.

    Raises:
        ClusterError: If one is missing on this machine.
    """
    for path in paths:
        if not path.exists():
            raise ClusterError(
                f"{path} is missing on {socket.gethostname()}: ALFWorld's games have to be at the "
                "same path on every machine of the cluster"
            )


def _split(split: Split | str) -> str:
    if split not in list(Split):
        raise ConfigError(f"{split!r} is no split; use one of {', '.join(Split)}")
    return str(split)


def _game(data: Path, path: Path) -> GameFile | None:
    relative = path.relative_to(data)
    task_file = path.with_name(_TASK_FILE)
    if any(word in part for part in relative.parts for word in _UNSUPPORTED):
        return None
    if not task_file.is_file():
        return None
    task_type = _task_type(task_file)
    if task_type not in list(TaskType):
        return None
    return GameFile(id=relative.as_posix(), path=path, task_type=TaskType(task_type))


def _task_type(path: Path) -> str:
    try:
        content: Any = json.loads(_text(path))
        return str(content["task_type"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is no task file of ALFWorld ({type(error).__name__}: {error})"
        ) from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
