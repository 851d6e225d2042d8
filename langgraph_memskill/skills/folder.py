"""A whole bank on disk: one folder for each skill, and bank.json for what no single skill knows.

bank.json holds the order of the skills, the capacity and the protected names. It also says which
folders a bank has written, so that saving removes those and never what somebody put there by hand.
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeGuard

from langgraph_memskill.errors import SkillError
from langgraph_memskill.records import Skill
from langgraph_memskill.skills.files import (
    SKILL_FILE,
    format_skill,
    read_skill_file,
    write_if_changed,
)
from langgraph_memskill.skills.rules import MAX_CAPACITY, name_problem, show

logger = logging.getLogger(__name__)

BANK_FILE = "bank.json"
FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BankFile:
    """The content of bank.json."""

    order: tuple[str, ...] = ()
    """Names of the skills that were saved, in bank order."""
    capacity: int | None = None
    """None if there is no bank.json."""
    protected: tuple[str, ...] = ()


class FolderReading(NamedTuple):
    """What `read_folder` found."""

    skills: tuple[Skill, ...]
    """In bank order; skills that bank.json does not name come last, sorted by name."""
    settings: BankFile


def text_id(skill: Skill) -> str:
    """Identify what a skill says, whatever its statistics.

    Args:
        skill: Any skill.

    Returns:
        SHA-256 in hex over name, description, instructions and action type.
    """
    parts = [skill.name, skill.description, skill.instructions, str(skill.action_type)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def skill_files(folder: Path) -> list[Path]:
    """Find the SKILL.md files one level below a folder, sorted by path.

    Args:
        folder: The folder of a bank; hidden folders in it are left out.

    Returns:
        The files.

    Raises:
        SkillError: The folder does not exist or cannot be read, or it is the folder of one skill.
    """
    if (folder / SKILL_FILE).is_file():
        raise SkillError(f"{folder} is the folder of one skill; give the folder above it")
    try:
        inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise SkillError(
            f"{folder} cannot be read as a folder of skills: {error.strerror or error}"
        ) from error
    return [path / SKILL_FILE for path in inside if (path / SKILL_FILE).is_file()]


def read_folder(folder: Path) -> FolderReading:
    """Read every skill of a bank's folder.

    Args:
        folder: Holds a folder for each skill, and bank.json if a bank was saved there.

    Returns:
        The skills and the bank's settings.

    Raises:
        SkillError: A file is broken; the message lists every problem of every file.
    """
    files = skill_files(folder)
    settings = read_bank_file(folder)
    if not files and settings.capacity is None:
        raise SkillError(
            f"{folder} holds no skills: no {SKILL_FILE} one level below, no {BANK_FILE}"
        )
    readings = [(file, read_skill_file(file)) for file in files]
    lines = [
        f"{file}: {p.field}: {p.message}" for file, reading in readings for p in reading.problems
    ]
    if len(lines) == 1:
        raise SkillError(lines[0])
    if lines:
        raise SkillError(f"{len(lines)} problems in {folder}:\n- " + "\n- ".join(lines))
    by_name = {reading.skill.name: reading.skill for _, reading in readings if reading.skill}
    listed = [by_name.pop(name) for name in settings.order if name in by_name]
    return FolderReading((*listed, *by_name.values()), settings)


def write_folder(
    folder: Path,
    skills: Sequence[Skill],
    settings: BankFile,
    *,
    known: Mapping[str, str] | None,
    overwrite: bool,
) -> None:
    """Make a folder hold these skills; nothing is touched if anything speaks against it.

    Args:
        folder: Where to write; it is made if it does not exist.
        skills: The skills in bank order.
        settings: What goes into bank.json.
        known: Text ids of the skills that this bank last read from or wrote to the folder; None if
            it never did, in which case the folder's own list says what may be removed.
        overwrite: Replace SKILL.md files that are broken or were edited since.

    Raises:
        SkillError: A file is broken, was edited since this bank read it, or cannot be written.
    """
    _refuse_equal_folders(skills)
    listed = read_bank_file(folder).order
    names = {skill.name for skill in skills}
    # A bank that knows the folder leaves alone what others have added to it since.
    stale = [name for name in (listed if known is None else known) if name not in names]
    texts = {
        folder / skill.name / SKILL_FILE: _new_text(folder, skill, known, overwrite=overwrite)
        for skill in skills
    }
    for file, text in texts.items():
        write_if_changed(file, text)
    for name in stale:
        _remove_skill(folder / name)
    others = tuple(name for name in listed if name not in names and name not in stale)
    text = bank_text(replace(settings, order=(*settings.order, *others)))
    write_if_changed(folder / BANK_FILE, text)


def bank_text(settings: BankFile) -> str:
    """Write the text of a bank.json."""
    content = {
        "format_version": FORMAT_VERSION,
        "capacity": settings.capacity,
        "protected": list(settings.protected),
        "order": list(settings.order),
    }
    return json.dumps(content, indent=2) + "\n"


def read_bank_file(folder: Path) -> BankFile:
    """Read bank.json.

    Args:
        folder: The folder of a bank.

    Returns:
        Its content; an empty one if there is no such file.

    Raises:
        SkillError: The file is broken or from a newer version; the message names file and field.
    """
    file = folder / BANK_FILE
    try:
        return parse_bank_text(file.read_bytes(), str(file))
    except FileNotFoundError:
        return BankFile()
    except NotADirectoryError as error:
        raise SkillError(f"{folder} is not a folder") from error
    except OSError as error:
        raise SkillError(f"{file} cannot be read as JSON: {error}") from error


def parse_bank_text(text: str | bytes, place: str) -> BankFile:
    """Read the text of a bank.json.

    Args:
        text: The whole file.
        place: What it is, for messages.

    Raises:
        SkillError: The text is broken or from a newer version; the message names place and field.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SkillError(f"{place} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise SkillError(f"{place}: must hold an object, not {show(content)}")
    version, capacity = content.get("format_version"), content.get("capacity")
    order, protected = content.get("order"), content.get("protected", [])
    if version != FORMAT_VERSION:
        raise SkillError(
            f"{place}: format_version: is {show(version)}, this version reads {FORMAT_VERSION}; "
            "update langgraph-memskill, or delete the file to read the skills alone"
        )
    if isinstance(capacity, bool) or not isinstance(capacity, int):
        raise SkillError(f"{place}: capacity: must be a whole number, not {show(capacity)}")
    if not 1 <= capacity <= MAX_CAPACITY:
        raise SkillError(
            f"{place}: capacity: must be from 1 to {MAX_CAPACITY}, not {show(capacity)}"
        )
    if not _are_names(order):
        raise SkillError(f"{place}: order: must be a list of skill names, not {show(order)}")
    if not _are_names(protected):
        raise SkillError(f"{place}: protected: must be a list of names, not {show(protected)}")
    return BankFile(order=tuple(order), capacity=capacity, protected=tuple(protected))


def _are_names(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and not any(map(name_problem, value))


def _new_text(
    folder: Path, skill: Skill, known: Mapping[str, str] | None, *, overwrite: bool
) -> str:
    """Text for a skill's file, after a look at what the file holds now."""
    file = folder / skill.name / SKILL_FILE
    if not file.exists():
        return format_skill(skill)
    present = read_skill_file(file)
    if present.skill is None and not overwrite:
        problem = present.problems[0]
        raise SkillError(
            f"{file} is broken, so it is not replaced ({problem.field}: {problem.message}); "
            "mend or delete it, or save with overwrite=True"
        )
    if present.skill is not None and known is not None and not overwrite:
        expected = {text_id(skill), known.get(skill.name)}
        if text_id(present.skill) not in expected:
            raise SkillError(
                f"{file} was edited since this bank read it; load the folder again to take the "
                "edit, or save with overwrite=True to drop it"
            )
    return format_skill(skill, keep=present.front_matter)


def _refuse_equal_folders(skills: Sequence[Skill]) -> None:
    seen: dict[str, str] = {}
    for skill in skills:
        other = seen.setdefault(skill.name.casefold(), skill.name)
        if other != skill.name:
            raise SkillError(
                f"skills {other!r} and {skill.name!r} differ only in case, which is one folder on "
                "many file systems; rename one"
            )


def _remove_skill(folder: Path) -> None:
    """Remove a skill's file, and its folder unless somebody keeps other files there."""
    try:
        (folder / SKILL_FILE).unlink(missing_ok=True)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        elif folder.is_dir():
            logger.info("Removed the skill in %s, but kept the other files in that folder.", folder)
    except OSError as error:
        raise SkillError(f"{folder} cannot be removed: {error}") from error
