"""`memskill fit` and `memskill evaluate-policy`: training on recorded traces alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from rich.table import Table
from rich.text import Text

from langgraph_memskill.cli.controller import controller_versions
from langgraph_memskill.cli.options import JsonOption, read_fingerprint
from langgraph_memskill.cli.screen import Screen, counted
from langgraph_memskill.cli.traces import note_skipped
from langgraph_memskill.errors import CheckpointError, TraceError

if TYPE_CHECKING:
    from langgraph_memskill.controller.files import StoredController
    from langgraph_memskill.trainers.fitting import FitConfig, FitReport
    from langgraph_memskill.trainers.logged import LoggedData, LoggedEpisode
    from langgraph_memskill.trainers.off_policy import PolicyEvaluation

DEFAULT_HOLDOUT = 0.2

TracesOption = Annotated[Path, typer.Option("--traces", help="A folder of traces.")]


def fit(
    traces: TracesOption,
    out: Annotated[Path, typer.Option("--out", help="Folder for the new controller.")],
    controller: Annotated[
        Path | None,
        typer.Option(help="Folder of the controller to start from.", show_default="fresh weights"),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="'ppo', 'weighted-ppo' or 'awr'.",
            show_default="by how far the policy is from the recorded one",
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(help="Passes of the method at most.")] = 20,
    learning_rate: Annotated[float, typer.Option(help="Of Adam.")] = 1e-3,
    holdout: Annotated[
        float,
        typer.Option(help="Share of the episodes that is kept for evaluate-policy, in [0, 1]."),
    ] = DEFAULT_HOLDOUT,
    seed: Annotated[int, typer.Option(help="Of the order of the steps and of fresh weights.")] = 0,
    device: Annotated[str, typer.Option(help="'cpu', 'cuda' ...")] = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Train a controller on recorded traces alone."""
    from langgraph_memskill.controller.files import save_controller
    from langgraph_memskill.state import dump
    from langgraph_memskill.trainers.fitting import fit as train

    screen = Screen(as_json=as_json)
    config = _config(method, rounds, learning_rate)
    job = _read_job(traces, controller, seed)
    episodes, _ = _split(job.data.episodes, holdout)
    with screen.progress() as advance:
        done: list[object] = []

        def on_round(entry: object) -> None:
            done.append(entry)
            advance("fitting", len(done), config.rounds)

        report = train(
            job.start.policy, episodes, config, seed=seed, device=device, on_round=on_round
        )
    settings = job.start.settings
    saved = save_controller(
        out,
        job.start.policy,
        encoder_name=settings.encoder,
        fusion=settings.fusion,
        tau=settings.tau,
        k=max(len(step.chosen) for episode in episodes for step in episode.steps),
        notes={
            "fit": {
                "from": settings.version,
                "traces": str(traces),
                "episodes": report.episodes,
                "holdout": holdout,
                "reason": report.reason,
                "seed": seed,
            }
        },
    )
    screen.emit(
        {"out": str(out), "version": saved.version, "report": dump(report)}
        | {"skipped": [dump(entry) for entry in job.data.skipped]}
    )
    _show_fit(screen, report)
    screen.show(Text(f"controller {saved.version} in {out}", style="dim"))
    note_skipped(screen, job.data.skipped)


def evaluate_policy(
    traces: TracesOption,
    controller: Annotated[Path, typer.Option(help="Folder of the controller to judge.")],
    holdout: Annotated[
        float | None,
        typer.Option(
            help="Share of the episodes to judge by; 1 takes all, also those it was trained on.",
            show_default="what fit left out, or all if fit did not make it",
        ),
    ] = None,
    promote: Annotated[
        Path | None,
        typer.Option(help="Memory folder that is to use the controller if it is shown better."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Promote it whatever the estimate says.")
    ] = False,
    resamples: Annotated[int, typer.Option(help="Of the bootstrap.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Estimate what a controller would have scored on recorded traces, and promote it."""
    from langgraph_memskill.state import dump
    from langgraph_memskill.trainers.off_policy import EvaluationConfig
    from langgraph_memskill.trainers.off_policy import evaluate_policy as estimate

    screen = Screen(as_json=as_json)
    if promote is not None:
        _check_fits(promote, controller)
    job = _read_job(traces, controller, 0)
    share = _trained_holdout(job.start) if holdout is None else holdout
    _, episodes = _split(job.data.episodes, share)
    found: PolicyEvaluation | None = None
    try:
        with screen.busy("estimating"):
            config = EvaluationConfig(resamples=resamples, seed=seed)
            found = estimate(job.start.policy, episodes, config)
        objection = found.objection
        _show_evaluation(screen, found)
    except TraceError as error:
        if promote is None or not force:
            raise
        objection = str(error)
        screen.note(objection)
    note_skipped(screen, job.data.skipped)
    promoted = promote is not None and (force or objection is None)
    screen.emit(
        {
            "version": job.start.settings.version,
            "evaluation": None if found is None else dump(found),
            "objection": objection,
            "promoted": promoted,
            "skipped": [dump(entry) for entry in job.data.skipped],
        }
    )
    if promote is not None and not promoted:
        screen.error(f"not promoted: {objection}. --force promotes it all the same")
        raise typer.Exit(1)
    if promote is not None:
        note = ("forced; " if objection is not None else "") + _in_short(found)
        change = controller_versions(promote).promote(controller, note=note)
        screen.show(f"promoted: {change.previous} → {change.version}")


class _Job(NamedTuple):
    start: "StoredController"
    data: "LoggedData"


def _config(method: str | None, rounds: int, learning_rate: float) -> "FitConfig":
    from langgraph_memskill.errors import ConfigError
    from langgraph_memskill.trainers.fitting import FitConfig, FitMethod
    from langgraph_memskill.trainers.ppo import PPOConfig

    try:
        chosen = None if method is None else FitMethod(method)
    except ValueError as error:
        known = ", ".join(FitMethod)
        raise ConfigError(f"--method {method!r} is none of {known}") from error
    return FitConfig(method=chosen, rounds=rounds, ppo=PPOConfig(learning_rate=learning_rate))


def _read_job(traces: Path, controller: Path | None, seed: int) -> _Job:
    """The controller to start from, and the episodes that fit it."""
    from langgraph_memskill.controller.files import read_controller
    from langgraph_memskill.traces.reader import TraceReader
    from langgraph_memskill.trainers.logged import Inputs, fresh_controller, read_logged

    if controller is not None:
        start = read_controller(controller)
        inputs = Inputs.of_controller(start.settings)
    else:
        inputs = Inputs.of_traces(TraceReader(traces))
        start = fresh_controller(inputs, seed=seed)
    return _Job(start, read_logged(TraceReader(traces), inputs))


def _split(
    episodes: "tuple[LoggedEpisode, ...]", share: float
) -> "tuple[tuple[LoggedEpisode, ...], tuple[LoggedEpisode, ...]]":
    from langgraph_memskill.trainers.logged import split_held_out

    return split_held_out(episodes, share)


def _trained_holdout(start: "StoredController") -> float:
    """What fit left out when it made the controller."""
    notes = start.settings.notes.get("fit")
    share = notes.get("holdout") if isinstance(notes, dict) else None
    return float(share) if isinstance(share, int | float) else 1.0


def _check_fits(folder: Path, controller: Path) -> None:
    from langgraph_memskill.cli.options import check_exists
    from langgraph_memskill.controller.files import read_controller

    check_exists(folder)
    name, dims = read_fingerprint(folder)
    settings = read_controller(controller).settings
    if (settings.encoder, settings.op_dim) != (name, dims):
        raise CheckpointError(
            f"the controller is made for the encoder {settings.encoder!r} (width "
            f"{settings.op_dim}), the memory in {str(folder)!r} for {name!r} (width {dims})"
        )


def _show_fit(screen: Screen, report: "FitReport") -> None:
    screen.show(
        f"{counted(report.episodes, 'episode')}, {counted(report.steps, 'step')}, "
        f"mean reward {report.mean_reward:.3f}",
        Text(report.reason),
    )
    table = Table.grid(padding=(0, 2))
    table.add_row("round", "method", "loss", "effective", "KL", style="dim")
    for number, entry in enumerate(report.rounds, 1):
        table.add_row(
            str(number),
            entry.method.value,
            f"{entry.loss:.4f}",
            f"{entry.shift.ess_share:.0%}" if entry.shift.sampled_steps else "-",
            f"{entry.shift.kl:.4f}" if entry.shift.sampled_steps else "-",
        )
    screen.show(table)


def _show_evaluation(screen: Screen, found: "PolicyEvaluation") -> None:
    table = Table.grid(padding=(0, 2))
    table.add_row("", "estimate", f"{found.confidence:.0%} interval", style="dim")
    rows = {
        "recorded policy": found.logged,
        "weighted importance sampling": found.weighted_importance_sampling,
        "doubly robust": found.doubly_robust,
    }
    for name, estimate in rows.items():
        table.add_row(name, f"{estimate.value:.3f}", f"{estimate.low:.3f} to {estimate.high:.3f}")
    left_out = found.unsampled_episodes
    screen.show(
        table,
        f"{counted(found.episodes, 'episode')}, {found.ess:.1f} of them effective"
        + (f"; {left_out} left out, whose choices were not drawn" if left_out else ""),
        Text("better than the recorded policy" if found.objection is None else found.objection),
    )


def _in_short(found: "PolicyEvaluation | None") -> str:
    if found is None:
        return "no estimate"
    value, low, high = found.doubly_robust
    return f"doubly robust {value:.3f} ({low:.3f} to {high:.3f}), recorded {found.logged.value:.3f}"
