"""`memskill bench`: compares memory systems on public benchmarks."""

import inspect
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langgraph_memskill.cli.bench_alfworld import alfworld
from langgraph_memskill.cli.bench_cases import check_place, keep_cases
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
from langgraph_memskill.cli.data import DATA_FOLDER
from langgraph_memskill.cli.options import (
    DtypeOption,
    EncoderOption,
    JsonOption,
    ModelOption,
    load_run_encoder,
)
from langgraph_memskill.cli.screen import Screen, counted
from langgraph_memskill.cli.spreading import (
    ExecutorOption,
    RayAddressOption,
    RayWorkersOption,
    printing_aside,
    workers,
)
from langgraph_memskill.errors import ConfigError

if TYPE_CHECKING:
    from langgraph_memskill.benchmarks.running.prices import PriceTable
    from langgraph_memskill.benchmarks.running.remote import Spread
    from langgraph_memskill.benchmarks.running.run import BenchmarkRun, Models
    from langgraph_memskill.benchmarks.running.settings import RunSettings
    from langgraph_memskill.benchmarks.task import Task
    from langgraph_memskill.embedding import TextEncoder
    from langgraph_memskill.workers.pool import WorkerPool

READER_KEYS = "MEMSKILL_READER_API_KEY"
JUDGE_KEYS = "MEMSKILL_JUDGE_API_KEY"

app = typer.Typer(no_args_is_help=True, help="Compare memory systems on public benchmarks.")


def run(
    task_name: Annotated[str, typer.Argument(metavar="TASK", help="A name, or MODULE:TASK.")],
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="The benchmark's file, or a folder that holds it; may be repeated.",
            show_default="data/TASK, where memskill data get puts it",
        ),
    ] = None,
    rows: Annotated[
        str | None,
        typer.Option(
            help="Systems to compare, with commas: none, full, rag, random, all, similarity, "
            "controller, langmem.",
            show_default="all but langmem; controller with --controller",
        ),
    ] = None,
    model: ModelOption = None,
    reader: Annotated[
        str | None,
        typer.Option(
            help=f"Model that answers the questions, for all rows; keys in {READER_KEYS}.",
            show_default="--model",
        ),
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            help=f"Model that judges the answers; keys in {JUDGE_KEYS}.",
            show_default="none: no judge",
        ),
    ] = None,
    encoder: EncoderOption = None,
    dtype: DtypeOption = "auto",
    controller: ControllerOption = None,
    skills: Annotated[
        Path | None,
        typer.Option(help="Folder of a skill bank.", show_default="the seeds and a pack"),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="train, val, test or all.", show_default="the benchmark's test part"),
    ] = None,
    split_file: Annotated[
        Path | None, typer.Option(help="JSON with lists of positions: train, val, test.")
    ] = None,
    sample: Annotated[
        list[str] | None, typer.Option(help="Only this sample; may be repeated.")
    ] = None,
    limit: LimitOption = None,
    span_mode: Annotated[
        str | None,
        typer.Option(
            help="turn, turn-pair, full-session, fixed-length or paragraph.",
            show_default="the benchmark's",
        ),
    ] = None,
    span_tokens: Annotated[int, typer.Option(min=1, help="Upper length of a span.")] = 1024,
    span_workers: Annotated[
        int, typer.Option(min=1, help="Spans of a sample read side by side, and merged.")
    ] = 1,
    skills_per_span: SkillsPerSpanOption = 5,
    top_k: TopKOption = 20,
    product: Annotated[
        bool,
        typer.Option(
            "--product",
            help="Build and search as the package does by default (hybrid search), not as METHOD.",
        ),
    ] = False,
    context_tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Tokens that the row 'full' shows, the latest ones."),
    ] = None,
    seed: SeedOption = 0,
    concurrency: Annotated[
        int, typer.Option(min=1, help="Samples and questions worked on side by side.")
    ] = 8,
    executor: ExecutorOption = "local",
    ray_address: RayAddressOption = None,
    ray_workers: RayWorkersOption = None,
    attempts: AttemptsOption = 3,
    max_failures: MaxFailuresOption = 0.1,
    prices: Annotated[
        Path | None,
        typer.Option(help="JSON or TOML: input and output price per million tokens, by model."),
    ] = None,
    out: OutOption = None,
    cache: CacheOption = CACHE,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Build memories anew although they are kept.")
    ] = False,
    hard_cases: Annotated[
        Path | None,
        typer.Option(
            help="A memory folder: questions that were answered badly become its hard cases, "
            "from which memskill evolve changes its skills.",
            show_default="none",
        ),
    ] = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run the benchmark."""
    screen = Screen(as_json=as_json)
    with screen.busy("loading"):
        from langgraph_memskill.benchmarks.registry import get_task
        from langgraph_memskill.benchmarks.running.prices import read_prices
        from langgraph_memskill.benchmarks.running.settings import DEFAULT_ROWS, RunSettings

        names = DEFAULT_ROWS if controller is None else (*DEFAULT_ROWS, "controller")
        settings = RunSettings(
            rows=names if rows is None else names_of_rows(rows),
            split=split,
            split_file=split_file,
            samples=tuple(sample or ()),
            limit=limit,
            span_mode=_mode(span_mode),
            span_tokens=span_tokens,
            # Not below the default's share where spans are shorter.
            span_overlap=min(128, span_tokens // 8),
            skills_per_span=skills_per_span,
            top_k=top_k,
            span_workers=span_workers,
            product=product,
            context_tokens=context_tokens,
            controller=controller,
            skills=skills,
            seed=seed,
            attempts=attempts,
            concurrency=concurrency,
            max_failures=max_failures,
            rebuild=rebuild,
        )
        if ":" in task_name and os.getcwd() not in sys.path:
            # A script's path lacks the folder that it is called in; last, to hide no other module.
            sys.path.append(os.getcwd())
        task = get_task(task_name)
        files = _files(task, data)
        if out is not None and len(files) > 1:
            raise ConfigError("--out names the folder of one run: name one file with it")
        table = None if prices is None else read_prices(prices)
        models = _models(model, reader, judge, load_run_encoder(encoder, dtype), screen)
    place = nullcontext() if dry_run else workers(executor, ray_address, ray_workers, screen)
    with place as pool:
        spread = None if pool is None else _spread(pool, task_name, models, encoder)
        for file in files:
            with screen.busy(f"reading {file.name}"):
                benchmark = _benchmark(task, file, models, settings, table, spread)
            if hard_cases is not None:
                check_place(hard_cases, benchmark, screen)
            folder = out or RUNS / f"{task.name}-{file.stem}-{benchmark.id[:8]}"
            if dry_run:
                _show_estimate(screen, benchmark, folder, cache)
                continue
            _play(screen, benchmark, folder, cache, hard_cases)


def _play(
    screen: Screen, benchmark: "BenchmarkRun", folder: Path, cache: Path, hard_cases: Path | None
) -> None:
    from langgraph_memskill.benchmarks.run_log import LOG_FILE
    from langgraph_memskill.cli.bench_progress import watched
    from langgraph_memskill.cli.bench_table import summary, table

    data = benchmark.data
    is_spread = benchmark.place != "local"
    with (
        printing_aside(is_needed=is_spread),
        watched(f"{data.log.task} {data.log.file}") as on_progress,
    ):
        log = benchmark.run(folder, cache, on_progress=on_progress)
    screen.show(
        f"{benchmark.task.title}: {data.log.file}, split {data.log.split}, "
        f"{counted(len(data.materials), 'sample')}, {counted(data.num_questions, 'question')}",
        table(log),
        f"{log.times.seconds:.0f} s; everything is in {folder / LOG_FILE} "
        f"(memskill report {folder})",
    )
    kept = {} if hard_cases is None else keep_cases(hard_cases, log, cache, screen)
    document = {"folder": str(folder), **summary(log)}
    screen.emit(document | ({"hard_cases": kept} if kept else {}), one_line=True)


def _benchmark(
    task: "Task",
    file: Path,
    models: "Models",
    settings: "RunSettings",
    prices: "PriceTable | None",
    spread: "Spread | None",
) -> "BenchmarkRun":
    from langgraph_memskill.benchmarks.running.material import load_data
    from langgraph_memskill.benchmarks.running.run import BenchmarkRun

    data = load_data(task, file, settings)
    return BenchmarkRun(task, data, models, settings, prices=prices, spread=spread)


def _spread(pool: "WorkerPool", task: str, models: "Models", encoder: str | None) -> "Spread":
    """What workers make by name, as `_models` does."""
    from langgraph_memskill.benchmarks.running.models import number_format
    from langgraph_memskill.benchmarks.running.remote import Spread
    from langgraph_memskill.workers.specs import EncoderSpec, ModelSpec

    executor = ModelSpec(spec=models.executor.spec)
    reader, judge = models.reader, models.judge
    return Spread(
        pool=pool,
        task=task,
        executor=executor,
        reader=executor
        if reader is models.executor
        else ModelSpec(spec=reader.spec, key_variable=READER_KEYS),
        judge=None if judge is None else ModelSpec(spec=judge.spec, key_variable=JUDGE_KEYS),
        encoder=EncoderSpec(spec=encoder, by_length=True, dtype=number_format(models.encoder)),
    )


def _show_estimate(screen: Screen, benchmark: "BenchmarkRun", folder: Path, cache: Path) -> None:
    from langgraph_memskill.benchmarks.running.builds import BuildCache
    from langgraph_memskill.benchmarks.running.estimate import estimate
    from langgraph_memskill.benchmarks.running.journal import Journal
    from langgraph_memskill.cli.bench_table import estimates

    rows = estimate(benchmark, BuildCache(cache), Journal(folder, benchmark.id))
    log = benchmark.data.log
    lines = [f"{log.task} {log.file}, split {log.split}: nothing was called"]
    if any(row.answered or row.cached_spans for row in rows):
        lines.append(f"What is done already is not counted: answers in {folder}, spans in {cache}.")
    screen.show(*lines, estimates(rows))
    screen.emit(
        {"task": log.task, "file": log.file, "rows": [asdict(row) for row in rows]}, one_line=True
    )


def _models(
    model: str | None, reader: str | None, judge: str | None, vectors: "TextEncoder", screen: Screen
) -> "Models":
    from langgraph_memskill.benchmarks.running.models import NamedModel
    from langgraph_memskill.benchmarks.running.run import Models
    from langgraph_memskill.models import load_model

    def named(spec: str, **options: Any) -> NamedModel:
        return NamedModel(model=load_model(spec, encoder=vectors, **options), spec=spec)

    if model is None:
        screen.note("No model was named (--model): using the extractive model, a baseline.")
    executor = named(model or "extractive")
    return Models(
        executor=executor,
        reader=executor if reader is None else named(reader, key_variable=READER_KEYS),
        judge=None if judge is None else named(judge, key_variable=JUDGE_KEYS),
        encoder=vectors,
    )


def _files(task: "Task", places: list[Path] | None) -> list[Path]:
    from langgraph_memskill.benchmarks.official_data import DATA_SETS

    fetch = f"memskill data get {task.name}" if task.name in DATA_SETS else ""
    if not places:
        places = [DATA_FOLDER / task.name]
        if not places[0].is_dir():
            raise ConfigError(
                f"no data was named, and there is no folder {places[0]}: name a file or folder "
                f"with --data{f', or fetch it: {fetch}' * bool(fetch)}"
            )
    files: list[Path] = []
    for place in places:
        if place.is_dir():
            found = [place / name for name in task.files if (place / name).is_file()]
            if not found:
                raise ConfigError(
                    f"the folder {place} holds none of the files of {task.name} "
                    f"({', '.join(task.files)}): name the file itself"
                )
            files += found
        elif place.exists():
            files.append(place)
        else:
            raise ConfigError(
                f"there is no file or folder {place}: correct --data"
                f"{f', or fetch the data: {fetch}' * bool(fetch)}"
            )
    return files


def _mode(name: str | None) -> Any:
    from langgraph_memskill.spans import SpanMode

    if name is None:
        return None
    try:
        return SpanMode(name)
    except ValueError as error:
        known = ", ".join(mode.value for mode in SpanMode)
        raise ConfigError(f"--span-mode {name!r} is unknown; take one of {known}") from error


def _command(task_name: str, title: str) -> Callable[..., None]:
    """The command of one benchmark: `run` with its first argument filled in."""

    def command(**options: Any) -> None:
        run(task_name, **options)

    signature = inspect.signature(run)
    parameters = list(signature.parameters.values())[1:]
    keyword = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    command.__signature__ = signature.replace(parameters=keyword)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    command.__doc__ = (
        f"{title}\n\nAll rows are answered by the same reader. A run that was interrupted goes on "
        "where it stopped if the same command is given again."
    )
    return command


_TITLES = {
    "locomo": "LoCoMo: questions about long conversations of two people.",
    "longmemeval": "LongMemEval: dated questions about a long history of chats.",
    "hotpotqa": "HotpotQA: questions that take two of 50, 100 or 200 documents.",
}
for _name, _title in _TITLES.items():
    app.command(_name)(_command(_name, _title))

app.command("alfworld")(alfworld)

app.command("task", help="Any other benchmark: a registered name, or MODULE:TASK.")(run)
