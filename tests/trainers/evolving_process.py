"""A run whose skills evolve, in a process of its own, which kills itself at a given point.

Usage: python evolving_process.py RUN_FOLDER [calls:N | designs:N | writes:N]
"""

import importlib.util
import itertools
import os
import sys
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

PLAN = EvolutionPlan(
    designer="rules",
    settings=EvolutionSettings(max_changes=1, duplicate_similarity=1.0),
    stages=StageSettings(patience=5),
)


def training_process() -> Any:
    """The run without evolution that this one is made from."""
    path = Path(__file__).with_name("training_process.py")
    spec = importlib.util.spec_from_file_location("training_process", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def scorer(question: Any, answer: Any) -> float | None:
    """Token F1, but for one question in two, which never succeeds."""
    found = await make_scorer("f1")(question, answer)
    return found if found is None or question.category == 1 else found * 0.4


def make_run(folder: Path, process: Any) -> tuple[TrainingRun, SkillEvolution]:
    """Five stages of two updates."""
    module = process.fakes()
    config = replace(process.CONFIG, outer_epochs=5, inner_epochs=2, bias_updates=3)
    encoder = module.WordEncoder()
    evolution = SkillEvolution.with_designer(PLAN, RuleDesigner(), encoder, folder)
    run = process.make_run(
        folder, config, module=module, encoder=encoder, evolution=evolution, scorer=scorer
    )
    return run, evolution


def main() -> None:
    """Train, or go on, and die where the second argument says."""
    process = training_process()
    kind, _, number = (sys.argv[2] if len(sys.argv) > 2 else "never:0").partition(":")
    numbers = itertools.count(1)  # one step of it is whole, whatever thread takes it

    def counted(call: Any) -> Any:
        def dying(*arguments: Any, **options: Any) -> Any:
            if next(numbers) == int(number):
                process.die()
            return call(*arguments, **options)

        return dying

    run, evolution = make_run(Path(sys.argv[1]), process)
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
    main()
