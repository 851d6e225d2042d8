"""`memskill traces`: show, merge."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.bar import Bar
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from langgraph_memskill.cli.options import JsonOption
from langgraph_memskill.cli.screen import Screen, counted, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langgraph_memskill.traces.files import Skipped
    from langgraph_memskill.traces.summary import RewardSummary, SkillSummary, TraceSummary

app = typer.Typer(no_args_is_help=True, help="Look at recorded traces, and join them.")

_BAR_WIDTH = 30
_BLOCKS = "▁▂▃▄▅▆▇█"


@app.command()
def show(
    folder: Annotated[Path, typer.Argument(help="A folder of traces.")],
    as_json: JsonOption = False,
) -> None:
    """Show skills, rewards and failures of recorded traces."""
    from langgraph_memskill.state import dump
    from langgraph_memskill.traces.reader import TraceReader
    from langgraph_memskill.traces.summary import summarise

    screen = Screen(as_json=as_json)
    with screen.busy("reading the traces"):
        summary = summarise(TraceReader(folder))
    screen.emit({"folder": str(folder)} | dump(summary))
    screen.show(_overview(summary))
    if summary.skills:
        screen.show("", Text("skills", style="bold"), _skills(summary.skills))
    if summary.rewards is not None:
        screen.show("", Text("rewards", style="bold"), _rewards(summary.rewards))
    if summary.failures:
        screen.show("", Text("failures", style="bold"), _bars(summary.failures, "red"))
    note_skipped(screen, summary.skipped)


@app.command()
def merge(
    folders: Annotated[list[Path], typer.Argument(help="Folders of traces.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The folder to join them into; may be one of them.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Join folders of traces into one, or the many files of one folder into few."""
    from langgraph_memskill.state import dump
    from langgraph_memskill.traces.merging import merge_traces

    screen = Screen(as_json=as_json)
    with screen.busy("joining the traces"):
        report = merge_traces(folders, out)
    screen.emit({"out": str(out)} | dump(report))
    screen.show(
        f"{counted(report.files, 'file')} joined: {counted(report.steps, 'step')}, "
        f"{counted(report.episode_rows, 'episode row')}, "
        f"{counted(report.banks, 'new bank version')}"
    )
    if report.known:
        screen.show(Text(f"{counted(report.known, 'file')} were there already", style="dim"))
    note_skipped(screen, report.skipped)


def note_skipped(screen: Screen, skipped: "Sequence[Skipped]") -> None:
    """Say what was not read."""
    for entry in skipped:
        screen.note(printable(str(entry)))


def _overview(summary: "TraceSummary") -> RenderableType:
    from langgraph_memskill.cli.rendering import fields

    tokens = summary.input_tokens + summary.output_tokens
    rewarded = summary.rewards.episodes if summary.rewards is not None else 0
    rows = {
        "steps": str(summary.steps),
        "episodes": f"{summary.episodes}, {summary.finished_episodes} finished, "
        f"{rewarded} with a reward",
        "time": f"{summary.first:%Y-%m-%d %H:%M} to {summary.last:%Y-%m-%d %H:%M} UTC"
        if summary.first is not None and summary.last is not None
        else "",
        "chosen by": _counts(summary.selectors),
        "controllers": _counts(summary.controllers),
        "banks": _counts(summary.banks),
        "actions": _counts(summary.actions),
        "model": f"{counted(summary.calls, 'call')}, {tokens} tokens, {summary.extract_s:.1f} s",
        "no bank for": f"{counted(summary.missing_banks, 'step')}" * bool(summary.missing_banks),
        "no steps for": f"{counted(summary.orphan_rewards, 'reward')}"
        * bool(summary.orphan_rewards),
    }
    return fields(rows)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _skills(skills: "Sequence[SkillSummary]") -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(width=_BAR_WIDTH)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    for skill in skills:
        share = skill.picks / skill.offers
        reward = "" if skill.mean_reward is None else f"mean reward {skill.mean_reward:.3f}"
        table.add_row(printable(skill.name), Bar(1, 0, share, color="cyan"), f"{share:.0%}", reward)
    return table


def _rewards(rewards: "RewardSummary") -> RenderableType:
    width = (rewards.high - rewards.low) / len(rewards.histogram)
    bins: dict[str, int] = {}
    if width > 0:
        for number, count in enumerate(rewards.histogram):
            low = rewards.low + number * width
            bins[f"{low:.2f} to {low + width:.2f}"] = count
    numbers = (
        f"mean {rewards.mean:.3f}, deviation {rewards.std:.3f}, from {rewards.low:.3f} to "
        f"{rewards.high:.3f}; from {_counts(rewards.sources)}"
    )
    curve = f"over time  {_sparkline(rewards.curve)}"
    return Group(Text(printable(numbers)), Text(curve), _bars(bins, "green"))


def _bars(counts: dict[str, int], colour: str) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(width=_BAR_WIDTH)
    table.add_column(justify="right", no_wrap=True)
    most = max(counts.values(), default=0) or 1
    for name, count in counts.items():
        table.add_row(printable(name), Bar(most, 0, count, color=colour), str(count))
    return table


def _sparkline(values: "Sequence[float]") -> str:
    low, high = min(values), max(values)
    scale = (len(_BLOCKS) - 1) / (high - low) if high > low else 0
    return "".join(_BLOCKS[round((value - low) * scale)] for value in values)
