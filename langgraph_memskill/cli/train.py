"""`memskill train`: starts, resumes and watches training runs."""

import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.text import Text

from langgraph_memskill.cli.options import EncoderOption, JsonOption, ModelOption
from langgraph_memskill.cli.screen import Screen, counted, printable
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
    open_evolution,
    with_evolution,
)
from langgraph_memskill.errors import ConfigError

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from langgraph_memskill.embedding import TextEncoder
    from langgraph_memskill.trainers.config import TrainConfig
    from langgraph_memskill.trainers.installing import Installed
    from langgraph_memskill.trainers.loop import OnProgress, TrainProgress, TrainResult
    from langgraph_memskill.trainers.material import Scorer
    from langgraph_memskill.trainers.results import Take, TrainedController
    from langgraph_memskill.trainers.run_folder import RunManifest

app = typer.Typer(no_args_is_help=True, help="Train the controller that picks the skills.")

_EXTRACTIVE = "extractive"


@app.command()
def locomo(
    data: Annotated[Path | None, typer.Option(help="A LoCoMo-format file.")] = None,
    out: Annotated[Path, typer.Option(help="The folder of the run.")] = Path("memskill-run"),
    resume: Annotated[
        Path | None, typer.Option(help="Go on with the run in this folder, where it stopped.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML file with settings (see TrainConfig).")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="One setting, such as episodes=8 or ppo.learning_rate=3e-4."),
    ] = None,
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
    device: Annotated[
        str | None,
        typer.Option(
            help="Where updates are computed: 'cpu', 'cuda' ...; with --resume, too.",
            show_default="cpu, or as the run was started",
        ),
    ] = None,
    evolve: Annotated[
        bool, typer.Option("--evolve", help="Let a designer change the skills after every stage.")
    ] = False,
    designer: DesignerOption = None,
    max_changes: MaxChangesOption = None,
    reflections: ReflectionsOption = None,
    trials: TrialsOption = None,
    patience: PatienceOption = None,
    max_evolves: MaxEvolvesOption = None,
    bias_updates: BiasUpdatesOption = None,
    refine_only: RefineOnlyOption = False,
    protect_seeds: ProtectSeedsOption = False,
    install: Annotated[
        Path | None,
        typer.Option(help="Memory folder that is to use the trained controller and skills."),
    ] = None,
    take: Annotated[
        Literal["best", "last"],
        typer.Option(help="Which controller to install: the run's best one, or its last."),
    ] = "best",
    tensorboard: Annotated[bool, typer.Option(help="Write TensorBoard files, too.")] = False,
    wandb: Annotated[str | None, typer.Option(help="Project of Weights & Biases.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Train on LoCoMo conversations: remember them with sampled skills, ask, learn.

    A run that was killed goes on with --resume FOLDER and ends as if it never had been.
    """
    screen = Screen(as_json=as_json)
    from langgraph_memskill.models import is_extractive
    from langgraph_memskill.trainers.devices import usable_device
    from langgraph_memskill.trainers.metrics.writers import check_writers
    from langgraph_memskill.trainers.run_folder import only_process, read_manifest, write_manifest

    if take != "best" and install is None:
        raise ConfigError("--take says which controller --install takes: name a folder with it")
    check_writers(tensorboard=tensorboard, wandb_project=wandb)

    folder = out if resume is None else resume
    wishes = EvolutionWishes(
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
    )
    if resume is None:
        manifest = _manifest(
            data, config, settings or [], conversation or [], pack, model, judge, encoder
        )
        manifest = with_evolution(manifest, wishes)
    else:
        is_other = data or config or settings or conversation or pack or judge or encoder
        if is_other or wishes != EvolutionWishes():
            raise ConfigError(
                "--resume goes on with the run's own settings: leave all others out, or start a "
                "new run with --out"
            )
        manifest = read_manifest(resume)
    if device is not None:
        manifest = replace(manifest, config=replace(manifest.config, device=device))
    usable_device(manifest.config.device)
    with only_process(folder):
        if resume is None:
            write_manifest(folder, manifest)
        if is_extractive(manifest.model):
            screen.note("Training with the extractive model, a baseline without an LLM.")
        trained_with = _encoder(manifest.encoder)
        with _watched(screen, folder, manifest.config) as on_progress:
            result = _run(folder, manifest, trained_with, tensorboard, wandb, on_progress)
        _write_curves(folder)
        installed = None if install is None else _install(folder, take, install, trained_with)
    _report(screen, folder, manifest, result, install, installed)


def _manifest(
    data: Path | None,
    config: Path | None,
    settings: list[str],
    conversations: list[str],
    packs: list[str] | None,
    model: str | None,
    judge: str | None,
    encoder: str | None,
) -> "RunManifest":
    from langgraph_memskill.cli.train_locomo import file_hash, load_traces
    from langgraph_memskill.memory_folder import DEFAULT_PACKS
    from langgraph_memskill.models import is_extractive
    from langgraph_memskill.skills.bank import SkillBank
    from langgraph_memskill.trainers.config import read_config
    from langgraph_memskill.trainers.run_folder import RunManifest

    if data is None:
        raise ConfigError("name the file to train on with --data, or a run with --resume")
    read = read_config(config, settings)
    traces = load_traces(data, conversations, read.span_mode)
    chosen = DEFAULT_PACKS if packs is None else tuple(packs)
    if read.reward == "llm_judge" and is_extractive(judge or model or _EXTRACTIVE):
        raise ConfigError("reward=llm_judge needs an LLM: name one with --model or --judge")
    return RunManifest(
        run_id=uuid.uuid4().hex,
        task="locomo",
        data=str(data.absolute()),
        data_sha256=file_hash(data),
        trace_ids=tuple(trace.id for trace in traces),
        model=model or _EXTRACTIVE,
        judge=judge,
        encoder=encoder,
        packs=chosen,
        bank_version=SkillBank.seed(*chosen).version,
        config=read,
        package_version=version("langgraph-memskill"),
    )


def _run(
    folder: Path,
    manifest: "RunManifest",
    encoder: "TextEncoder",
    tensorboard: bool,
    wandb: str | None,
    on_progress: "OnProgress",
) -> "TrainResult":
    from langgraph_memskill.cli.train_locomo import file_hash, load_traces
    from langgraph_memskill.models import load_model, model_name
    from langgraph_memskill.skills.bank import SkillBank
    from langgraph_memskill.skills.packaged import SEED_NAMES
    from langgraph_memskill.trainers.loop import TrainingRun, TrainParts

    data = Path(manifest.data)
    if file_hash(data) != manifest.data_sha256:
        raise ConfigError(f"{data} is not the file that the run was started with: restore it")
    bank = SkillBank.seed(*manifest.packs)
    if bank.version != manifest.bank_version:
        raise ConfigError(
            "the packaged skills have changed since the run was started: start a new one"
        )
    chat_model = load_model(manifest.model, encoder=encoder)
    evolution = None
    if manifest.evolution is not None:
        evolution = open_evolution(manifest.evolution, encoder, folder)
        if manifest.evolution.protect_seeds:
            bank.protect(*SEED_NAMES)
    parts = TrainParts(
        model=chat_model,
        model_name=model_name(chat_model),
        encoder=encoder,
        bank=bank,
        traces=load_traces(data, manifest.trace_ids, manifest.config.span_mode),
        scorer=_scorer(manifest, chat_model),
        evolution=evolution,
        tensorboard=tensorboard,
        wandb_project=wandb,
    )
    run = TrainingRun(folder, manifest.config, parts, run_id=manifest.run_id)
    with nullcontext() if evolution is None else closing(evolution):
        run.resume()
        return run.run(on_progress)


def _scorer(manifest: "RunManifest", model: "BaseChatModel") -> "Scorer":
    from langgraph_memskill.cli.train_locomo import make_scorer
    from langgraph_memskill.models import load_model
    from langgraph_memskill.trainers.judging import judge_scorer

    if manifest.config.reward != "llm_judge":
        return make_scorer(manifest.config.reward)
    return judge_scorer(model if manifest.judge is None else load_model(manifest.judge))


def _encoder(spec: str | None) -> "TextEncoder":
    """An encoder whose vectors do not depend on the texts beside them, for repeatable runs."""
    from langgraph_memskill.embedding import load_encoder

    return load_encoder(spec, batch_size=1)


def _install(folder: Path, take: "Take", memory: Path, encoder: "TextEncoder") -> "Installed":
    from langgraph_memskill.trainers.installing import install_controller
    from langgraph_memskill.trainers.results import result_folders

    controller, skills = result_folders(folder, take)
    return install_controller(controller, skills, memory, encoder)


def _write_curves(folder: Path) -> None:
    from langgraph_memskill.errors import MissingDependencyError
    from langgraph_memskill.trainers.metrics.curves import write_curves
    from langgraph_memskill.trainers.metrics.writers import CURVES_FILE, METRICS_FILE

    try:
        write_curves(folder / METRICS_FILE, folder / CURVES_FILE)
    except MissingDependencyError:
        return  # `memskill curves` says what to install


@contextmanager
def _watched(screen: Screen, folder: Path, config: "TrainConfig") -> "Iterator[OnProgress]":
    """A status line on a terminal: reward, cost so far, time left; elsewhere a line a stage."""
    place = quote(str(folder))
    with screen.live_line() as show:

        def watch(progress: "TrainProgress") -> None:
            show(_status(progress))
            if not screen.is_terminal and progress.step % config.inner_epochs == 0:
                screen.note(_status(progress))

        try:
            yield watch
        except KeyboardInterrupt:
            screen.note(f"Stopped; go on with: memskill train locomo --resume {place}")
            raise


def _status(progress: "TrainProgress") -> str:
    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    failed = f", {counted(progress.failed_episodes, 'failed episode')}"
    return (
        f"update {progress.step} of {progress.num_updates}, stage {progress.outer_epoch + 1}: "
        f"reward {number(progress.reward)} (recent mean {number(progress.recent_reward)}), "
        f"{progress.usage.calls:,} calls, {progress.usage.tokens:,} tokens"
        f"{failed if progress.failed_episodes else ''}, "
        f"{_minutes(progress.seconds)} gone, about {_minutes(progress.seconds_left)} left"
    )


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _report(
    screen: Screen,
    folder: Path,
    manifest: "RunManifest",
    result: "TrainResult",
    install: Path | None,
    installed: "Installed | None",
) -> None:
    from langgraph_memskill.state import dump

    state, results = result.state, result.results
    short = replace(state, bank={}, evolution={}, stage_rewards=())
    screen.emit(
        {
            "run": str(folder),
            "run_id": manifest.run_id,
            "controller_version": results.best.version,
            "controller": str(folder / "controller"),
            "results": dump(results),
            "installed": None if install is None else str(install),
            "installation": None if installed is None else dump(installed),
            "state": dump(short),
        }
    )
    place = printable(quote(str(folder)))
    screen.show(
        Text(
            f"Trained: {counted(state.step, 'update')}, {counted(state.episodes, 'episode')}, "
            f"{counted(state.failed_episodes, 'failed episode')}, {state.usage.calls:,} calls, "
            f"{_minutes(state.seconds)}.",
            style="bold",
        ),
        Text(f"  best        {place}/controller: {_described(results.best)}"),
        Text(f"              {results.reason}", style="dim"),
        Text(f"  last        {place}/last/controller: {_described(results.last)}"),
        Text(f"  metrics     {place}/metrics.jsonl, {place}/curves.html"),
        Text(f"  traces      memskill traces show {place}/traces"),
    )
    if manifest.evolution is not None:
        screen.show(Text(f"  skills      memskill skills log --folder {place}"))
    if install is None or installed is None:
        resume = f"memskill train locomo --resume {place}"
        screen.show(Text(f"  to use it   {resume} --install MEMDIR [--take last]"))
        return
    screen.show(
        Text(
            f"  in use by   {printable(quote(str(install)))}: controller {installed.change.version}"
        )
    )
    if installed.reworded and installed.skills_before is not None:
        screen.note(
            f"{counted(len(installed.reworded), 'skill')} of the memory got the trained wording "
            f"({', '.join(installed.reworded)}); the earlier one is kept as version "
            f"v{installed.skills_before.number} of its skills."
        )


def _described(controller: "TrainedController") -> str:
    reward = "-" if controller.reward is None else f"{controller.reward:.3f}"
    return f"{controller.version}, after update {controller.step}, recent reward {reward}"
