"""A run whose skills evolve, in a process of its own, which kills itself at a given point.

Its arguments are RUN_FOLDER [calls:N | designs:N | writes:N].
"""

import importlib
import itertools
import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from langgraph_memskill.cli.train_locomo import make_scorer
from langgraph_memskill.evolution.settings import EvolutionSettings
from langgraph_memskill.testing.designer import RuleDesigner
from langgraph_memskill.trainers.loop import TrainingRun
from langgraph_memskill.trainers.skill_evolution import SkillEvolution
from langgraph_memskill.trainers.stages import EvolutionPlan, StageSettings
from tests.conftest import WordEncoder
from tests.forks import serve
from tests.trainers import training_process as process

PLAN = EvolutionPlan(
    designer="rules",
    settings=EvolutionSettings(max_changes=1, duplicate_similarity=1.0),
    stages=StageSettings(patience=5),
)


async def scorer(question: Any, answer: Any) -> float | None:
    """Token F1, but for one question in two, which never succeeds."""
    found = await make_scorer("f1")(question, answer)
    return found if found is None or question.category == 1 else found * 0.4


def make_run(folder: Path) -> tuple[TrainingRun, SkillEvolution]:
    """Five stages of two updates."""
    config = replace(process.CONFIG, outer_epochs=5, inner_epochs=2, bias_updates=3)
    encoder = WordEncoder()
    evolution = SkillEvolution.with_designer(PLAN, RuleDesigner(), encoder, folder)
    run = process.make_run(folder, config, encoder=encoder, evolution=evolution, scorer=scorer)
    return run, evolution


def main(arguments: list[str]) -> None:
    """Train, or go on, and die where the second argument says."""
    kind, _, number = (arguments[1] if len(arguments) > 1 else "never:0").partition(":")
    numbers = itertools.count(1)  # one step of it is whole, whatever thread takes it

    def counted(call: Any) -> Any:
        def dying(*given: Any, **options: Any) -> Any:
            if next(numbers) == int(number):
                process.die()
            return call(*given, **options)

        return dying

    run, evolution = make_run(Path(arguments[0]))
    with closing(evolution):
        if kind == "calls":
            model = type(run._parts.model)
            model._generate = counted(model._generate)
        if kind == "designs":
            RuleDesigner._generate = counted(RuleDesigner._generate)  # type: ignore[method-assign]
        if kind == "writes":
            os.replace, os.fsync = counted(os.replace), counted(os.fsync)
        run.resume()
        run.run()


if __name__ == "__main__":
    for slow in ("torch._dynamo", "nltk.stem.porter", "sklearn.cluster"):
        importlib.import_module(slow)  # once, instead of in every fork
    serve(main)
