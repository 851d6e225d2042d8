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
    commands: int
    """Commands of all games, at most."""
    calls: int
    """Calls of a model, at most: for spans, and for commands where a model plays."""
    tokens: int
    """Of prompts and replies together, about, if every game takes all commands."""


def estimate_games(run: AlfworldRun, cache: BuildCache) -> list[GamesEstimate]:
    """Count what every row would play and call; nothing is played or called.

    Args:
        run: What would be run.
        cache: What is there already.
    """
    return [_row(run, system, cache) for system in run.systems]


def _row(run: AlfworldRun, system: System, cache: BuildCache) -> GamesEstimate:
    spans, cached = unread_spans(run, system, cache)
    commands = run.num_items * run.settings.max_steps
    asked = commands if run.settings.agent == "llm" else 0
    tokens = reading_tokens(run.executor, system, spans) + asked * _step_tokens(run, system)
    return GamesEstimate(
        row=system.name,
        spans=len(spans),
        cached_spans=cached,
        games=run.num_items,
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
