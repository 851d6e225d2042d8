"""What a run works on: the games of a split, and the trajectories that are remembered before."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

from langgraph_memskill.alfworld.games import list_games
from langgraph_memskill.alfworld.records import GameFile
from langgraph_memskill.alfworld.replay import Records
from langgraph_memskill.alfworld.trajectories import group_trajectories
from langgraph_memskill.benchmarks.running.material import Material
from langgraph_memskill.benchmarks.samples import Sample
from langgraph_memskill.errors import ConfigError, DataError
from langgraph_memskill.records import Span

TRAINING = "training"
"""Id of the one sample: the trajectories that all memories are made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedGames:
    """The games of a run."""

    folder: str
    """Name of the data folder."""
    split: str
    sha256: str
    """Of the ids and contents of the games."""
    games: tuple[GameFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What memories are made of."""

    material: Material
    """Its spans are grouped trajectories of one task type (METHOD, "ALFWorld training pairs"), its
    raw chunks one trajectory each."""
    games: tuple[str, ...]
    """Ids of the games that the trajectories are of."""


def load_games(
    data: Path, split: str, limit: int | None = None, samples: Sequence[str] = ()
) -> PlayedGames:
    """The games that are played.

    Args:
        data: As `data_folder` gives it.
        split: "valid_seen" or another one.
        limit: Only the first games; None takes all.
        samples: Only these games: ids, names of their task or trial folders, or task types; ()
            takes all.

    Raises:
        ConfigError: If the split is not there, or has no game of a name.
        DataError: If it holds no game, or one cannot be read.
    """
    games = tuple(_named(list_games(data, split), samples, split)[:limit])
    content = hashlib.sha256()
    for game in games:
        try:
            own = hashlib.sha256(game.path.read_bytes()).hexdigest()
        except OSError as error:
            raise DataError(f"{game.path} cannot be read: {error}") from error
        content.update(f"{game.id}\n{own}\n".encode())
    return PlayedGames(folder=data.name, split=split, sha256=content.hexdigest(), games=games)


def _named(games: list[GameFile], samples: Sequence[str], split: str) -> list[GameFile]:
    """Those of the games that have one of the names; all if there are no names."""
    names = {game: {game.id, game.task_type, *game.id.split("/")[2:-1]} for game in games}
    known = frozenset(chain.from_iterable(names.values()))
    if missing := [name for name in samples if name not in known]:
        types = ", ".join(sorted({game.task_type for game in games}))
        raise ConfigError(
            f"the split {split} has no game {missing[0]!r}: name a task type ({types}), the folder "
            "of a task or trial, or a game file as it stands in the log"
        )
    return [game for game in games if not samples or not names[game].isdisjoint(samples)]


def some_of_each_type(games: Sequence[GameFile], count: int) -> list[GameFile]:
    """The first games of every task type in turn, `count` at most."""
    types = sorted({game.task_type for game in games})
    columns = [[game for game in games if game.task_type == task_type] for task_type in types]
    in_turn = chain.from_iterable(zip_longest(*columns))
    return [game for game in in_turn if game is not None][:count]


def check_apart(remembered: Collection[str], played: Sequence[GameFile]) -> None:
    """Make sure that no agent remembers the solution of a game that it plays.

    Args:
        remembered: Ids of the games whose trajectories are remembered.
        played: The games that are played.

    Raises:
        ConfigError: If a game is among both.
    """
    if seen := [game.id for game in played if game.id in remembered]:
        raise ConfigError(
            f"the training trajectories hold the game {seen[0]}, which is played: an agent would "
            "remember its solution; name a replay of other games with --train"
        )


def make_training(records: Records, span_tokens: int, played: Sequence[GameFile] = ()) -> Training:
    """Make spans and raw chunks of the trajectories of the games that were won.

    Args:
        records: A replay file's.
        span_tokens: Tokens of the trajectories of a span at most.
        played: Games that must not be among the records.

    Raises:
        DataError: If there is no trajectory of a game that was won.
        ConfigError: If a game that is played is among the records.
    """
    check_apart({game_id for _, game_id in records}, played)
    won = {key: records[key].trajectory for key in sorted(records) if records[key].is_won}
    if not won:
        raise DataError("the training trajectories hold no game that was won: nothing to remember")
    groups = [
        text
        for task_type in dict.fromkeys(task_type for task_type, _ in won)
        for text in group_trajectories(
            [text for (own_type, _), text in won.items() if own_type == task_type], span_tokens
        )
    ]
    material = Material(
        sample=Sample(id=TRAINING, questions=()),
        spans=_spans(groups, ""),
        chunks=_spans(list(won.values()), "trajectory-"),
        questions=(),
    )
    return Training(material=material, games=tuple(game_id for _, game_id in won))


def _spans(texts: Sequence[str], prefix: str) -> tuple[Span, ...]:
    return tuple(
        Span(id=f"{prefix}{number}", index=number, text=text) for number, text in enumerate(texts)
    )
