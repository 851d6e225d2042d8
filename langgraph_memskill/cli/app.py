"""Puts the commands together, and turns errors into one line on stderr."""

import io
import logging
import sys
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from langgraph_memskill.cli import (
    alfworld,
    bench,
    chat,
    checkpoints,
    controller,
    curves,
    data,
    demo,
    doctor,
    evolve,
    feedback,
    fitting,
    memories,
    questions,
    remember,
    report,
    skills,
    traces,
    train,
)
from langgraph_memskill.cli.logs import configure_logs
from langgraph_memskill.cli.observers import OBSERVE_VARIABLE, observing
from langgraph_memskill.cli.screen import Screen
from langgraph_memskill.errors import MemSkillError

logger = logging.getLogger(__name__)

_INTERRUPTED = 130


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except MemSkillError as error:
            logger.debug("the command failed", exc_info=True)
            Screen(as_json=False).error(str(error))
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            Screen(as_json=False).error("interrupted")
            raise typer.Exit(_INTERRUPTED) from error


app = typer.Typer(
    name="memskill",
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its tracebacks would print local variables, keys included
    help="A memory for agents that learns how to remember. Start with: memskill demo",
)
app.command()(demo.demo)
app.command()(chat.chat)
app.command()(remember.remember)
app.command()(questions.recall)
app.command()(questions.answer)
app.command()(remember.retry)
app.command()(feedback.feedback)
app.command()(evolve.evolve)
app.add_typer(memories.app, name="memories")
app.add_typer(skills.app, name="skills")
app.add_typer(train.app, name="train")
app.command()(curves.curves)
app.add_typer(bench.app, name="bench")
app.add_typer(alfworld.app, name="alfworld")
app.command("import-checkpoint")(checkpoints.import_checkpoint)
app.add_typer(traces.app, name="traces")
app.command()(fitting.fit)
app.command("evaluate-policy")(fitting.evaluate_policy)
app.add_typer(controller.app, name="controller")
app.add_typer(data.app, name="data")
app.command()(report.report)
app.command()(doctor.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"memskill {version('langgraph-memskill')}")
        raise typer.Exit


@app.callback()
def _options(
    ctx: typer.Context,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show the log messages of all libraries.")
    ] = False,
    observe: Annotated[
        str | None,
        typer.Option(
            "--observe",
            envvar=OBSERVE_VARIABLE,
            help="Tell 'otel' (OpenTelemetry; exporters by OTEL_* variables) or 'langsmith' what "
            "the command does, or both with a comma: names, times and tokens, never texts.",
        ),
    ] = None,
    show_version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    ctx.call_on_close(configure_logs(verbose=verbose))
    if observe:
        ctx.with_resource(observing(observe))


def main() -> None:
    """Run the command line of this process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may know ASCII only
    app(prog_name="memskill")
