"""Episodes over ALFWorld's games: memories of some games are put to the test in others.

METHOD, "ALFWorld training pairs": the trajectories of batch A are remembered, the games of batch B
are played with these memories, and their success is the reward.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from langgraph.graph.state import CompiledStateGraph

from langgraph_memskill.alfworld.agents import Agent, ModelAgent, SimilarityAgent
from langgraph_memskill.alfworld.pool import EnginePool
from langgraph_memskill.alfworld.records import GameFile, GameRecord, GameStep
from langgraph_memskill.alfworld.replay import Records, game_record
from langgraph_memskill.alfworld.trajectories import group_trajectories
from langgraph_memskill.errors import ConfigError, GameError, ModelCallError
from langgraph_memskill.evolution.diagnosis import case_memories
from langgraph_memskill.evolution.records import CaseOrigin, HardCase, Metric
from langgraph_memskill.graphs.alfworld import (
    ActingContext,
    ActingState,
    Recall,
    build_acting_graph,
)
from langgraph_memskill.records import Memory, Span
from langgraph_memskill.settings import METHOD
from langgraph_memskill.state import dump, load_all
from langgraph_memskill.stores.items import aread_items, memory_of
from langgraph_memskill.trainers.alfworld_pairs import sample_pair
from langgraph_memskill.trainers.config import TrainConfig
from langgraph_memskill.trainers.episode_kinds import AskedQuery, EpisodeMemories
from langgraph_memskill.trainers.game_settings import GameSettings
from langgraph_memskill.trainers.plans import EpisodePlan, played_in_turn, seed_of

logger = logging.getLogger(__name__)

_TRIES = 2
"""Times that a game is played: an engine that stops in play says little about the game."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GamePlan(EpisodePlan):
    """An episode over games; its spans are the trajectories of batch A."""

    games: tuple[GameFile, ...]
    """Batch B."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingGame:
    """A game that can be remembered and played."""

    file: GameFile
    trajectory: str
    """How the expert has played it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingGames:
    """The games to train on, and those that are left out."""

    games: tuple[TrainingGame, ...]
    not_played: tuple[GameFile, ...]
    """Those that the expert has not played, or not without an error."""
    alone: tuple[GameFile, ...]
    """Those that are the only one of their task type: whoever plays it would remember its
    solution."""


def training_games(games: Sequence[GameFile], records: Records) -> TrainingGames:
    """Choose the games to train on: those that an expert has played without an error.

    Args:
        games: Files of games.
        records: Of a replay file.

    Raises:
        ConfigError: If no game is left.
    """
    found: list[TrainingGame] = []
    not_played: list[GameFile] = []
    for game in games:
        record = records.get((str(game.task_type), game.id))
        text = "" if record is None else usable_trajectory(record)
        if text:
            found.append(TrainingGame(file=game, trajectory=text))
        else:
            not_played.append(game)
    types = Counter(game.file.task_type for game in found)
    usable = tuple(game for game in found if types[game.file.task_type] > 1)
    if not usable:
        raise ConfigError(
            f"of {len(games)} games none can be trained on: at least two of one task type are "
            "needed that the expert has played without an error"
        )
    return TrainingGames(
        games=usable,
        not_played=tuple(not_played),
        alone=tuple(game.file for game in found if types[game.file.task_type] == 1),
    )


def usable_trajectory(record: GameRecord) -> str:
    """What can be remembered of a game; empty if it could not be played."""
    return "" if record.error is not None else record.trajectory.strip()


class Games:
    """Games whose memories are scored by playing others."""

    def __init__(
        self, games: Sequence[TrainingGame], settings: GameSettings, pool: EnginePool
    ) -> None:
        """Train on games.

        Args:
            games: Of `training_games`; a worker that only plays needs none.
            settings: How they are remembered and played.
            pool: Lends the engines; it is closed with this.
        """
        self._settings = settings
        self._pool = pool
        self._games = {game.file.id: game for game in games}
        self._by_type: dict[str, list[str]] = {}
        for game in games:
            self._by_type.setdefault(str(game.file.task_type), []).append(game.file.id)

    def plans(self, config: TrainConfig, *, outer: int, inner: int) -> list[GamePlan]:
        """Draw a pair of batches for every window."""
        windows = []
        for place in range(config.episodes // config.plays):
            seed = seed_of(config.seed, outer, inner, place * config.plays)
            pair = sample_pair(self._by_type, self._settings.pairs, random.Random(seed))
            # Where a type has too few games some are drawn twice, which would tell nothing new.
            remembered, played = (
                [self._games[game_id] for _, game_id in dict.fromkeys(batch)] for batch in pair
            )
            texts = [game.trajectory for game in remembered]
            groups = group_trajectories(texts, self._settings.span_tokens)
            windows.append(
                GamePlan(
                    trace_id=pair.remembered[0].task_type,
                    window=place,
                    spans=tuple(
                        Span(id=str(number), index=number, text=text)
                        for number, text in enumerate(groups)
                    ),
                    games=tuple(game.file for game in played),
                )
            )
        return played_in_turn(windows, config, outer=outer, inner=inner)

    async def ask(self, plan: GamePlan, memories: EpisodeMemories) -> list[AskedQuery | None]:
        """Play batch B.

        A game that cannot be loaded, whose engine stops, or whose agent's model cannot be called
        has no score: it says nothing about the memories (QUIRKS 63 and 79).
        """
        recall = Recall(
            store=memories.store,
            encoder=memories.encoder,
            namespace=memories.namespace,
            top_k=memories.config.top_k,
            query=self._settings.query,
            search=METHOD.search,
        )
        graph = build_acting_graph(
            self._agent(memories),
            recall=recall,
            max_steps=self._settings.max_steps,
            attempts=self._settings.attempts,
        )
        items = await aread_items(memories.store, memories.namespace)
        stored = {memory.id: memory for memory in map(memory_of, items)}

        async def one(game: GameFile) -> AskedQuery | None:
            async with memories.slots:
                final = await self._play(graph, game, memories)
            return None if final is None else _query(plan, game, final, stored)

        return await asyncio.gather(*map(one, plan.games))

    async def aclose(self) -> None:
        """End the engines."""
        await self._pool.aclose()

    def _agent(self, memories: EpisodeMemories) -> Agent:
        if self._settings.agent == "llm":
            return ModelAgent(memories.model)
        return SimilarityAgent(memories.encoder)

    async def _play(
        self,
        graph: CompiledStateGraph[Any, Any, Any, Any],
        game: GameFile,
        memories: EpisodeMemories,
    ) -> ActingState | None:
        """Play a game; None if it did not come to its end."""
        reason: str | None = None
        for _ in range(_TRIES):
            async with self._pool.aengine() as engine:
                try:
                    final = await graph.ainvoke(
                        {"game": dump(game)},
                        {"callbacks": [memories.calls]},
                        context=ActingContext(engine=engine),
                    )
                except (GameError, ModelCallError) as error:
                    logger.warning("the game %s has no score: %s", game.id, error)
                    return None
            if not final["error"]:
                return cast(ActingState, final)
            reason = final["error"]
        logger.warning("the game %s has no score: its engine stopped: %s", game.id, reason)
        return None


def _query(
    plan: GamePlan, game: GameFile, final: ActingState, stored: Mapping[str, Memory]
) -> AskedQuery:
    num_steps = len(final["steps"]) - 1
    is_won = bool(final["now"]["is_won"])
    answer = f"{'solved' if is_won else 'not solved'} after {num_steps} commands"
    case = None
    if not is_won:
        objective = final["now"]["objective"]
        steps = load_all(GameStep, final["steps"])
        found = [stored[entry["id"]] for entry in final["recalled"] if entry["id"] in stored]
        case = HardCase(
            id=game.id,
            question=objective or final["first_observation"],
            prediction=answer,
            score=0.0,
            metric=Metric.SUCCESS,
            memories=case_memories(found),
            episode_id=plan.id,
            conversation=game.id,
            trajectory=game_record(objective, steps, None).trajectory,
            origin=CaseOrigin.GAME,
        )
    return AskedQuery(key=game.id, answer=answer, score=float(is_won), hard_case=case)
