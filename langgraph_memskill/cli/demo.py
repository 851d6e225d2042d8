"""`memskill demo`: its options, and how it looks."""

from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from langgraph_memskill.cli.options import (
    EncoderOption,
    JsonOption,
    ModelOption,
    Place,
    open_memory,
)
from langgraph_memskill.cli.screen import OnProgress, Screen, counted, one_line, printable

if TYPE_CHECKING:
    from langgraph_memskill.cli.demo_run import AskedQuestion, CategoryScores, DemoReport, Plan
    from langgraph_memskill.records import Turn
    from langgraph_memskill.state import StepEvent

SpanModeName = Literal["turn", "turn-pair", "full-session", "fixed-length"]
"""The values of `SpanMode` that fit a conversation; the class itself is slow to import."""

_SHOWN_MEMORIES = 3
_SHOWN_CHARS = 400


def demo(
    data: Annotated[
        Path | None,
        typer.Option(help="A LoCoMo-format file.", show_default="the sample that comes with it"),
    ] = None,
    conversation: Annotated[
        str | None, typer.Option(help="Which conversation (sample_id).", show_default="the first")
    ] = None,
    sessions: Annotated[
        int | None,
        typer.Option(min=1, help="Only the first N sessions, and the questions about them."),
    ] = None,
    questions: Annotated[
        int | None, typer.Option(min=0, help="Only the first N questions.")
    ] = None,
    span_mode: Annotated[SpanModeName, typer.Option(help="How to cut spans.")] = "turn-pair",
    workers: Annotated[
        int, typer.Option(min=1, help="Spans and questions to work on side by side.")
    ] = 1,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Only a progress bar and the summary.")
    ] = False,
    folder: Annotated[
        Path,
        typer.Option("--folder", "-f", help="Where to keep it; each run is a user of its own."),
    ] = Path("memskill-demo"),
    model: ModelOption = None,
    encoder: EncoderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Play a conversation: watch what is remembered, then ask about it."""
    screen = Screen(as_json=as_json)
    from langgraph_memskill.cli.demo_run import DemoRun, make_plan
    from langgraph_memskill.settings import Settings
    from langgraph_memskill.spans import SpanMode
    from langgraph_memskill.state import dump

    plan = make_plan(
        data,
        conversation,
        num_sessions=sessions,
        num_questions=questions,
        mode=SpanMode(span_mode),
    )
    settings = Settings(span_workers=workers)
    place = Place(folder=folder, encoder=encoder)
    with open_memory(place, model, screen, create=True, settings=settings) as memory:
        run = DemoRun(memory, folder, plan)
        screen.show(_opening(plan, run.user))
        with screen.progress() as advance:
            show = _Show(screen, plan, quiet=quiet, advance=advance)
            advance("remembering", 0, len(plan.spans))
            run.remember(show.step)
            advance("asking", 0, len(plan.questions))
            run.ask(show.answer, workers=workers)
        report = run.report()
    screen.emit(dump(replace(report, steps=(), asked=()) if quiet else report))
    screen.show(_summary(report))
    if report.failed:
        screen.note(
            f"{report.failed} spans could not be remembered and are kept: "
            f"memskill retry {_options(folder, report.user)}"
        )
    if report.failed == report.spans:
        raise typer.Exit(1)


class _Show:
    """Shows a demo while it runs."""

    def __init__(self, screen: Screen, plan: "Plan", *, quiet: bool, advance: OnProgress) -> None:
        self._screen = screen
        self._spans = plan.spans
        self._num_questions = len(plan.questions)
        self._quiet = quiet
        self._advance = advance
        self._num_answers = 0

    def step(self, event: "StepEvent") -> None:
        from langgraph_memskill.cli.rendering import action_lines, indented, skills_line

        self._advance("remembering", event.span_index + 1, event.num_spans)
        if self._quiet:
            return
        span = self._spans[event.span_index]
        place = f"span {event.span_index + 1} of {event.num_spans}"
        self._screen.show(
            Text(f"{place}  {printable(span.time or '')}", style="dim"),
            *(indented(Text(_said(turn))) for turn in span.turns),
            indented(skills_line(event.selection)),
            indented(
                action_lines(event.actions, event.rejected, event.failure, gated=event.is_gated)
            ),
            "",
        )

    def answer(self, asked: "AskedQuestion") -> None:
        self._num_answers += 1
        self._advance("asking", self._num_answers, self._num_questions)
        if not self._quiet:
            self._screen.show(_question(asked), "")


def _said(turn: "Turn") -> str:
    shown = "" if turn.caption is None else f" [shows {turn.caption}]"
    return one_line(f"{turn.speaker}: {turn.text}{shown}", _SHOWN_CHARS)


def _opening(plan: "Plan", user: str) -> RenderableType:
    sample = plan.sample
    speakers = " and ".join(sample.metadata.speakers)
    text = (
        f"{sample.id}: {speakers}, {counted(len(sample.sessions), 'session')}, "
        f"{counted(len(plan.spans), 'span')}, {counted(len(plan.questions), 'question')}. "
        f"Remembered as user {user}."
    )
    return Text(printable(text), style="bold")


def _question(asked: "AskedQuestion") -> RenderableType:
    from langgraph_memskill.cli.rendering import fields, indented, short_id

    scores = [] if asked.f1 is None else [f"F1 {asked.f1:.2f}"]
    if asked.evidence_recall is not None:
        scores.append(f"evidence found {asked.evidence_recall:.0%}")
    given = [
        f"{short_id(memory.id)} {one_line(memory.content, 160)} ({', '.join(memory.turn_ids)})"
        for memory in asked.memories[:_SHOWN_MEMORIES]
    ]
    more = len(asked.memories) - len(given)
    rows = {
        "answer": f"not answered: {asked.problem}" if asked.answer is None else asked.answer,
        "expected": " or ".join(asked.gold),
        "scores": ", ".join(scores),
        "from": "\n".join([*given, f"and {more} more memories"] if more else given),
    }
    head = Text.assemble((printable(asked.question), "bold"), (f"  {asked.category}", "dim"))
    return Group(head, indented(fields(rows)))


def _summary(report: "DemoReport") -> RenderableType:
    from langgraph_memskill.cli.rendering import fields

    actions = ", ".join(counted(number, name) for name, number in report.actions.items())
    paths = report.paths
    rows = {
        "conversation": f"{report.conversation}: {counted(report.sessions, 'session')}, "
        f"{counted(report.turns, 'turn')}",
        "remembered": f"{counted(report.spans, 'span')} in {report.remember_seconds:.1f} s: "
        f"{actions}; {counted(report.rejected, 'action')} rejected, "
        f"{counted(report.failed, 'span')} failed",
        "memories": str(report.memories),
        "answered": f"{counted(report.answers, 'question')} in {report.answer_seconds:.1f} s"
        + (f", {report.unanswered} not answered" if report.unanswered else ""),
        "model": f"{report.model}, {counted(report.model_calls, 'call')} for remembering",
        "skills": f"chosen by {report.selector}",
        "encoder": report.encoder,
        "user": report.user,
        "stored in": f"{paths.memories} (memories)\n{paths.skills} (skills)"
        + ("" if paths.controller is None else f"\n{paths.controller} (controller)"),
        "look at it": f"memskill memories list {_options(paths.folder, report.user)}",
    }
    return Group(Text("Summary", style="bold"), fields(rows), "", _scores(report.scores))


def _options(folder: Path, user: str) -> str:
    return f"--folder {quote(str(folder))} --user {quote(user)}"


def _scores(scores: "tuple[CategoryScores, ...]") -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("questions about")
    for name in ("number", "token F1", "evidence recall@20"):
        table.add_column(name, justify="right")
    for row in scores:
        overall = row is scores[-1]
        table.add_row(
            row.category,
            str(row.questions),
            _number(row.f1),
            _number(row.evidence_recall),
            style="bold" if overall else "",
        )
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
