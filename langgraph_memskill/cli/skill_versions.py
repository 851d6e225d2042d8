"""`memskill skills log`, `diff`, `rollback`, `protect` and `unprotect`: versions of the skills."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from langgraph_memskill.cli.options import (
    DEFAULT_FOLDER,
    FolderOption,
    JsonOption,
    check_exists,
)
from langgraph_memskill.cli.screen import Screen, counted, one_line, printable
from langgraph_memskill.errors import ConfigError, SkillError

if TYPE_CHECKING:
    from langgraph_memskill.skills.comparing import BankDifference
    from langgraph_memskill.skills.version_records import SkillVersion
    from langgraph_memskill.skills.versions import SkillVersions

_STYLES = {"+": "green", "-": "red", "@": "cyan"}

VersionArgument = Annotated[
    str | None,
    typer.Argument(help="A version: its number (v3), its id or the first characters of it."),
]


def show_log(folder: FolderOption = DEFAULT_FOLDER, as_json: JsonOption = False) -> None:
    """List the versions of the skills, and which one is in use; edits by hand are noticed."""
    from langgraph_memskill.state import dump, dump_all

    screen = Screen(as_json=as_json)
    versions = versions_in(folder)
    _note_edits(versions, screen)
    log, switches = versions.log(), versions.switches()
    current = switches[-1].version if switches else None
    screen.emit(
        {
            "current": current,
            "versions": [dump(version) for version in log],
            "switches": dump_all(switches),
        }
    )
    by_id = {version.id: version for version in log}
    table = Table.grid(padding=(0, 2))
    for version in log:
        table.add_row(*_row(version, by_id, is_current=version.id == current))
    screen.show(table)
    screen.show(Text(f"{counted(len(log), 'version')}; ● is in use", style="dim"))


def show_diff(
    before: VersionArgument = None,
    after: VersionArgument = None,
    folder: FolderOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Compare two versions: without any the last two in use, with one that one and the present."""
    from langgraph_memskill.skills.comparing import compare_banks
    from langgraph_memskill.state import dump

    screen = Screen(as_json=as_json)
    versions = versions_in(folder)
    _note_edits(versions, screen)
    old, new = _chosen(versions, before, after)
    difference = compare_banks(versions.bank(old.id), versions.bank(new.id))
    screen.emit({"before": old.id, "after": new.id, **dump(difference)})
    screen.show(Text(f"v{old.number} {old.id} → v{new.number} {new.id}", style="bold"))
    screen.show(*difference_lines(difference))


def roll_back(
    version: VersionArgument = None,
    folder: FolderOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Go back to a version, without one to the last in use; the SKILL.md files are then as before.

    A memory that is open in another process takes it when it is opened again.
    """
    from langgraph_memskill.state import dump

    screen = Screen(as_json=as_json)
    versions = versions_in(folder)
    switch = versions.rollback(version)
    screen.emit(dump(switch))
    previous = "nothing" if switch.previous is None else _named(versions.get(switch.previous))
    screen.show(f"{previous} → {_named(versions.get(switch.version))}")


def protect(
    names: Annotated[list[str] | None, typer.Argument(help="Names of skills.")] = None,
    seeds: Annotated[bool, typer.Option("--seeds", help="The four seeds.")] = False,
    folder: FolderOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Never let these skills go to make room for new ones."""
    _set_protection(names or [], seeds=seeds, folder=folder, as_json=as_json, on=True)


def unprotect(
    names: Annotated[list[str] | None, typer.Argument(help="Names of skills.")] = None,
    seeds: Annotated[bool, typer.Option("--seeds", help="The four seeds.")] = False,
    folder: FolderOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Take the protection of these skills away."""
    _set_protection(names or [], seeds=seeds, folder=folder, as_json=as_json, on=False)


def versions_in(folder: Path) -> "SkillVersions":
    """The skill versions of a memory folder or of a training run.

    Raises:
        StoreError: If the folder is neither.
    """
    from langgraph_memskill.skills.versions import VERSIONS_FOLDER, SkillVersions

    if (folder / "evolution" / VERSIONS_FOLDER).is_dir():
        folder /= "evolution"  # of a training run
    if not (folder / VERSIONS_FOLDER).is_dir():
        check_exists(folder)
    return SkillVersions(folder / VERSIONS_FOLDER, folder / "skills")


def difference_lines(difference: "BankDifference") -> list[Text]:
    """A difference of banks for people, one line each."""
    if difference.is_empty:
        return [Text("no difference", style="dim")]
    lines = []
    for skill in difference.skills:
        what = "statistics or times only" if skill.kind == "record" else skill.kind
        lines.append(Text(f"{printable(skill.name)}: {what}", style="bold"))
        lines += [
            Text(f"  {printable(line)}", style=_STYLES.get(line[:1], "")) for line in skill.diff
        ]
    return [*lines, *(Text(printable(told)) for told in difference.settings)]


def _note_edits(versions: "SkillVersions", screen: Screen) -> None:
    """Take edits by hand in; where a file is broken, what is recorded can be looked at anyway."""
    try:
        versions.note_edits()
    except SkillError as error:
        screen.note(f"the skills in use cannot be read, what follows is recorded: {error}")


def _row(
    version: "SkillVersion", by_id: "dict[str, SkillVersion]", *, is_current: bool
) -> list[Text]:
    note = version.note
    parent = by_id.get(version.parent or "")
    author = str(note.author) + (f" ({note.model})" if note.model else "")
    return [
        Text("●" if is_current else " ", style="green"),
        Text(f"v{version.number}", style="cyan"),
        Text(version.id[:8], style="dim"),
        Text(f"{version.at:%Y-%m-%d %H:%M}"),
        Text("" if parent is None else f"from v{parent.number}", style="dim"),
        Text(printable(author)),
        Text("" if note.reward is None else f"reward {note.reward:.3f}"),
        Text(_told_skills(version, parent)),
        Text(one_line(note.reason, 80), style="dim"),
    ]


def _told_skills(version: "SkillVersion", parent: "SkillVersion | None") -> str:
    if parent is None:
        return counted(len(version.skills), "skill")
    added = [f"+{name}" for name in version.skills if name not in parent.skills]
    removed = [f"-{name}" for name in parent.skills if name not in version.skills]
    return one_line(" ".join([*added, *removed]), 60)


def _chosen(
    versions: "SkillVersions", before: str | None, after: str | None
) -> "tuple[SkillVersion, SkillVersion]":
    current = versions.current()
    if current is None:
        raise ConfigError("the skills have no versions yet")
    new = current if after is None else versions.get(after)
    if before is not None:
        return versions.get(before), new
    earlier = [switch.version for switch in versions.switches() if switch.version != new.id]
    return (versions.get(earlier[-1]) if earlier else new), new


def _set_protection(
    names: list[str], *, seeds: bool, folder: Path, as_json: bool, on: bool
) -> None:
    from langgraph_memskill.skills.packaged import SEED_NAMES
    from langgraph_memskill.skills.version_records import VersionAuthor, VersionNote

    screen = Screen(as_json=as_json)
    if not names and not seeds:
        raise ConfigError("name a skill, or give --seeds")
    check_exists(folder)
    versions = versions_in(folder)
    bank, base = versions.in_use()
    wanted = [*names, *(name for name in SEED_NAMES if seeds and name in bank)]
    before = bank.protected
    for name in names:
        _ = bank[name]  # refuses what is not there
    (bank.protect if on else bank.unprotect)(*wanted)
    if bank.protected != before:
        what = "protected" if on else "no longer protected"
        reason = f"{what}: {', '.join(wanted)}"
        note = VersionNote(author=VersionAuthor.PERSON, reason=reason)
        version = versions.record(bank, note, parent=base)
        versions.activate(version.id, action="edit", expected=base)
    screen.emit({"protected": sorted(bank.protected)})
    screen.show(Text(f"protected: {printable(', '.join(sorted(bank.protected)) or 'none')}"))


def _named(version: "SkillVersion") -> str:
    return f"v{version.number} {version.id}"
