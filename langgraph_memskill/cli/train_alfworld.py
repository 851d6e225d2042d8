"""ALFWorld's games as material for training: where engine and replay meet the trainer."""

import asyncio
import hashlib
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from importlib.metadata import version
from pathlib import Path

from langgraph_memskill.alfworld.engine import check_installed
from langgraph_memskill.alfworld.games import (
    check_there,
    data_folder,
    game_by_id,
    list_games,
)
from langgraph_memskill.alfworld.pool import EnginePool, default_workers
from langgraph_memskill.alfworld.records import GameFile
from langgraph_memskill.alfworld.replay import Records, read_records, replay, write_records
from langgraph_memskill.benchmarks.alfworld.material import some_of_each_type
from langgraph_memskill.cli.screen import Screen, counted
from langgraph_memskill.cli.train_locomo import file_hash
from langgraph_memskill.cli.train_tasks import EXTRACTIVE
from langgraph_memskill.errors import ConfigError
from langgraph_memskill.models import is_extractive
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.trainers.config import TrainConfig, read_config
from langgraph_memskill.trainers.episode_kinds import AskedQuery, EpisodeMemories
from langgraph_memskill.trainers.game_episodes import GamePlan, Games, training_games
from langgraph_memskill.trainers.game_settings import GameSettings
from langgraph_memskill.trainers.run_folder import RunManifest
from langgraph_memskill.workers.specs import EncoderSpec, ModelSpec

TRAJECTORIES_FILE = "trajectories.json"
"""In the folder of a run: what the expert did in the games that it trains on."""

_SPLIT = "train"
_PACKS = ("embodied",)
_OF_CONVERSATIONS = ("span_mode", "window_sessions", "max_spans", "query_ratio", "credit")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAlfworldRun:
    """A run over games that is to be started."""

    data: Path | None
    trajectories: Path | None
    """A replay file; None lets the expert play."""
    num_games: int | None
    """None takes all."""
    config: Path | None
    settings: tuple[str, ...] = ()
    agent: str | None = None
    packs: tuple[str, ...] | None = None
    model: str | None = None
    encoder: str | None = None

    def manifest(self) -> RunManifest:
        """What the run is started with, but for the hash of its trajectories."""
        check_installed()
        config = self._config()
        if config.games.agent == "llm" and is_extractive(self.model or EXTRACTIVE):
            raise ConfigError("the agent 'llm' needs a language model: name one with --model")
        folder = data_folder(self.data)
        games = list_games(folder, _SPLIT)
        if self.trajectories is not None:
            known = read_records(self.trajectories)
            games = [game for game in games if (str(game.task_type), game.id) in known]
            if not games:
                raise ConfigError(
                    f"{self.trajectories} holds no game of {folder}'s split {_SPLIT}: make it with "
                    f"memskill alfworld replay --split {_SPLIT}"
                )
            training_games(games, known)
        if self.num_games is not None:
            games = sorted(some_of_each_type(games, self.num_games), key=lambda game: game.id)
        if max(Counter(game.task_type for game in games).values(), default=0) < 2:
            raise ConfigError(
                f"of the {counted(len(games), 'game')} to train on no two are of one task type: "
                "one is remembered when the other is played (more with --train-games)"
            )
        packs = _PACKS if self.packs is None else self.packs
        return RunManifest(
            run_id=uuid.uuid4().hex,
            task="alfworld",
            data=str(folder),
            data_sha256="",
            trace_ids=tuple(game.id for game in games),
            model=self.model or EXTRACTIVE,
            encoder=self.encoder,
            packs=packs,
            bank_version=SkillBank.seed(*packs).version,
            config=config,
            package_version=version("langgraph-memskill"),
        )

    def prepare(self, folder: Path, manifest: RunManifest, screen: Screen) -> RunManifest:
        """Bring the trajectories into the folder; where there are none, the expert plays."""
        games = _games(manifest)
        file = folder / TRAJECTORIES_FILE
        if self.trajectories is not None:
            known = read_records(self.trajectories)
            chosen = {key: known[key] for key in map(_key, games)}
            write_records(file, chosen)
        else:
            self._play(games, file, manifest.config.concurrency, screen)
        found = training_games(games, read_records(file))
        if found.not_played:
            screen.note(
                f"{counted(len(found.not_played), 'game')} of {len(games)} cannot be trained on: "
                "the expert could not play them"
            )
        if found.alone:
            screen.note(
                f"{counted(len(found.alone), 'game')} of {len(games)} cannot be trained on: their "
                "task type has no other one"
            )
        return replace(manifest, data_sha256=_content_hash(file, games))

    def _config(self) -> TrainConfig:
        chosen = () if self.agent is None else (f"games.agent={self.agent}",)
        config = read_config(self.config, (*self.settings, *chosen), defaults={"reward": "success"})
        if config.reward != "success":
            raise ConfigError(
                f"reward={config.reward!r} is no reward of games: theirs is 'success'"
            )
        usual = {item.name: item.default for item in fields(TrainConfig)}
        for name in _OF_CONVERSATIONS:
            if getattr(config, name) != usual[name]:
                raise ConfigError(
                    f"{name} is a setting of conversations: a run over games has only "
                    f"{name}={usual[name]}"
                )
        return config

    @staticmethod
    def _play(games: Sequence[GameFile], file: Path, workers: int, screen: Screen) -> Records:
        screen.note(
            f"No trajectories were named (--train): the expert plays {counted(len(games), 'game')} "
            f"first, into {file}. If it is stopped, the same command goes on there."
        )
        with EnginePool() as pool, screen.progress() as show:
            return replay(
                games,
                file,
                pool,
                workers=min(workers, default_workers()),
                on_game=lambda done, total: show("training games", done, total),
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class GameRecipe:
    """How a worker plays games; see `KindRecipe`."""

    data: Path
    """ALFWorld's data, at the same place on every machine."""
    settings: GameSettings
    engines: int
    """Idle ones that a worker keeps at most."""

    def open(self, model: ModelSpec, encoder: EncoderSpec) -> "WorkerGames":
        """Make it; the games themselves come with the plans."""
        check_there(self.data)
        return WorkerGames((), self.settings, EnginePool(spare=self.engines))


class WorkerGames(Games):
    """Games that a worker of a cluster plays; the driver has chosen them, maybe elsewhere."""

    async def ask(self, plan: GamePlan, memories: EpisodeMemories) -> list[AskedQuery | None]:
        """Play batch B; see `Games.ask`.

        Raises:
            ClusterError: If this machine lacks the file of a game.
        """
        await asyncio.to_thread(check_there, *(game.path for game in plan.games))
        return await super().ask(plan, memories)


def game_recipe(manifest: RunManifest) -> GameRecipe:
    """How workers of a cluster play the episodes of a run.

    Args:
        manifest: What the run was started with.
    """
    config = manifest.config
    return GameRecipe(data=Path(manifest.data), settings=config.games, engines=config.concurrency)


def game_episodes(folder: Path, manifest: RunManifest) -> Games:
    """The episodes of a run over games.

    Args:
        folder: Of the run, with its trajectories.
        manifest: What it was started with.

    Raises:
        MissingDependencyError: If the extra `alfworld` is not installed.
        ConfigError: If games or trajectories are others now.
        DataError: If they cannot be read.
    """
    games = _games(manifest)
    file = folder / TRAJECTORIES_FILE
    if _content_hash(file, games) != manifest.data_sha256:
        raise ConfigError(
            f"the games in {manifest.data} or the trajectories in {file} are not those that the "
            "run was started with: restore them"
        )
    known = training_games(games, read_records(file))
    return Games(known.games, manifest.config.games, EnginePool(spare=manifest.config.concurrency))


def _games(manifest: RunManifest) -> list[GameFile]:
    return [game_by_id(Path(manifest.data), game_id) for game_id in manifest.trace_ids]


def _key(game: GameFile) -> tuple[str, str]:
    return str(game.task_type), game.id


def _content_hash(trajectories: Path, games: Sequence[GameFile]) -> str:
    """SHA-256 over the trajectories and the games that they belong to."""
    content = hashlib.sha256(file_hash(trajectories).encode("ascii"))
    for game in games:
        content.update(f"{game.id}\n{file_hash(game.path)}\n".encode())
    return content.hexdigest()
