"""A training run over games in a process of its own, which kills itself at a given point.

Its arguments are DATA REPLAY RUN_FOLDER [steps:N | calls:N].
"""

import importlib
import itertools
import os
import signal
from pathlib import Path
from typing import Any

from langgraph_memskill import embedding
from langgraph_memskill.alfworld.engine import Engine
from langgraph_memskill.cli import app
from langgraph_memskill.extractive.model import ExtractiveChatModel
from langgraph_memskill.trainers import loop  # noqa: F401  # before the forks, which need it
from tests.conftest import WordEncoder
from tests.forks import serve

SETTINGS = (
    "outer_epochs=1", "inner_epochs=3", "episodes=2", "hidden_dim=8", "concurrency=2",
    "skills_per_span=2", "games.pairs.min_remembered=1", "games.pairs.max_remembered=2",
    "games.pairs.num_played=1", "games.max_steps=3", "games.span_tokens=200",
    "ppo.learning_rate=0.003", "best_updates=2",
)  # fmt: skip


def main(arguments: list[str]) -> None:
    """Train, or go on, and die where the last argument says."""
    data, replay, folder = arguments[:3]
    kind, _, number = (arguments[3] if len(arguments) > 3 else "never:0").partition(":")
    numbers = itertools.count(1)  # one step of it is whole, whatever thread takes it
    encoder = WordEncoder()
    embedding.load_encoder = lambda *_, **__: encoder

    def counted(call: Any) -> Any:
        def dying(*given: Any, **options: Any) -> Any:
            if next(numbers) == int(number):
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*given, **options)

        return dying

    if kind == "steps":
        Engine.step = counted(Engine.step)  # type: ignore[method-assign]
    if kind == "calls":
        ExtractiveChatModel._generate = counted(  # type: ignore[method-assign]
            ExtractiveChatModel._generate
        )
    if (Path(folder) / "run.json").exists():
        options = ["--resume", folder]
    else:
        options = ["--data", data, "--train", replay, "--out", folder]
        options += [f"--set={setting}" for setting in SETTINGS]
    app(["train", "alfworld", *options])


if __name__ == "__main__":
    importlib.import_module("torch._dynamo")  # optimizers need it; once, instead of in every fork
    serve(main)
