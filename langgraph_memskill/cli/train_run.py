"""Starting, resuming and watching a training run, whatever it trains on."""

from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from rich.text import Text

from langgraph_memskill.cli.options import load_run_encoder
from langgraph_memskill.cli.screen import Screen, counted, printable
from langgraph_memskill.cli.spreading import printing_aside, workers
from langgraph_memskill.cli.train_evolution import EvolutionWishes, open_evolution, with_evolution
from langgraph_memskill.cli.train_options import RunOptions
from langgraph_memskill.cli.train_tasks import NewRun, episode_recipe, open_episodes
from langgraph_memskill.errors import ConfigError

if TYPE_CHECKING:
    from langgraph_memskill.embedding import TextEncoder
    from langgraph_memskill.trainers.installing import Installed
    from langgraph_memskill.trainers.loop import OnProgress, TrainProgress, TrainResult
    from langgraph_memskill.trainers.remote_rollouts import Rollouts
    from langgraph_memskill.trainers.results import Take, TrainedController
    from langgraph_memskill.trainers.run_folder import RunManifest


def train(
    screen: Screen, options: RunOptions, new: NewRun, *, task: str, has_settings: bool
) -> None:
    """Start a run, or go on with one, and report what came of it.

    Args:
        screen: For progress and report.
        options: What the user wants.
        new: How a new run is started.
        task: What the command trains on.
        has_settings: Whether the user gave settings that only a new run takes.

    Raises:
        MemSkillError: If the run cannot be started or fails.
    """
    from langgraph_memskill.models import is_extractive
    from langgraph_memskill.trainers.devices import usable_device
    from langgraph_memskill.trainers.metrics.writers import check_writers
    from langgraph_memskill.trainers.run_folder import check_unused, only_process, write_manifest

    check_writers(tensorboard=options.tensorboard, wandb_project=options.wandb)
    folder = options.folder
    if options.resume is None:
        manifest = with_evolution(new.manifest(), options.wishes)
    else:
        manifest = _resumed(options, task=task, has_settings=has_settings)
    if options.device is not None:
        manifest = replace(manifest, config=replace(manifest.config, device=options.device))
    usable_device(manifest.config.device)
    with only_process(folder):
        if options.resume is None:
            check_unused(folder)
        encoder = load_run_encoder(manifest.encoder)
        spread = None if options.executor == "local" else _spread(manifest, encoder)
        # What is wrong with the cluster is said before the run begins, which may take minutes.
        with workers(options.executor, options.ray_address, options.ray_workers, screen) as pool:
            if options.resume is None:
                manifest = new.prepare(folder, manifest, screen)
                write_manifest(folder, manifest)
            if is_extractive(manifest.model):
                screen.note("Training with the extractive model, a baseline without an LLM.")
            rollouts = None if pool is None or spread is None else spread(pool=pool)
            with (
                printing_aside(is_needed=pool is not None),
                _watched(screen, folder, manifest) as on_progress,
            ):
                result = _run(folder, manifest, encoder, options, rollouts, on_progress)
        _write_curves(folder)
        installed = None
        if options.install is not None:
            installed = _install(folder, options.take, options.install, encoder)
    _report(screen, folder, manifest, result, options.install, installed)


def _resumed(options: RunOptions, *, task: str, has_settings: bool) -> "RunManifest":
    from langgraph_memskill.trainers.run_folder import read_manifest

    if has_settings or options.wishes != EvolutionWishes():
        raise ConfigError(
            "--resume goes on with the run's own settings: leave all others out, or start a "
            "new run with --out"
        )
    manifest = read_manifest(options.folder)
    if manifest.task != task:
        raise ConfigError(
            f"{options.folder} holds a run over {manifest.task}: go on with "
            f"memskill train {manifest.task} --resume {options.folder}"
        )
    return manifest


def _run(
    folder: Path,
    manifest: "RunManifest",
    encoder: "TextEncoder",
    options: RunOptions,
    rollouts: "Rollouts | None",
    on_progress: "OnProgress",
) -> "TrainResult":
    from langgraph_memskill.models import load_model, model_name
    from langgraph_memskill.skills.bank import SkillBank
    from langgraph_memskill.skills.packaged import SEED_NAMES
    from langgraph_memskill.trainers.loop import TrainingRun, TrainParts

    model = load_model(manifest.model, encoder=encoder)
    episodes = open_episodes(folder, manifest, model, encoder)
    bank = SkillBank.seed(*manifest.packs)
    if bank.version != manifest.bank_version:
        raise ConfigError(
            "the packaged skills have changed since the run was started: start a new one"
        )
    evolution = None
    if manifest.evolution is not None:
        evolution = open_evolution(manifest.evolution, encoder, folder)
        if manifest.evolution.protect_seeds:
            bank.protect(*SEED_NAMES)
    parts = TrainParts(
        model=model,
        model_name=model_name(model),
        encoder=encoder,
        bank=bank,
        episodes=episodes,
        evolution=evolution,
        rollouts=rollouts,
        tensorboard=options.tensorboard,
        wandb_project=options.wandb,
    )
    run = TrainingRun(folder, manifest.config, parts, run_id=manifest.run_id)
    with nullcontext() if evolution is None else closing(evolution):
        run.resume()
        return run.run(on_progress)


def _spread(manifest: "RunManifest", encoder: "TextEncoder") -> "partial[Rollouts]":
    """What workers make by name, as this process does, to be given the workers."""
    from langgraph_memskill.benchmarks.running.models import number_format
    from langgraph_memskill.sentence_models import usual_dtype
    from langgraph_memskill.trainers.remote_rollouts import Rollouts
    from langgraph_memskill.workers.specs import EncoderSpec, ModelSpec

    return partial(
        Rollouts,
        kind=episode_recipe(manifest),
        model=ModelSpec(spec=manifest.model),
        encoder=EncoderSpec(
            spec=manifest.encoder,
            by_length=True,
            dtype=number_format(encoder) or usual_dtype(),
        ),
    )


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
def _watched(screen: Screen, folder: Path, manifest: "RunManifest") -> "Iterator[OnProgress]":
    """A status line on a terminal: reward, cost so far, time left; elsewhere a line a stage."""
    place, task = quote(str(folder)), manifest.task
    with screen.live_line() as show:

        def watch(progress: "TrainProgress") -> None:
            show(_status(progress))
            if not screen.is_terminal and progress.step % manifest.config.inner_epochs == 0:
                screen.note(_status(progress))

        try:
            yield watch
        except KeyboardInterrupt:
            screen.note(f"Stopped; go on with: memskill train {task} --resume {place}")
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
        resume = f"memskill train {manifest.task} --resume {place}"
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
