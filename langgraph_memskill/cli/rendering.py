"""How records look to people: steps of a construction run, memories, versions."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from langgraph_memskill.cli.screen import one_line, printable
from langgraph_memskill.records import (
    ActionType,
    FailedSpan,
    Memory,
    MemoryAction,
    MemoryVersion,
    RejectedAction,
    Selection,
)

SHORT_ID_CHARS = 8
"""Characters of a memory id that are shown, and that are enough to name it."""

_MARKS = {
    ActionType.INSERT: ("+", "green"),
    ActionType.UPDATE: ("~", "yellow"),
    ActionType.DELETE: ("-", "red"),
    ActionType.NOOP: ("·", "dim"),
}


def short_id(memory_id: str) -> str:
    """The beginning of an id, safe for a terminal."""
    return printable(memory_id[:SHORT_ID_CHARS])


def indented(renderable: RenderableType, columns: int = 2) -> Padding:
    """A renderable further to the right."""
    return Padding(renderable, (0, 0, 0, columns), expand=False)


def skills_line(selection: Selection) -> Text:
    """The picked skills, each with its probability among all candidates."""
    chances = dict(zip(selection.candidates, selection.probabilities, strict=True))
    line = Text("skills " if selection.skills else "no skills", style="dim")
    for position, name in enumerate(selection.skills):
        line.append(", " if position else "", style="dim")
        line.append(printable(name), style="cyan")
        line.append(f" {chances[name]:.0%}", style="dim")
    return line


def action_lines(
    actions: Sequence[MemoryAction],
    rejected: Sequence[RejectedAction],
    failure: str | None,
    *,
    gated: bool = False,
) -> Group:
    """What came of one span: its actions, what was rejected, why it failed or was passed over."""
    rows: list[RenderableType] = [_action_row(action) for action in actions]
    rows += [_rejected_row(entry) for entry in rejected]
    if failure is not None:
        rows.append(_row("!", "red", Text(f"failed: {one_line(failure, 300)}", style="red")))
    nothing = (
        "small talk: passed over without a model call" if gated else "nothing worth remembering"
    )
    return Group(*rows or [_row("·", "dim", Text(nothing, style="dim"))])


def _action_row(action: MemoryAction) -> RenderableType:
    mark, style = _MARKS[action.type]
    text = Text()
    if action.type is ActionType.UPDATE and action.previous == action.content:
        mark, style = "=", "dim"
        text.append("known already: ", style="dim")
    elif action.previous is not None:
        struck = "dim" if action.type is ActionType.UPDATE else "red strike"
        text.append(printable(action.previous), style=struck)
        text.append(" → " if action.type is ActionType.UPDATE else "", style="dim")
    text.append(printable(action.content))
    if action.memory_id is not None:
        text.append(f"  {short_id(action.memory_id)}", style="dim")
    return _row(mark, style, text)


def _rejected_row(entry: RejectedAction) -> RenderableType:
    wanted = f"{entry.action.type} not applied: {one_line(entry.reason, 200)}"
    return _row("x", "magenta", Text(wanted, style="dim"))


def _row(mark: str, style: str, text: Text) -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(mark, style=f"bold {style}"), text)
    return grid


def memories_table(memories: Sequence[Memory]) -> Table:
    """Memories with short ids, dates and, if a query found them, similarities."""
    grid = Table.grid(padding=(0, 2))
    found = any(memory.score is not None for memory in memories)
    for style in ["dim"] * found + ["cyan", "dim"]:
        grid.add_column(style=style, no_wrap=True)
    grid.add_column(overflow="fold")
    for memory in memories:
        score = ["" if memory.score is None else f"{memory.score:.2f}"] * found
        content = Text(printable(memory.content))
        grid.add_row(*score, short_id(memory.id), _date(memory), content)
    return grid


def _date(memory: Memory) -> str:
    """When the interaction took place, as its source wrote it, or else when it was stored."""
    dates = [source.time for source in memory.sources if source.time]
    return one_line(dates[-1], 24) if dates else memory.updated_at.date().isoformat()


def memory_card(memory: Memory) -> RenderableType:
    """One memory with its provenance."""
    sources = [
        " ".join(filter(None, [source.time, source.session, ", ".join(source.turn_ids)]))
        or source.span_id
        for source in memory.sources
    ]
    rows = {
        "id": memory.id,
        "created": _when(memory.created_at.isoformat(" ", "seconds")),
        "changed": _when(memory.updated_at.isoformat(" ", "seconds")),
        "skills": ", ".join(memory.skills),
        "model": memory.model or "",
        "sources": "\n".join(sources),
        "versions": str(len(memory.history)),
    }
    return Group(Text(printable(memory.content), style="bold"), "", fields(rows))


def fields(rows: dict[str, str]) -> Table:
    """Names and values; rows without a value are left out."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows.items():
        if value:
            grid.add_row(name, Text(printable(value)))
    return grid


def version_lines(history: Sequence[MemoryVersion]) -> Group:
    """All versions of a memory, oldest first."""
    blocks: list[RenderableType] = []
    for number, version in enumerate(history, 1):
        by = " ".join(filter(None, [", ".join(version.skills), version.model]))
        head = f"{number}. {_when(version.at.isoformat(' ', 'seconds'))}  {version.cause}  {by}"
        blocks.append(Text(printable(head.rstrip()), style="dim"))
        forgotten = not version.content
        shown = Text("forgotten", style="red") if forgotten else Text(printable(version.content))
        blocks.append(indented(shown, 3))
    return Group(*blocks)


def _when(iso: str) -> str:
    return iso.removesuffix("+00:00") + " UTC" if iso.endswith("+00:00") else iso


def failed_lines(failed: Sequence[FailedSpan]) -> Group:
    """Spans that wait for a retry, with the reasons."""
    rows: list[RenderableType] = [
        _row(
            "!",
            "red",
            Text.assemble(
                one_line(entry.span.text, 100),
                (f"\n{one_line(entry.reason, 300)} (attempt {entry.attempts})", "red"),
            ),
        )
        for entry in failed
    ]
    return Group(*rows)
