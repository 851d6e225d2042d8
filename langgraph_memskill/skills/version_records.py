"""The records of a bank's versions; all frozen, all plain values."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum

from langgraph_memskill.errors import SkillError
from langgraph_memskill.skills.rules import show

BankFiles = Mapping[str, str]
"""The files of a bank, "NAME/SKILL.md" and "bank.json", with their texts to the byte."""


class VersionAuthor(StrEnum):
    """Who made a version."""

    SEED = "seed"
    """It came with the package."""
    DESIGNER = "designer"
    """A designer model; its name is in `VersionNote.model`."""
    PERSON = "person"
    """Somebody who edited files, imported a bank or installed a trained one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionNote:
    """Why there is a version."""

    author: VersionAuthor
    reason: str
    """For people: the designer's summary, what was edited, what was imported."""
    model: str = ""
    """The designer's model."""
    cases: tuple[str, ...] = ()
    """Keys of the hard cases that the designer was shown."""
    stage: int | None = None
    """The training stage that was played with the bank, from 0."""
    reward: float | None = None
    """The stage's reward; None if the bank was not tried in a stage."""
    evolution_id: str = ""
    """The evolution that made it; the same evolution recorded twice is one version."""
    source: str = ""
    """Where an imported or installed bank comes from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillVersion:
    """One state of a bank, without its files; it never changes."""

    id: str
    """16 hex digits of SHA-256 over everything but number and time, so what is recorded again
    after a crash is the same version."""
    number: int
    """Running number in its folder, from 1."""
    parent: str | None
    """The version that it was made from; None for the first."""
    at: datetime
    note: VersionNote
    bank_version: str
    """`SkillBank.version`, which traces name."""
    skills: tuple[str, ...]
    """Names in bank order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillSwitch:
    """One change of the version in use."""

    at: datetime
    action: str
    """"start", "evolve", "edit", "rollback", "import" or "install"."""
    version: str
    """The version from then on."""
    previous: str | None
    """The one before; None at the start."""


def version_id(parent: str | None, note: VersionNote, files: BankFiles) -> str:
    """Identify a version by what it holds; see `SkillVersion.id`."""
    told = {item.name: getattr(note, item.name) for item in fields(note)}
    content = json.dumps([parent, told, dict(files)], sort_keys=True)
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def find_version(versions: list[SkillVersion], wanted: str) -> SkillVersion:
    """Find a version by number ("3", "v3"), id or first characters of its id.

    Raises:
        SkillError: If there is none, or more than one begins so.
    """
    text = wanted.strip().lower()
    number = text.removeprefix("v")
    if number.isdecimal() and len(number) < 9:
        by_number = [version for version in versions if version.number == int(number)]
        if by_number:
            return by_number[0]
    found = [version for version in versions if text and version.id.startswith(text)]
    if len(found) != 1:
        known = ", ".join(f"v{version.number} {version.id}" for version in versions) or "none"
        problem = "more than one version" if found else "no version"
        raise SkillError(f"{problem} of the skills is {show(wanted)}; there are: {known}")
    return found[0]


def switch_to(version: str, action: str, before: Sequence[SkillSwitch]) -> SkillSwitch:
    """Make the switch to a version that follows those before."""
    previous = before[-1].version if before else None
    return SkillSwitch(at=datetime.now(UTC), action=action, version=version, previous=previous)


def version_before(switches: Sequence[SkillSwitch]) -> str:
    """Find the last version in use that is not the present one.

    Raises:
        SkillError: If there is none.
    """
    for switch in reversed(switches):
        if switch.version != switches[-1].version:
            return switch.version
    raise SkillError("the skills have no earlier version: they were never changed")
