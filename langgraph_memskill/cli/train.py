"""`memskill train`: the commands that train the controller."""

from pathlib import Path
from typing import Annotated

import typer

from langgraph_memskill.cli.alfworld import AlfworldDataOption
from langgraph_memskill.cli.options import EncoderOption, JsonOption, ModelOption
from langgraph_memskill.cli.screen import Screen
from langgraph_memskill.cli.spreading import ExecutorOption, RayAddressOption, RayWorkersOption
from langgraph_memskill.cli.train_evolution import (
    BiasUpdatesOption,
    DesignerOption,
    EvolutionWishes,
    MaxChangesOption,
    MaxEvolvesOption,
    PatienceOption,
    ProtectSeedsOption,
    RefineOnlyOption,
    ReflectionsOption,
    TrialsOption,
)
from langgraph_memskill.cli.train_options import (
    ConfigOption,
    DeviceOption,
    EvolveOption,
    InstallOption,
    OutOption,
    ResumeOption,
    RunOptions,
    SettingsOption,
    TakeOption,
    TensorboardOption,
    WandbOption,
)

app = typer.Typer(no_args_is_help=True, help="Train the controller that picks the skills.")


@app.command()
def locomo(
    data: Annotated[Path | None, typer.Option(help="A LoCoMo-format file.")] = None,
    out: OutOption = Path("memskill-run"),
    resume: ResumeOption = None,
    config: ConfigOption = None,
    settings: SettingsOption = None,
    conversation: Annotated[
        list[str] | None,
        typer.Option(help="A conversation to train on.", show_default="the first six of the file"),
    ] = None,
    pack: Annotated[
        list[str] | None,
        typer.Option(help="Skill pack besides the seeds.", show_default="conversation"),
    ] = None,
    model: ModelOption = None,
    judge: Annotated[
        str | None,
        typer.Option(help="Model for reward=llm_judge.", show_default="the model itself"),
    ] = None,
    encoder: EncoderOption = None,
    device: DeviceOption = None,
    evolve: EvolveOption = False,
    designer: DesignerOption = None,
    max_changes: MaxChangesOption = None,
    reflections: ReflectionsOption = None,
    trials: TrialsOption = None,
    patience: PatienceOption = None,
    max_evolves: MaxEvolvesOption = None,
    bias_updates: BiasUpdatesOption = None,
    refine_only: RefineOnlyOption = False,
    protect_seeds: ProtectSeedsOption = False,
    install: InstallOption = None,
    take: TakeOption = "best",
    tensorboard: TensorboardOption = False,
    wandb: WandbOption = None,
    executor: ExecutorOption = "local",
    ray_address: RayAddressOption = None,
    ray_workers: RayWorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train on LoCoMo conversations: remember them with sampled skills, ask, learn.

    A run that was killed goes on with --resume FOLDER and ends as if it never had been.
    """
    from langgraph_memskill.cli.train_locomo import NewLocomoRun
    from langgraph_memskill.cli.train_run import train

    new = NewLocomoRun(
        data=data,
        config=config,
        settings=tuple(settings or ()),
        conversations=tuple(conversation or ()),
        packs=None if pack is None else tuple(pack),
        model=model,
        judge=judge,
        encoder=encoder,
    )
    options = RunOptions(
        out=out,
        resume=resume,
        device=device,
        wishes=EvolutionWishes(
            evolve=evolve,
            designer=designer,
            max_changes=max_changes,
            reflections=reflections,
            trials=trials,
            patience=patience,
            max_evolves=max_evolves,
            bias_updates=bias_updates,
            refine_only=refine_only,
            protect_seeds=protect_seeds,
        ),
        install=install,
        take=take,
        tensorboard=tensorboard,
        wandb=wandb,
        executor=executor,
        ray_address=ray_address,
        ray_workers=ray_workers,
    )
    given = (data, config, settings, conversation, pack, judge, encoder)
    train(Screen(as_json=as_json), options, new, task="locomo", has_settings=any(given))


@app.command()
def alfworld(
    context: typer.Context,
    data: AlfworldDataOption = None,
    trajectories: Annotated[
        Path | None,
        typer.Option(
            "--train",
            help="Trajectories to remember, of `memskill alfworld replay`.",
            show_default="the expert plays the games first",
        ),
    ] = None,
    train_games: Annotated[
        int | None,
        typer.Option(min=1, help="Only so many games, of every type in turn.", show_default="all"),
    ] = None,
    out: OutOption = Path("memskill-run"),
    resume: ResumeOption = None,
    config: ConfigOption = None,
    settings: SettingsOption = None,
    agent: Annotated[
        str | None,
        typer.Option(help="Who plays: similarity, or llm (--model).", show_default="similarity"),
    ] = None,
    pack: Annotated[
        list[str] | None,
        typer.Option(help="Skill pack besides the seeds.", show_default="embodied"),
    ] = None,
    model: ModelOption = None,
    encoder: EncoderOption = None,
    device: DeviceOption = None,
    evolve: EvolveOption = False,
    designer: DesignerOption = None,
    max_changes: MaxChangesOption = None,
    reflections: ReflectionsOption = None,
    trials: TrialsOption = None,
    patience: PatienceOption = None,
    max_evolves: MaxEvolvesOption = None,
    bias_updates: BiasUpdatesOption = None,
    refine_only: RefineOnlyOption = False,
    protect_seeds: ProtectSeedsOption = False,
    install: InstallOption = None,
    take: TakeOption = "best",
    tensorboard: TensorboardOption = False,
    wandb: WandbOption = None,
    executor: ExecutorOption = "local",
    ray_address: RayAddressOption = None,
    ray_workers: RayWorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train on ALFWorld's games: remember the expert's trajectories, play other games, learn.

    A run that was killed goes on with --resume FOLDER and ends as if it never had been.
    """
    from langgraph_memskill.cli.train_alfworld import NewAlfworldRun
    from langgraph_memskill.cli.train_run import train

    new = NewAlfworldRun(
        data=data,
        trajectories=trajectories,
        num_games=train_games,
        config=config,
        settings=tuple(settings or ()),
        agent=agent,
        packs=None if pack is None else tuple(pack),
        model=model,
        encoder=encoder,
    )
    options = RunOptions(
        out=out,
        resume=resume,
        device=device,
        wishes=EvolutionWishes(
            evolve=evolve,
            designer=designer,
            max_changes=max_changes,
            reflections=reflections,
            trials=trials,
            patience=patience,
            max_evolves=max_evolves,
            bias_updates=bias_updates,
            refine_only=refine_only,
            protect_seeds=protect_seeds,
        ),
        install=install,
        take=take,
        tensorboard=tensorboard,
        wandb=wandb,
        executor=executor,
        ray_address=ray_address,
        ray_workers=ray_workers,
    )
    # A variable of the environment is there for all commands, and is no wish about this run.
    source = context.get_parameter_source("data")
    is_data_named = source is not None and source.name == "COMMANDLINE"
    given = (is_data_named, trajectories, train_games, config, settings, agent, pack, encoder)
    train(Screen(as_json=as_json), options, new, task="alfworld", has_settings=any(given))
