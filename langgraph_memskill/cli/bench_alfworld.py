"""`memskill bench alfworld`: how far memories of other games help to solve a game."""

from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from langgraph_memskill.cli.alfworld import AlfworldDataOption
from langgraph_memskill.cli.bench_options import (
    CACHE,
    RUNS,
    AttemptsOption,
    CacheOption,
    ControllerOption,
    DryRunOption,
    LimitOption,
    MaxFailuresOption,
    OutOption,
    SeedOption,
    SkillsPerSpanOption,
    TopKOption,
    names_of_rows,
)
from langgraph_memskill.cli.options import (
    DtypeOption,
    EncoderOption,
    JsonOption,
    ModelOption,
    load_run_encoder,
)
from langgraph_memskill.cli.screen import Screen, counted, printable
from langgraph_memskill.cli.spreading import (
    ExecutorOption,
    RayAddressOption,
    RayWorkersOption,
    printing_aside,
)
from langgraph_memskill.cli.spreading import workers as ray_pool

if TYPE_CHECKING:
    from langgraph_memskill.alfworld.records import GameFile
    from langgraph_memskill.alfworld.replay import Records
    from langgraph_memskill.benchmarks.alfworld.material import PlayedGames
    from langgraph_memskill.benchmarks.alfworld.remote import GameSpread
    from langgraph_memskill.benchmarks.alfworld.run import AlfworldRun, Players
    from langgraph_memskill.benchmarks.alfworld.settings import AlfworldSettings
    from langgraph_memskill.benchmarks.run_log import MetricLog, RunLog
    from langgraph_memskill.embedding import TextEncoder


def alfworld(
    split: Annotated[
        str, typer.Option(help="Games to play: valid_seen or valid_unseen.")
    ] = "valid_seen",
    data: AlfworldDataOption = None,
    agent: Annotated[
        str, typer.Option(help="Who plays: similarity, random, expert or llm (--model).")
    ] = "similarity",
    rows: Annotated[
        str | None,
        typer.Option(
            help="Systems to compare, with commas: none, rag, random, similarity, controller.",
            show_default="all; controller with --controller; none for agents without memory",
        ),
    ] = None,
    train: Annotated[
        Path | None,
        typer.Option(
            help="Trajectories to remember, of `memskill alfworld replay`.",
            show_default="the expert plays --train-games",
        ),
    ] = None,
    train_games: Annotated[
        int, typer.Option(min=1, help="Training games that the expert plays without --train.")
    ] = 12,
    sample: Annotated[
        list[str] | None,
        typer.Option(help="Only this game, task folder or task type; may be repeated."),
    ] = None,
    limit: LimitOption = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Games side by side.",
            show_default="one a processor core, or one a Ray worker",
        ),
    ] = None,
    max_steps: Annotated[
        int, typer.Option(min=1, help="Commands of a game; one that is not solved counts as all.")
    ] = 50,
    model: ModelOption = None,
    encoder: EncoderOption = None,
    dtype: DtypeOption = "auto",
    controller: ControllerOption = None,
    skills: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a skill bank.", show_default="the seeds and the embodied pack"
        ),
    ] = None,
    span_tokens: Annotated[
        int, typer.Option(min=1, help="Tokens of the trajectories of a span.")
    ] = 1024,
    skills_per_span: SkillsPerSpanOption = 5,
    top_k: TopKOption = 20,
    seed: SeedOption = 0,
    attempts: AttemptsOption = 3,
    max_failures: MaxFailuresOption = 0.1,
    out: OutOption = None,
    cache: CacheOption = CACHE,
    dry_run: DryRunOption = False,
    executor: ExecutorOption = "local",
    ray_address: RayAddressOption = None,
    ray_workers: RayWorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """ALFWorld: household tasks in text, with memories of other games' trajectories.

    Memories are built once from training trajectories; then every game of the split is played for
    each row. A run that was interrupted goes on where it stopped if the same command is given
    again.
    """
    screen = Screen(as_json=as_json)
    with screen.busy("loading"):
        from langgraph_memskill.alfworld.engine import check_installed
        from langgraph_memskill.alfworld.games import data_folder
        from langgraph_memskill.alfworld.pool import default_workers
        from langgraph_memskill.benchmarks.alfworld.material import load_games, make_training
        from langgraph_memskill.benchmarks.alfworld.run import AlfworldRun
        from langgraph_memskill.benchmarks.alfworld.settings import AlfworldSettings

        check_installed()
        settings = AlfworldSettings(
            agent=agent,
            rows=_rows(rows, agent, controller, screen),
            max_steps=max_steps,
            workers=workers or default_workers(),
            skills_per_span=skills_per_span,
            top_k=top_k,
            span_tokens=span_tokens,
            controller=controller,
            skills=skills,
            seed=seed,
            attempts=attempts,
            max_failures=max_failures,
        )
        folder = data_folder(data)
        played = load_games(folder, split, limit, sample or ())
        players = _players(model, load_run_encoder(encoder, dtype), settings, screen)
    file: Path | None = None
    records: Records = {}
    missing: list[GameFile] = []
    if settings.needs_training:
        file, records, missing = _trajectories(train, folder, train_games, cache, played)
    names = _spread(players, settings, encoder) if executor == "ray" and not dry_run else None
    if missing and not dry_run:
        # What is wrong with a row is said before the expert plays for minutes.
        AlfworldRun(played, None, players, settings)
    place = nullcontext() if dry_run else ray_pool(executor, ray_address, ray_workers, screen)
    with place as pool:
        if file is not None and missing and not dry_run:
            records = _replayed(missing, file, settings.workers, screen)
        training = None
        if settings.needs_training and (records or not dry_run):
            training = make_training(records, span_tokens, played.games)
        spread = None
        if pool is not None and names is not None:
            spread = names(pool=pool)
            settings = replace(settings, workers=workers or pool.num_workers)
        benchmark = AlfworldRun(played, training, players, settings, spread=spread)
        named = out or RUNS / f"alfworld-{split}-{benchmark.id[:8]}"
        if dry_run:
            _show_estimate(screen, benchmark, (named, cache), len(missing))
            return
        _play(screen, benchmark, named, cache)


def _play(screen: Screen, benchmark: "AlfworldRun", folder: Path, cache: Path) -> None:
    from langgraph_memskill.benchmarks.run_log import LOG_FILE
    from langgraph_memskill.cli.bench_progress import watched
    from langgraph_memskill.cli.bench_table import summary

    with (
        printing_aside(is_needed=benchmark.place != "local"),
        watched(f"alfworld {benchmark.played.split}") as on_progress,
    ):
        log = benchmark.run(folder, cache, on_progress=on_progress)
    settings = log.settings
    trajectories = settings["training_trajectories"]
    remembered = f", {counted(trajectories, 'trajectory')} to remember" if trajectories else ""
    screen.show(
        f"ALFWorld: {log.data.split}, {counted(len(benchmark.played.games), 'game')}, agent "
        f"{settings['agent']}{remembered}; a game that was not solved counts as "
        f"{settings['max_steps']} steps",
        _table(log),
        *map(Text, _problems(log)),
        f"{log.times.seconds:.0f} s; everything is in {folder / LOG_FILE} "
        f"(memskill report {folder})",
    )
    screen.emit({"folder": str(folder), **summary(log)}, one_line=True)


def _rows(rows: str | None, agent: str, controller: Path | None, screen: Screen) -> tuple[str, ...]:
    from langgraph_memskill.benchmarks.alfworld.settings import (
        AGENTS,
        AGENTS_WITH_MEMORY,
        DEFAULT_ALFWORLD_ROWS,
    )

    if agent in AGENTS and agent not in AGENTS_WITH_MEMORY:
        if rows is not None and rows != "none":
            screen.note(f"The agent {agent} uses no memory: it has one row.")
        return ("none",)
    if rows is not None:
        return names_of_rows(rows)
    return DEFAULT_ALFWORLD_ROWS if controller is None else (*DEFAULT_ALFWORLD_ROWS, "controller")


def _players(
    model: str | None, vectors: "TextEncoder", settings: "AlfworldSettings", screen: Screen
) -> "Players":
    from langgraph_memskill.benchmarks.alfworld.run import Players
    from langgraph_memskill.benchmarks.running.models import NamedModel
    from langgraph_memskill.errors import ConfigError
    from langgraph_memskill.models import load_model

    if settings.agent == "llm" and model is None:
        raise ConfigError("the agent 'llm' needs a model: name one with --model")
    if model is None and settings.needs_training:
        screen.note("No model was named (--model): using the extractive model, a baseline.")
    spec = model or "extractive"
    return Players(
        executor=NamedModel(model=load_model(spec, encoder=vectors), spec=spec), encoder=vectors
    )


def _spread(
    players: "Players", settings: "AlfworldSettings", encoder: str | None
) -> "partial[GameSpread]":
    """What workers make by name, as `_players` does, to be given the workers."""
    from langgraph_memskill.benchmarks.alfworld.remote import GameSpread
    from langgraph_memskill.benchmarks.running.models import number_format
    from langgraph_memskill.workers.specs import EncoderSpec, ModelSpec

    return partial(
        GameSpread,
        player=ModelSpec(spec=players.executor.spec) if settings.agent == "llm" else None,
        encoder=EncoderSpec(spec=encoder, by_length=True, dtype=number_format(players.encoder)),
    )


def _trajectories(
    train: Path | None, data: Path, count: int, cache: Path, played: "PlayedGames"
) -> "tuple[Path, Records, list[GameFile]]":
    """The file with the training trajectories, what is in it, and what the expert is to add."""
    from langgraph_memskill.alfworld.games import list_games
    from langgraph_memskill.alfworld.replay import read_records
    from langgraph_memskill.benchmarks.alfworld.material import check_apart, some_of_each_type
    from langgraph_memskill.benchmarks.running.material import digest

    if train is not None:
        return train, read_records(train), []
    games = some_of_each_type(list_games(data, "train"), count)
    check_apart({game.id for game in games}, played.games)
    name = digest([str(data), [game.id for game in games]])[:8]
    file = cache / f"alfworld-train-{name}.json"
    records = read_records(file) if file.exists() else {}
    # What the expert failed in stays so: another try would be another run with other memories.
    return file, records, [g for g in games if (g.task_type, g.id) not in records]


def _replayed(games: "list[GameFile]", file: Path, workers: int, screen: Screen) -> "Records":
    """Let the expert play the training games."""
    from langgraph_memskill.alfworld.pool import EnginePool
    from langgraph_memskill.alfworld.replay import replay

    screen.note(
        f"No trajectories were named (--train): the expert plays {counted(len(games), 'game')} of "
        f"the split train, kept in {file}; take `memskill alfworld replay` for all."
    )
    with EnginePool() as pool, screen.progress() as show:
        return replay(
            games,
            file,
            pool,
            workers=workers,
            on_game=lambda done, total: show("training games", done, total),
        )


def _show_estimate(
    screen: Screen, run: "AlfworldRun", places: tuple[Path, Path], num_missing: int
) -> None:
    from langgraph_memskill.benchmarks.alfworld.estimate import estimate_games
    from langgraph_memskill.benchmarks.running.builds import BuildCache
    from langgraph_memskill.benchmarks.running.journal import Journal

    folder, cache = places
    rows = estimate_games(run, BuildCache(cache), Journal(folder, run.id))
    shown = Table(box=None, pad_edge=False)
    shown.add_column("system")
    counts = ("spans to read", "spans known", "games to play", "games played")
    for name in (*counts, "commands", "calls", "about tokens"):
        shown.add_column(name, justify="right")
    for row in rows:
        done = (row.spans, row.cached_spans, row.games, row.played)
        numbers = (*done, row.commands, row.calls, row.tokens)
        shown.add_row(row.row, *(f"{number:,}" for number in numbers))
    played = run.played
    lines = [
        f"ALFWorld: {played.split}, {counted(run.num_items, 'game')}: nothing was played or called",
        "Commands, calls and tokens are the most: a game that is solved takes fewer.",
    ]
    if num_missing:
        lines.append(
            f"Before that the expert would play {counted(num_missing, 'training game')}; spans are "
            "known after that."
        )
    screen.show(*lines, shown)
    screen.emit(
        {
            "task": "alfworld",
            "split": played.split,
            "training_games_to_play": num_missing,
            "rows": [asdict(row) for row in rows],
        },
        one_line=True,
    )


def _table(log: "RunLog") -> Table:
    """Success and steps of every row, by task type and overall."""
    shown = Table(box=None, pad_edge=False)
    shown.add_column("system", no_wrap=True)
    shown.add_column("task type", no_wrap=True)
    for name in ("games", "errors", "success", "steps"):
        shown.add_column(name, justify="right", no_wrap=True)
    for row in log.rows:
        for part in row.categories:
            shown.add_row(
                printable(row.title),
                part.category,
                str(part.items),
                str(part.failed),
                _interval(part.metrics["success"], 3),
                _interval(part.metrics["steps"], 1),
            )
    return shown


def _problems(log: "RunLog") -> list[str]:
    """What went wrong with games, a line each."""
    from langgraph_memskill.benchmarks.alfworld.playing import BROKEN_OFF

    lines = []
    for row in log.rows:
        for item in row.items:
            if item.error is not None:
                lines.append(f"error, in no mean: {row.name}: {item.id}: {item.error}")
            elif item.answer is not None and item.answer.startswith(BROKEN_OFF):
                lines.append(f"failure: {row.name}: {item.id}: {item.answer}")
    return [printable(line) for line in lines]


def _interval(metric: "MetricLog", digits: int) -> str:
    if metric.mean is None:
        return "-"
    return f"{metric.mean:.{digits}f} [{metric.low:.{digits}f}, {metric.high:.{digits}f}]"
