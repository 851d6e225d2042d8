"""How evolutions look in a terminal: changes as diffs, hard cases with what they retrieved."""

import difflib
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from langgraph_memskill.cli.rendering import fields, indented
from langgraph_memskill.cli.screen import counted, one_line, printable
from langgraph_memskill.evolution.records import (
    EvolutionResult,
    EvolutionStatus,
    HardCase,
    RejectedChange,
    SkillChange,
)
from langgraph_memskill.evolution.runs import PendingEvolution
from langgraph_memskill.records import Skill
from langgraph_memskill.state import Document, dump, dump_all

_CONTEXT_LINES = 2
_STYLES = {"+": "green", "-": "red", "@": "dim"}


def result_document(result: EvolutionResult) -> Document:
    """An evolution as JSON."""
    return {
        "id": result.id,
        "status": result.status.value,
        "reason": result.reason,
        "model": result.model,
        "version": result.version,
        "gate": None if result.gate is None else dump(result.gate),
        "bank_before": result.before.version,
        "bank_after": result.after.version,
        "changes": dump_all(result.changes),
        "rejected": dump_all(result.rejected),
        "cases": dump_all(result.cases),
        "calls": result.usage.calls,
        "input_tokens": result.usage.input_tokens,
        "output_tokens": result.usage.output_tokens,
    }


def pending_document(pending: PendingEvolution) -> Document:
    """An evolution that is not at its end, as JSON."""
    return {
        "id": pending.id,
        "started_at": pending.started_at,
        "designer": pending.designer,
        "next": pending.node,
        "waits_for_a_decision": pending.is_waiting,
        "changes": dump_all(pending.result.changes),
    }


def result_lines(result: EvolutionResult) -> Group:
    """What an evolution did, or would do."""
    used = result.usage
    head = {
        "evolution": result.id,
        "status": result.status.value.replace("_", " "),
        "reason": one_line(result.reason, 1000),
        "designer": result.model,
        "cases": str(len(result.cases)),
        "cost": f"{counted(used.calls, 'call')}, {used.input_tokens + used.output_tokens} tokens",
        "version": result.version or "",
        "gate": "" if result.gate is None else one_line(result.gate.reason, 1000),
    }
    return Group(
        fields(head),
        *change_lines(result.changes),
        *rejected_lines(result.rejected),
        *_next_step(result),
    )


def pending_lines(pending: PendingEvolution) -> Group:
    """An evolution that waits, or was broken off."""
    what = "waits for a decision" if pending.is_waiting else f"broken off before {pending.node}"
    head = f"{pending.id}  {pending.started_at}  {what}"
    changes = change_lines(pending.result.changes)
    return Group(Text(printable(head), style="bold"), *changes, *_advice(pending))


def change_lines(changes: Sequence[SkillChange]) -> Iterator[RenderableType]:
    """Numbered changes, each with its reason and a diff of the skill's texts."""
    for number, change in enumerate(changes, 1):
        what = "new skill" if change.before is None else "refined skill"
        title = f"{number}. {what} {change.name} ({change.after.action_type})"
        yield Text(f"\n{printable(title)}", style="bold cyan")
        if change.reason:
            yield indented(Text(printable(change.reason), style="dim"))
        if change.evicted is not None:
            yield indented(Text(f"replaces {printable(change.evicted)}", style="red"))
        yield indented(_diff(change.before, change.after))
        for advice in change.advice:
            yield indented(Text(printable(f"advice: {advice}"), style="yellow"))


def rejected_lines(rejected: Sequence[RejectedChange]) -> Iterator[RenderableType]:
    """Changes that are not made, and why."""
    for entry in rejected:
        name = printable(entry.proposal.name) or "a change without a name"
        yield Text.assemble(
            ("\nx ", "magenta"),
            (f"{name} not changed: ", "dim"),
            printable("; ".join(entry.reasons)),
        )


def case_lines(number: int, case: HardCase) -> Group:
    """A hard case with what it retrieved."""
    head = Text.assemble(
        (f"{number}. ", "dim"),
        (one_line(case.question, 400), "bold"),
        (f"  score {case.score:g}, failed {counted(case.fail_count, 'time')}", "dim"),
    )
    rows = {
        "expected": one_line(case.expected or "", 400),
        "answered": one_line(case.prediction, 400),
        "user": "/".join(case.namespace),
        "needed": ", ".join(case.needed_sources),
    }
    if case.diagnosis is not None:
        cause = case.diagnosis.cause.value.replace("_", " ")
        rows["diagnosis"] = f"{cause}. {one_line(case.diagnosis.evidence, 400)}"
    found = [
        Text(f"{n:2}  {one_line(memory.content, 200)}", style="dim")
        for n, memory in enumerate(case.memories, 1)
    ]
    retrieved = Text(f"retrieved {counted(len(found), 'memory')}", style="dim")
    return Group(head, indented(Group(fields(rows), retrieved, indented(Group(*found)))))


def _diff(before: Skill | None, after: Skill) -> Text:
    """The texts line by line; of a new skill all lines are new."""
    old = [] if before is None else _lines(before)
    shown = Text()
    rows = list(difflib.unified_diff(old, _lines(after), lineterm="", n=_CONTEXT_LINES))[2:]
    for row in rows:
        if before is None and row.startswith("@"):
            continue
        shown.append(f"{printable(row)}\n", style=_STYLES.get(row[:1], ""))
    shown.rstrip()
    return shown


def _lines(skill: Skill) -> list[str]:
    return [*skill.description.splitlines(), "", *skill.instructions.splitlines()]


def _next_step(result: EvolutionResult) -> list[RenderableType]:
    if result.status is not EvolutionStatus.WAITING:
        return []
    return [_how_to_decide(result.id)]


def _advice(pending: PendingEvolution) -> list[RenderableType]:
    if pending.is_waiting:
        return [_how_to_decide(pending.id)]
    return [Text(f"\nGo on with: memskill evolve --resume {pending.id[:8]}", style="dim")]


def _how_to_decide(evolution_id: str) -> Text:
    start = f"memskill evolve --resume {evolution_id[:8]}"
    return Text(
        f"\nDecide with: {start} --accept 1,2 --refuse 3 (or all); "
        f"change a text first: {start} --edit 1=SKILL.md",
        style="dim",
    )
