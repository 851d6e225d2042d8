"""`memskill memories doctor`: finds what is wrong with memories, and repairs what is safe."""

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from langgraph_memskill.cli.options import (
    DEFAULT_FOLDER,
    EncoderOption,
    FolderOption,
    JsonOption,
    Place,
    open_for_recall,
)
from langgraph_memskill.cli.screen import Screen, counted, one_line, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langgraph_memskill.checking.findings import Finding

_SHOWN_OF_A_KIND = 10
_SHOWN_TEXTS = 3


def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Repair what is safe to repair.")] = False,
    user: Annotated[
        str | None,
        typer.Option("--user", "-u", help="Check only this user's.", show_default="all users'"),
    ] = None,
    folder: FolderOption = DEFAULT_FOLDER,
    encoder: EncoderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find junk, duplicates, contradictions, orphans, and a log that disagrees with the store.

    Without --fix nothing is changed. The exit code is 1 if something is wrong, or is left so.
    """
    screen = Screen(as_json=as_json)
    with open_for_recall(Place(folder=folder, encoder=encoder)) as stored:
        with screen.progress() as advance:
            check = stored.check_memories(
                user_id=user, on_progress=lambda done, total: advance("checking", done, total)
            )
        report = stored.repair_memories(check) if fix else None
    from langgraph_memskill.state import dump, dump_all

    left = check.findings if report is None else report.left
    num_wrong = sum(finding.is_problem for finding in left)
    screen.emit(
        {
            "num_memories": check.num_memories,
            "num_namespaces": check.num_namespaces,
            "num_wrong": num_wrong,
            "findings": dump_all(check.findings),
            "repair": None if report is None else dump(report),
        }
    )
    looked = f"{counted(check.num_memories, 'memory')} of {counted(check.num_namespaces, 'user')}"
    screen.show(Text(f"checked {looked}", style="dim"))
    if report is not None:
        screen.show(*_lines(report.fixed, "fixed", "green"))
    screen.show(*_lines(left, "left" if fix else "found", "yellow"))
    if report is not None and report.num_changes:
        undo = f"undo it with: memskill memories undo --all {report.run_id}"
        screen.show(Text(undo, style="dim"))
    if not num_wrong:
        screen.show(Text("nothing is wrong", style="green"))
        return
    can_fix = any(finding.fix for finding in left)
    advice = "; --fix repairs what is safe" if can_fix and not fix else ""
    screen.show(Text(f"{counted(num_wrong, 'problem')}{advice}", style="red"))
    raise typer.Exit(1)


def _lines(findings: "Sequence[Finding]", what: str, style: str) -> list[RenderableType]:
    lines: list[RenderableType] = []
    numbers = Counter(finding.kind for finding in findings)
    for kind, number in numbers.items():
        some = [finding for finding in findings if finding.kind is kind][:_SHOWN_OF_A_KIND]
        is_note = not some[0].is_problem
        head = f"{what} {counted(number, kind.replace('-', ' '))}{' (a note)' * is_note}"
        lines.append(Text(head, style="dim" if is_note else f"bold {style}"))
        lines += [_line(finding) for finding in some]
        if number > len(some):
            lines.append(Text(f"  ... and {number - len(some)} more; --json shows all"))
    return lines


def _line(finding: "Finding") -> Text:
    from langgraph_memskill.cli.rendering import short_id

    where = finding.namespace[-1] if finding.namespace else ""
    text = Text("  ").append(printable(f"{where} " if where else ""), style="cyan")
    text.append(printable(finding.what))
    pairs = list(zip(finding.memory_ids, finding.contents, strict=False))
    for memory_id, content in pairs[:_SHOWN_TEXTS]:
        text.append(f"\n    {short_id(memory_id)}  ", style="dim").append(one_line(content, 100))
    if len(pairs) > _SHOWN_TEXTS:
        text.append(f"\n    ... and {len(pairs) - _SHOWN_TEXTS} more", style="dim")
    return text
