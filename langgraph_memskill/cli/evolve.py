"""`memskill evolve`: skills evolve from hard cases; a person may decide about each change."""

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from langgraph_memskill.cli.options import (
    DEFAULT_FOLDER,
    EncoderOption,
    FolderOption,
    JsonOption,
    ModelOption,
    Place,
    open_for_reading,
    open_memory,
)
from langgraph_memskill.cli.screen import Screen, counted, printable
from langgraph_memskill.errors import ConfigError

if TYPE_CHECKING:
    from langgraph_memskill.evolution.approval import Decision, Edit
    from langgraph_memskill.evolution.gate_records import GateSettings
    from langgraph_memskill.evolution.records import EvolutionResult, HardCase, SkillChange
    from langgraph_memskill.evolution.settings import EvolutionSettings

_ALL = "all"
_FAILED = 1


def evolve(
    folder: FolderOption = DEFAULT_FOLDER,
    model: ModelOption = None,
    encoder: EncoderOption = None,
    show_cases: Annotated[
        bool,
        typer.Option("--show-cases", help="List the hard cases with what they retrieved."),
    ] = False,
    approve: Annotated[
        bool, typer.Option("--approve", help="Ask a person about each change before it is made.")
    ] = False,
    pending: Annotated[
        bool,
        typer.Option("--pending", help="List evolutions that wait or were broken off."),
    ] = False,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="With --pending: write the changes as SKILL.md files, to be edited."
        ),
    ] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="ID", help="Go on with one of these.")
    ] = None,
    accept: Annotated[
        str | None,
        typer.Option(metavar="1,2", help="Changes to make; 'all' is all that are not named else."),
    ] = None,
    refuse: Annotated[
        str | None,
        typer.Option(metavar="3", help="Changes not to make; 'all' is all not named else."),
    ] = None,
    edit: Annotated[
        list[str] | None,
        typer.Option(metavar="N=FILE", help="Make change N with the texts of a SKILL.md."),
    ] = None,
    discard: Annotated[
        str | None, typer.Option(metavar="ID", help="Forget an evolution; no skill changes.")
    ] = None,
    max_changes: Annotated[
        int, typer.Option(min=1, help="Changes at most (the method: 1 to 3).")
    ] = 3,
    reflections: Annotated[
        int, typer.Option(min=0, help="Rounds of criticism of the analysis at most.")
    ] = 3,
    refine_only: Annotated[
        bool, typer.Option("--refine-only", help="Refine skills, but add none.")
    ] = False,
    held_out: Annotated[
        Path | None,
        typer.Option(
            help="JSON lines of spans and questions that the new skills must not serve worse.",
            show_default="recorded texts and the answers that feedback told",
        ),
    ] = None,
    require_gate: Annotated[
        bool, typer.Option("--require-gate", help="Refuse new skills that cannot be tried so.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Take new skills even if they serve worse.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Let a language model improve the skills from what the memories did not help with.

    Cases come from feedback: memskill feedback EPISODE 0 --question ... --expected ...
    """
    screen = Screen(as_json=as_json)
    place = Place(folder=folder, encoder=encoder)
    is_decision = accept is not None or refuse is not None or bool(edit)
    if is_decision and resume is None:
        raise ConfigError("--accept, --refuse and --edit need --resume ID (see --pending)")
    if sum(map(bool, (show_cases, pending, resume, discard, approve))) > 1:
        raise ConfigError(
            "--show-cases, --approve, --pending, --resume and --discard are different things: "
            "give one of them"
        )
    if save is not None and not pending:
        raise ConfigError("--save needs --pending")
    from langgraph_memskill.evolution.gate_records import GateSettings

    gate = GateSettings(require=require_gate, force=force)
    if show_cases:
        _show_cases(folder, screen)
    elif pending:
        _show_pending(place, save, screen)
    elif discard is not None:
        _discard(place, discard, screen)
    elif resume is not None:
        decided = (accept, refuse, edit or [])
        _resume(place, model, resume, decided, (gate, held_out), screen)
    else:
        from langgraph_memskill.evolution.settings import EvolutionSettings

        settings = EvolutionSettings(
            max_changes=max_changes, reflection_rounds=reflections, refine_only=refine_only
        )
        _start(place, model, settings, (gate, held_out), screen, approve=approve)


def _cases_of(folder: Path) -> "list[HardCase]":
    """The hard cases of a memory, or of a training run."""
    from langgraph_memskill.evolution.pool import HardCasePool

    pool = folder / "evolution" / "cases.db"
    if (folder / "run.json").is_file() and pool.is_file():
        with closing(HardCasePool(pool)) as cases:
            return cases.cases()
    with open_for_reading(folder) as stored:
        return stored.hard_cases(diagnosed=True)


def _show_cases(folder: Path, screen: Screen) -> None:
    cases = _cases_of(folder)
    from langgraph_memskill.cli.evolution_rendering import case_lines
    from langgraph_memskill.state import dump_all

    screen.emit({"cases": dump_all(cases)})
    for number, case in enumerate(cases, 1):
        screen.show(case_lines(number, case), "")
    screen.show(counted(len(cases), "hard case"))


def _show_pending(place: Place, save: Path | None, screen: Screen) -> None:
    from langgraph_memskill.cli.evolution_rendering import pending_document, pending_lines

    with open_memory(place, "extractive", screen) as memory:
        found = memory.pending_evolutions()
    changes = [change for entry in found for change in entry.result.changes]
    written = [] if save is None else _save_texts(place.folder, save, changes)
    screen.emit({"pending": [pending_document(entry) for entry in found]})
    for entry in found:
        screen.show(pending_lines(entry), "")
    for file in written:
        screen.show(f"wrote {printable(str(file))}")
    screen.show(counted(len(found), "pending evolution"))


def _save_texts(folder: Path, save: Path, changes: "Sequence[SkillChange]") -> list[Path]:
    """Write changed skills to be edited, over nobody's texts; all of them or none."""
    from langgraph_memskill.memory_folder import MemoryFolder
    from langgraph_memskill.skills.files import SKILL_FILE, format_skill, write_if_changed

    skills, target = MemoryFolder(folder).skills.resolve(), save.resolve()
    if target == skills or skills in target.parents:
        raise ConfigError(
            f"--save {str(save)!r} is in the memory's own folder of skills, where the changes "
            "would be in use undecided: name another folder"
        )
    texts: dict[Path, str] = {}
    for change in changes:
        file, text = save / change.after.name / SKILL_FILE, format_skill(change.after)
        if texts.setdefault(file, text) != text:
            raise ConfigError(
                f"two pending evolutions change {change.after.name!r}: decide about one of them, "
                "or --discard it, first"
            )
        if not _is_free(file, text):
            raise ConfigError(
                f"{file} holds other texts, which --save does not replace: name another folder"
            )
    for file, text in texts.items():
        write_if_changed(file, text)
    return list(texts)


def _is_free(file: Path, text: str) -> bool:
    """Whether there is no file, or one with just this text."""
    return not os.path.lexists(file) or (file.is_file() and file.read_bytes() == text.encode())


def _discard(place: Place, evolution_id: str, screen: Screen) -> None:
    with open_memory(place, "extractive", screen) as memory:
        gone = memory.discard_evolution(evolution_id)
    screen.emit({"discarded": gone.id})
    screen.show(f"evolution {gone.id[:8]} is forgotten; no skill was changed")


def _start(
    place: Place,
    model: str | None,
    settings: "EvolutionSettings",
    tried: "tuple[GateSettings, Path | None]",
    screen: Screen,
    *,
    approve: bool,
) -> None:
    with open_memory(place, model, screen) as memory, screen.busy("the designer works"):
        result = memory.evolve(settings=settings, approve=approve, gate=tried[0], held_out=tried[1])
    _tell(result, screen)


def _resume(
    place: Place,
    model: str | None,
    evolution_id: str,
    decided: tuple[str | None, str | None, list[str]],
    tried: "tuple[GateSettings, Path | None]",
    screen: Screen,
) -> None:
    accept, refuse, edits = decided
    is_decision = accept is not None or refuse is not None or bool(edits)
    # A decision asks no designer; the gate tries the skills with the model if one is named.
    named = (model or "extractive") if is_decision else model
    with open_memory(place, named, screen) as memory:
        decision = None
        if is_decision:
            found = [p for p in memory.pending_evolutions() if p.id.startswith(evolution_id)]
            changes = found[0].result.changes if found else ()
            decision = _decision(accept, refuse, edits, changes)
        with screen.busy("the evolution goes on"):
            result = memory.resume_evolution(
                evolution_id, decision, gate=tried[0], held_out=tried[1]
            )
    _tell(result, screen)


def _tell(result: "EvolutionResult", screen: Screen) -> None:
    from langgraph_memskill.cli.evolution_rendering import result_document, result_lines
    from langgraph_memskill.evolution.records import EvolutionStatus

    screen.emit(result_document(result))
    screen.show(result_lines(result))
    if result.status is EvolutionStatus.FAILED:
        raise typer.Exit(_FAILED)


def _decision(
    accept: str | None, refuse: str | None, edits: list[str], changes: "Sequence[SkillChange]"
) -> "Decision":
    from langgraph_memskill.evolution.approval import Decision

    if accept == _ALL and refuse == _ALL:
        raise ConfigError("--accept all and --refuse all contradict each other")
    edited = [_edit(text, changes) for text in edits]
    named = {entry.number for entry in edited}
    taken, left = _numbers("--accept", accept), _numbers("--refuse", refuse)
    named.update(taken, left)
    rest = tuple(number for number in range(1, len(changes) + 1) if number not in named)
    return Decision(
        accept=rest if accept == _ALL else taken,
        refuse=rest if refuse == _ALL else left,
        edits=tuple(edited),
    )


def _numbers(option: str, text: str | None) -> tuple[int, ...]:
    if text is None or text == _ALL:
        return ()
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ConfigError(f"{option} {text!r} must be numbers such as 1,2 or 'all'")
    return tuple(map(int, parts))


def _edit(text: str, changes: "Sequence[SkillChange]") -> "Edit":
    """Read N=FILE: the texts of a SKILL.md, for change N, which stays about the same skill."""
    from langgraph_memskill.evolution.approval import Edit
    from langgraph_memskill.skills.files import read_skill

    number, mark, file = text.partition("=")
    if not mark or not number.strip().isdecimal() or not file.strip():
        raise ConfigError(f"--edit {text!r} must be N=FILE, such as 2=SKILL.md")
    skill, at = read_skill(file.strip()), int(number)
    if 1 <= at <= len(changes):  # the evolution refuses other numbers
        wanted = changes[at - 1].after
        if (skill.name, skill.action_type) != (wanted.name, wanted.action_type):
            raise ConfigError(
                f"--edit {text!r}: the file holds {skill.name!r} ({skill.action_type}), but change "
                f"{at} is {wanted.name!r} ({wanted.action_type}): only description and "
                "instructions can be edited"
            )
    return Edit(number=at, description=skill.description, instructions=skill.instructions)
