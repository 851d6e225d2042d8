"""A training run over games in a process of its own, which kills itself at a given point.

Usage: python game_training_process.py DATA REPLAY RUN_FOLDER [steps:N | calls:N]
"""

import importlib.util
import itertools
import os
import signal
import sys
from pathlib import Path
from typing import Any

from langgraph_memskill import embedding
from langgraph_memskill.alfworld.engine import Engine
from langgraph_memskill.cli import app
from langgraph_memskill.extractive.model import ExtractiveChatModel

SETTINGS = (
    "outer_epochs=1", "inner_epochs=3", "episodes=2", "hidden_dim=8", "concurrency=2",
    "skills_per_span=2", "games.pairs.min_remembered=1", "games.pairs.max_remembered=2",
    "games.pairs.num_played=1", "games.max_steps=3", "games.span_tokens=200",
    "ppo.learning_rate=0.003", "best_updates=2",
)  # fmt: skip


def toy_encoder() -> Any:
    """The toy encoder from the tests' conftest."""
    path = Path(__file__).parents[1] / "conftest.py"
    spec = importlib.util.spec_from_file_location("fakes", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.WordEncoder()


def main() -> None:
    """Train, or go on, and die where the last argument says."""
    data, replay, folder = sys.argv[1:4]
    kind, _, number = (sys.argv[4] if len(sys.argv) > 4 else "never:0").partition(":")
    numbers = itertools.count(1)  # one step of it is whole, whatever thread takes it
    encoder = toy_encoder()
    embedding.load_encoder = lambda *_, **__: encoder

    def counted(call: Any) -> Any:
        def dying(*arguments: Any, **options: Any) -> Any:
            if next(numbers) == int(number):
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return dying

    if kind == "steps":
        Engine.step = counted(Engine.step)  # type: ignore[method-assign]
    if kind == "calls":
        ExtractiveChatModel._generate = counted(  # type: ignore[method-assign]
            ExtractiveChatModel._generate
        )
    if (Path(folder) / "run.json").exists():
        arguments = ["--resume", folder]
    else:
        arguments = ["--data", data, "--train", replay, "--out", folder]
        arguments += [f"--set={setting}" for setting in SETTINGS]
    app(["train", "alfworld", *arguments])


if __name__ == "__main__":
    main()
