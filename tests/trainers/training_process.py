"""A training run in a process of its own, which kills itself at a given point.

Its arguments are RUN_FOLDER [calls:N | syncs:N].
"""

import importlib
import itertools
import os
import signal
from pathlib import Path
from typing import Any

from langgraph_memskill.cli.train_locomo import make_scorer
from langgraph_memskill.prompts import AnswerStyle
from langgraph_memskill.records import Span, Turn
from langgraph_memskill.skills.bank import SkillBank
from langgraph_memskill.trainers import checkpoints
from langgraph_memskill.trainers.config import TrainConfig
from langgraph_memskill.trainers.conversation_episodes import Conversations
from langgraph_memskill.trainers.loop import TrainingRun, TrainParts
from langgraph_memskill.trainers.material import TrainingQuestion, TrainingTrace
from langgraph_memskill.trainers.ppo import PPOConfig
from tests.conftest import ReadingModel, WordEncoder
from tests.forks import serve

CONFIG = TrainConfig(
    outer_epochs=2,
    inner_epochs=3,
    episodes=3,
    concurrency=2,
    hidden_dim=16,
    skills_per_span=2,
    window_sessions=1,
    query_ratio=0.5,
    best_updates=2,
    ppo=PPOConfig(learning_rate=0.003, minibatch_size=4),
)


def make_traces() -> tuple[TrainingTrace, ...]:
    """Two conversations of two sessions; what is not remembered cannot be answered."""
    return tuple(_trace(name, place) for name, place in (("ann", "Lisbon"), ("ben", "Oslo")))


def _trace(name: str, place: str) -> TrainingTrace:
    facts = [
        f"{name} lives in {place}",
        f"{name} has a grey cat",
        f"{name} plays the cello",
        f"{name} works at night",
    ]
    spans = tuple(
        Span(
            id=f"{name}:{number}",
            index=number,
            text=f"{name}: remember {fact}",
            turns=(Turn(id=f"D{number}:1", speaker=name, text=f"remember {fact}"),),
            session=f"session_{number // 2}",
        )
        for number, fact in enumerate(facts)
    )
    questions = tuple(
        TrainingQuestion(
            id=f"{name}/q{number}",
            text=f"What is known: {fact.rsplit(' ', 1)[0]}?",
            answers=(fact,),
            category=1 + number % 2,
            evidence=(f"D{number}:1",),
        )
        for number, fact in enumerate(facts)
    )
    return TrainingTrace(id=name, spans=spans, questions=questions, style=AnswerStyle.SHORT)


def make_run(folder: Path, config: TrainConfig = CONFIG, **options: Any) -> TrainingRun:
    """A run with fakes at the model's and the encoder's place."""
    episodes = {"traces": make_traces(), "scorer": make_scorer("f1")}
    episodes |= {name: options.pop(name) for name in tuple(episodes) if name in options}
    parts = {
        "model": ReadingModel(),
        "model_name": "reading",
        "encoder": WordEncoder(),
        "bank": SkillBank.seed(),
        "episodes": Conversations(**episodes),
    }
    return TrainingRun(folder, config, TrainParts(**(parts | options)), run_id="test")


def die() -> None:
    """End this process at once, as the system would."""
    os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: list[str]) -> None:
    """Train, or go on, and die where the second argument says."""
    kind, _, number = (arguments[1] if len(arguments) > 1 else "never:0").partition(":")
    numbers = itertools.count(1)  # one step of it is whole, whatever thread takes it

    def count() -> None:
        if next(numbers) == int(number):
            die()

    if kind == "calls":
        obey = ReadingModel._generate

        def generate(self: Any, *given: Any, **options: Any) -> Any:
            count()
            return obey(self, *given, **options)

        ReadingModel._generate = generate  # type: ignore[method-assign]
    if kind == "syncs":
        sync = os.fsync

        def fsync(descriptor: int) -> None:
            count()
            sync(descriptor)

        checkpoints.os.fsync = fsync
    run = make_run(Path(arguments[0]))
    run.resume()
    run.run()


if __name__ == "__main__":
    importlib.import_module("torch._dynamo")  # optimizers need it; once, instead of in every fork
    serve(main)
