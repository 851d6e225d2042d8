"""What a run over games would play and call, and about how many tokens that takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from langgraph_memskill.alfworld.agents import prompt_texts
from langgraph_memskill.benchmarks.alfworld.run import AlfworldRun
from langgraph_memskill.benchmarks.running.builds import BuildCache
from langgraph_memskill.benchmarks.running.estimate import (
    MEMORY_TOKENS,
    count_tokens,
    reading_tokens,
    unread_spans,
)
from langgraph_memskill.benchmarks.running.journal import Journal
from langgraph_memskill.benchmarks.running.systems import System

_SCENE_TOKENS = 900
"""Tokens of first observation, last commands and admissible commands of a step, about."""
_COMMAND_TOKENS = 10
"""Tokens of a reply, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GamesEstimate:
    """What one row would cost."""

    row: str
    spans: int
    """Calls for reading spans."""
    cached_spans: int
    """Spans whose memories are in the cache."""
    games: int
    """Games that the run has not played yet."""
    played: int
    """Games that an earlier part of the run has played."""
    commands: int
    """Commands of all games, at most."""
    calls: int
    """Calls of a model, at most: for spans, and for commands where a model plays."""
    tokens: int
    """Of prompts and replies together, about, if every game takes all commands."""


def estimate_games(run: AlfworldRun, cache: BuildCache, journal: Journal) -> list[GamesEstimate]:
    """Count what every row would still play and call; nothing is played or called.

    Args:
        run: What would be run.
        cache: The memories that are there already.
        journal: The games that are played already, of the folder that the run would go on in.
    """
    return [_row(run, system, cache, journal) for system in run.systems]


def _row(run: AlfworldRun, system: System, cache: BuildCache, journal: Journal) -> GamesEstimate:
    games = sum(journal.is_open(system.name, game.id) for game in run.played.games)
    used = [games < run.num_items] * len(run.materials)
    spans, cached = unread_spans(run, system, cache, used)
    commands = games * run.settings.max_steps
    asked = commands if run.settings.agent == "llm" else 0
    tokens = reading_tokens(run.executor, system, spans) + asked * _step_tokens(run, system)
    return GamesEstimate(
        row=system.name,
        spans=len(spans),
        cached_spans=cached,
        games=games,
        played=run.num_items - games,
        commands=commands,
        calls=len(spans) + asked,
        tokens=round(tokens),
    )


def _step_tokens(run: AlfworldRun, system: System) -> float:
    recalled = sum(_recalled(run, system))
    return count_tokens(*prompt_texts()) + recalled + _SCENE_TOKENS + _COMMAND_TOKENS


def _recalled(run: AlfworldRun, system: System) -> Sequence[float]:
    """Tokens of each memory that a game is given, about."""
    if system.name == "none":
        return ()
    if system.name != "rag":
        return (MEMORY_TOKENS,) * run.settings.top_k
    chunks = [count_tokens(chunk.text) for material in run.materials for chunk in material.chunks]
    return (fmean(chunks),) * min(run.settings.top_k, len(chunks)) if chunks else ()
