"""`memskill train ... --evolve`: its options, and the designer that they name."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from langgraph_memskill.errors import ConfigError

if TYPE_CHECKING:
    from langgraph_memskill.embedding import TextEncoder
    from langgraph_memskill.trainers.run_folder import RunManifest
    from langgraph_memskill.trainers.skill_evolution import SkillEvolution
    from langgraph_memskill.trainers.stages import EvolutionPlan

DesignerOption = Annotated[
    str | None,
    typer.Option(help="With --evolve: the designer's model.", show_default="the model itself"),
]
MaxChangesOption = Annotated[
    int | None,
    typer.Option(min=1, help="Changes of an evolution at most (1 to 3).", show_default="3"),
]
ReflectionsOption = Annotated[
    int | None,
    typer.Option(min=0, help="Rounds of criticism of the analysis at most.", show_default="3"),
]
TrialsOption = Annotated[
    int | None,
    typer.Option(min=1, help="Times to ask until a change comes of it.", show_default="3"),
]
PatienceOption = Annotated[
    int | None,
    typer.Option(min=0, help="Evolutions without improvement to stop after.", show_default="3"),
]
MaxEvolvesOption = Annotated[
    int | None, typer.Option(min=0, help="Evolutions of the run at most.", show_default="6")
]
BiasUpdatesOption = Annotated[
    int | None,
    typer.Option(
        min=0, help="Updates over which new skills lose their bonus (25 to 50).", show_default="50"
    ),
]
RefineOnlyOption = Annotated[
    bool, typer.Option("--refine-only", help="Refine skills, but add none.")
]
ProtectSeedsOption = Annotated[
    bool, typer.Option("--protect-seeds", help="Never let a seed make room for a new skill.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvolutionWishes:
    """What the user asked for; None takes the default."""

    evolve: bool = False
    designer: str | None = None
    max_changes: int | None = None
    reflections: int | None = None
    trials: int | None = None
    patience: int | None = None
    max_evolves: int | None = None
    bias_updates: int | None = None
    refine_only: bool = False
    protect_seeds: bool = False


def with_evolution(manifest: "RunManifest", wishes: EvolutionWishes) -> "RunManifest":
    """Note in a run's manifest how its skills are to evolve.

    Raises:
        ConfigError: If options are given that mean nothing without --evolve, or the designer is no
            language model.
    """
    from langgraph_memskill.evolution.settings import EvolutionSettings
    from langgraph_memskill.trainers.stages import EvolutionPlan, StageSettings

    if not wishes.evolve:
        if wishes != EvolutionWishes():
            named = [
                f"--{item.name.replace('_', '-')}"
                for item in fields(wishes)
                if getattr(wishes, item.name) not in {None, False}
            ]
            raise ConfigError(f"{', '.join(named)} mean nothing without --evolve")
        return manifest
    from langgraph_memskill.models import is_extractive

    designer = wishes.designer or manifest.model
    if is_extractive(designer):
        raise ConfigError(
            "--evolve needs a language model as designer, which the extractive model is not: name "
            "one with --designer, such as --designer openai:gpt-4.1-mini"
        )
    usual, limits = EvolutionSettings(), StageSettings()
    settings = replace(
        usual,
        refine_only=wishes.refine_only,
        max_changes=_given(wishes.max_changes, usual.max_changes),
        reflection_rounds=_given(wishes.reflections, usual.reflection_rounds),
    )
    stages = StageSettings(
        trials=_given(wishes.trials, limits.trials),
        patience=_given(wishes.patience, limits.patience),
        max_evolves=_given(wishes.max_evolves, limits.max_evolves),
    )
    plan = EvolutionPlan(
        designer=designer, settings=settings, stages=stages, protect_seeds=wishes.protect_seeds
    )
    config = manifest.config
    if wishes.bias_updates is not None:
        config = replace(config, bias_updates=wishes.bias_updates)
    return replace(manifest, evolution=plan, config=config)


def open_evolution(plan: "EvolutionPlan", encoder: "TextEncoder", folder: Path) -> "SkillEvolution":
    """The evolution of a run, with its designer's model loaded.

    Raises:
        ConfigError: If the model is unknown or no designer.
    """
    from langgraph_memskill.models import load_model
    from langgraph_memskill.trainers.skill_evolution import SkillEvolution

    designer = load_model(plan.designer, encoder=encoder)
    return SkillEvolution.with_designer(plan, designer, encoder, folder)


def _given(wish: int | None, default: int) -> int:
    return default if wish is None else wish
