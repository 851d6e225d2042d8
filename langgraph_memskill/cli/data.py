"""`memskill data`: fetching the benchmarks' data, and checking files of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.text import Text

from langgraph_memskill.cli.options import JsonOption
from langgraph_memskill.cli.screen import Screen, counted, printable
from langgraph_memskill.errors import ConfigError

if TYPE_CHECKING:
    from langgraph_memskill.benchmarks.checking import DataReport
    from langgraph_memskill.benchmarks.data_problems import DataProblem
    from langgraph_memskill.benchmarks.downloads import Fetched
    from langgraph_memskill.benchmarks.official_data import DataSet

DATA_FOLDER = Path("data")
"""Where data sets go, and are looked for: one folder each."""

app = typer.Typer(no_args_is_help=True, help="Fetch and check the benchmarks' data.")


@app.command("get")
def get(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="locomo, longmemeval (277 MB), hotpotqa.", show_default="all three"),
    ] = None,
    to: Annotated[
        Path, typer.Option("--to", help="Where to: one folder a data set is made in it.")
    ] = DATA_FOLDER,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="A folder or the address of a mirror that has the files.",
            show_default="the official addresses",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch data from the official addresses, with checksums; what is there already is checked."""
    screen = Screen(as_json=as_json)
    from langgraph_memskill.benchmarks.downloads import fetch, licence_text

    done = []
    for data_set in _chosen(names):
        screen.show(Text(licence_text(data_set)))
        with screen.progress() as advance:
            fetched = fetch(data_set, to / data_set.name, source=source, on_bytes=advance)
        screen.show(*(Text(printable(_line(file))) for file in fetched), Text(""))
        done.append({"name": data_set.name, "licence": data_set.licence, "files": _json(fetched)})
    screen.emit({"data_sets": done})


@app.command("check")
def check(
    files: Annotated[
        list[Path],
        typer.Argument(help="Files of LoCoMo, LongMemEval or HotpotQA, or split files."),
    ],
    tokens: Annotated[
        bool, typer.Option("--tokens/--no-tokens", help="Count tokens (a minute for 300 MB).")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Say what a data file holds and what is wrong with it: where, what, what to do."""
    screen = Screen(as_json=as_json)
    from langgraph_memskill.benchmarks.checking import check_file

    reports = []
    for file in files:
        with screen.progress() as advance:
            report = check_file(
                file,
                count_tokens=tokens,
                on_record=lambda done, total: advance("checking", done, total),
            )
        screen.show(_shown(report))
        reports.append(report)
    screen.emit({"files": [_report_json(report) for report in reports]})
    if any(report.num_errors for report in reports):
        raise typer.Exit(1)


def _chosen(names: list[str] | None) -> "list[DataSet]":
    from langgraph_memskill.benchmarks.official_data import DATA_SETS

    for name in names or ():
        if name not in DATA_SETS:
            known = ", ".join(DATA_SETS)
            raise ConfigError(f"there is no data set {name!r}; known are {known}")
    return [DATA_SETS[name] for name in dict.fromkeys(names or DATA_SETS)]


def _line(file: "Fetched") -> str:
    how = "is there" if file.was_there else "fetched"
    checked = "checksum right" if file.is_verified else "no published checksum; recorded"
    return f"{file.path}  {how}, {checked} ({file.sha256[:12]}...)"


def _json(fetched: "list[Fetched]") -> list[dict[str, object]]:
    return [
        {
            "path": str(file.path),
            "sha256": file.sha256,
            "was_there": file.was_there,
            "is_verified": file.is_verified,
        }
        for file in fetched
    ]


def _shown(report: "DataReport") -> Group:
    title = report.format.value if report.format else "unknown format"
    rows = [Text.assemble((printable(report.file), "bold"), f": {title}")]
    rows += [Text(f"  {line}") for line in _counts(report)]
    rows += [_problem(problem) for problem in report.problems]
    others = len(report.problems) - report.num_errors
    verdict = f"  {counted(report.num_errors, 'error')}, {counted(others, 'warning')}"
    rows.append(Text(verdict, style="red" if report.num_errors else "green"))
    return Group(*rows)


def _counts(report: "DataReport") -> list[str]:
    if report.splits:
        return [", ".join(f"{name} {size}" for name, size in report.splits.items())]
    if report.format is None or not report.num_samples:
        return []
    parts = [counted(report.num_samples, "sample")]
    parts += [counted(report.num_sessions, "session")] if report.num_sessions else []
    parts += [counted(report.num_turns, "turn")] if report.num_turns else []
    parts += [counted(report.num_documents, "document")] if report.num_documents else []
    parts += [] if report.num_tokens is None else [f"{report.num_tokens:,} tokens"]
    questions = ", ".join(f"{printable(name)} {n}" for name, n in report.questions.items())
    total = counted(sum(report.questions.values()), "question")
    return [", ".join(parts), f"{total}: {questions}" if questions else total]


def _problem(problem: "DataProblem") -> Text:
    mark, style = ("error", "red") if problem.is_error else ("warning", "yellow")
    what = f" {printable(problem.where)}: {printable(problem.what)}; {printable(problem.advice)}"
    return Text.assemble("  ", (mark, style), what)


def _report_json(report: "DataReport") -> dict[str, object]:
    return {
        "file": report.file,
        "format": report.format.value if report.format else None,
        "samples": report.num_samples,
        "sessions": report.num_sessions,
        "turns": report.num_turns,
        "documents": report.num_documents,
        "questions": report.questions,
        "tokens": report.num_tokens,
        "splits": report.splits,
        "problems": [
            {
                "where": problem.where,
                "what": problem.what,
                "advice": problem.advice,
                "is_error": problem.is_error,
            }
            for problem in report.problems
        ],
    }
